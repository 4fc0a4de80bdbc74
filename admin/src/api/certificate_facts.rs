//! What a certificate says of itself, read from the chain that is kept.

use coregate::tls::certificates::facts;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use x509_cert::der::Decode as _;

use super::index::Facts;
use crate::model::Item;

/// A certificate in a list.
#[derive(Debug, Default)]
pub struct CertificateFacts {
    /// DNS names that it is for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl CertificateFacts {
    /// Whole days until it is over; negative when it is.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.duration_since(now).as_secs().div_euclid(24 * 3600)
    }
}

impl Facts for CertificateFacts {
    fn read(item: &Item) -> Self {
        #[derive(Default, Deserialize)]
        struct Body {
            chain: String,
        }
        // What is in force has been checked; of what cannot be read nothing is known.
        let body: Body = serde_json::from_str(item.body.text()).unwrap_or_default();
        leaf(&body.chain).unwrap_or_default()
    }

    fn words(&self, words: &mut Vec<String>) {
        words.extend(self.names.iter().cloned());
        words.push(self.issuer.clone());
    }
}

fn leaf(pem: &str) -> Option<CertificateFacts> {
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let known = facts(String::new(), &leaf).ok()?;
    let parsed = x509_cert::Certificate::from_der(&leaf).ok()?;
    let at = |seconds: u64| Timestamp::from_second(i64::try_from(seconds).ok()?).ok();
    Some(CertificateFacts {
        names: known.names,
        issuer: parsed.tbs_certificate.issuer.to_string(),
        not_before: at(known.not_before)?,
        not_after: at(known.not_after)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_issuer_and_validity_are_read_from_the_leaf() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params =
            rcgen::CertificateParams::new(vec!["a.example".to_owned(), "*.b.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        params.distinguished_name.push(rcgen::DnType::CommonName, "coregate tests");
        let facts = leaf(&params.self_signed(&key).unwrap().pem()).unwrap();
        assert_eq!(facts.names, ["a.example", "*.b.example"]);
        assert!(facts.issuer.contains("coregate tests"), "{}", facts.issuer);
        assert_eq!(facts.not_after.to_string(), "2026-01-31T00:00:00Z");
        let days = |now: &str| facts.days_left(now.parse().unwrap());
        assert_eq!(days("2026-01-30T00:00:00Z"), 1);
        assert_eq!(days("2026-01-30T00:00:01Z"), 0);
        assert_eq!(days("2026-01-31T00:00:01Z"), -1);
        assert!(leaf("no certificate").is_none());
    }
}
