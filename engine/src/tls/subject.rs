//! The subject of a client certificate as text for a header: RFC 4514, in ASCII.

use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;

/// Bytes of the text; a longer one is not passed on in part, since a part could be another's.
pub const SUBJECT_BYTES_MAX: usize = 4096;

/// Who a client is by its certificate, and how an origin is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    /// Name of the request header.
    pub header: String,
    /// The distinguished name.
    pub value: String,
}

/// The subject's distinguished name (RFC 4514, the last part first): `CN=one,O=Example`. What is not visible ASCII is
/// escaped byte by byte (RFC 4514 2.4), so that it is a valid field value whatever the certificate says. `None` if it
/// cannot be read, or is too long.
pub fn subject(certificate: &CertificateDer) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let text = certificate.tbs_certificate.subject.to_string();
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => {
                escaped.push('\\');
                for digit in [byte >> 4, byte & 15] {
                    escaped.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
            }
        }
    }
    (escaped.len() <= SUBJECT_BYTES_MAX).then_some(escaped)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn text_of(parts: &[(DnType, &str)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        subject(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
    }

    #[test]
    fn the_last_part_stands_first() {
        let parts =
            [(DnType::CountryName, "DE"), (DnType::OrganizationName, "Example"), (DnType::CommonName, "one")];
        assert_eq!(text_of(&parts).unwrap(), "CN=one,O=Example,C=DE");
    }

    #[test]
    fn a_subject_cannot_break_out_of_a_header_or_of_its_part() {
        let evil = "a,O=Root\r\nX-Admin: 1\0 \u{7f}ü";
        let text = text_of(&[(DnType::CommonName, evil)]).unwrap();
        assert_eq!(text, "CN=a\\,O=Root\\0d\\0aX-Admin: 1\\00 \\7f\\c3\\bc");
    }

    #[test]
    fn one_that_is_too_long_is_none() {
        let fits = "x".repeat(SUBJECT_BYTES_MAX - 3);
        assert_eq!(text_of(&[(DnType::CommonName, &fits)]).unwrap().len(), SUBJECT_BYTES_MAX);
        assert_eq!(text_of(&[(DnType::CommonName, &(fits + "x"))]), None);
    }

    #[test]
    fn garbage_has_none() {
        assert_eq!(subject(&CertificateDer::from(vec![0x30, 3, 1, 2, 3])), None);
    }
}
