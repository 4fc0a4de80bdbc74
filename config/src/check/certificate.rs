//! `[[certificates]]`, and how listeners name them.
//!
//! PEM is looked at for its shape alone: whole blocks of the right kind, with base64 in them (RFC 7468). What is in them is
//! the engine's matter, which has to make it work.

use std::collections::HashMap;
use std::sync::Arc;

use super::unique;
use super::values::{count_is_sane, name};
use crate::checked::NamedCertificate;
use crate::limits::{CHAIN_BYTES_MAX, KEY_BYTES_MAX, NAMED_CERTIFICATES_MAX};
use crate::path::At;
use crate::raw;
use crate::report::Problems;
use crate::units::Size;

/// Those that a listener may name; `None` stands for one that is wrong, which has been said.
pub type ByName<'a> = HashMap<&'a str, Option<Arc<NamedCertificate>>>;

/// All certificates, each in its place; `None` stands for one that is wrong.
pub fn certificates(
    raw: &[raw::NamedCertificate],
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<Option<Arc<NamedCertificate>>>> {
    if !count_is_sane(raw.len(), NAMED_CERTIFICATES_MAX, at, problems) {
        return None;
    }
    unique(raw.iter().map(|it| it.name.as_str()).zip(0..), at, "name", problems);
    let all = raw.iter().enumerate();
    Some(all.map(|(index, one)| certificate(one, &at.index(index), problems).map(Arc::new)).collect())
}

/// What the names in a configuration mean; `checked` is what [`certificates`] made of them.
pub fn by_name<'a>(
    raw: &'a [raw::NamedCertificate],
    checked: Option<&[Option<Arc<NamedCertificate>>]>,
) -> ByName<'a> {
    let checked = checked.unwrap_or_default().iter().map(Option::as_ref);
    let checked = checked.chain(std::iter::repeat(None));
    raw.iter().zip(checked).map(|(raw, checked)| (raw.name.as_str(), checked.cloned())).collect()
}

fn certificate(raw: &raw::NamedCertificate, at: &At, problems: &mut Problems) -> Option<NamedCertificate> {
    let named = name(&raw.name, &at.key("name"), problems);
    let chain = pem(&raw.chain, CHAIN_BYTES_MAX, chain_blocks, &at.key("chain"), problems);
    let key = pem(&raw.key.0, KEY_BYTES_MAX, key_blocks, &at.key("key"), problems);
    named.and(chain).and(key)?;
    let name = Arc::from(raw.name.as_str());
    Some(NamedCertificate { name, chain: raw.chain.clone(), key: raw.key.0.clone() })
}

fn pem(
    text: &str,
    bytes_max: usize,
    judge: fn(&[&str]) -> Result<(), &'static str>,
    at: &At,
    problems: &mut Problems,
) -> Option<()> {
    if text.len() > bytes_max {
        problems.add(at, format!("has {} bytes, at most {} are allowed", text.len(), Size(bytes_max as u64)));
        return None;
    }
    let judged = labels(text).and_then(|labels| judge(&labels));
    judged.map_err(|wrong| problems.add(at, wrong)).ok()
}

fn chain_blocks(labels: &[&str]) -> Result<(), &'static str> {
    match labels {
        [] => Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        _ if labels.iter().any(|label| is_key(label)) => {
            Err("holds a private key; the chain has certificates alone, the key belongs under `key`")
        }
        _ if labels.iter().any(|label| label.ends_with("CERTIFICATE REQUEST")) => {
            Err("holds a signing request; the certificate is what the authority made of it")
        }
        _ if labels.iter().all(|label| *label == "CERTIFICATE") => Ok(()),
        _ => Err("holds something else than certificates"),
    }
}

fn key_blocks(labels: &[&str]) -> Result<(), &'static str> {
    // `openssl ecparam` writes the curve before the key.
    let keys: Vec<&str> = labels.iter().copied().filter(|label| *label != "EC PARAMETERS").collect();
    match keys[..] {
        [] => Err("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"),
        ["ENCRYPTED PRIVATE KEY"] => {
            Err("is encrypted, and nobody is there to be asked for its password; `openssl pkey` decrypts it")
        }
        [key] if is_key(key) => Ok(()),
        _ if keys.contains(&"CERTIFICATE") => {
            Err("holds certificates; they belong under `chain`, and here one private key")
        }
        _ => Err("must hold one private key and nothing else"),
    }
}

fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

/// The labels of the blocks of a PEM text, all of which are whole. Text between blocks explains them and is skipped.
fn labels(text: &str) -> Result<Vec<&str>, &'static str> {
    const NOT_WHOLE: &str = "is not whole PEM: a block has no end, or an end without a beginning";
    let mut labels = Vec::new();
    let mut open: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        let boundary = |word| line.strip_prefix(word).and_then(|rest| rest.strip_suffix("-----"));
        if let Some(label) = boundary("-----BEGIN ") {
            if open.replace(label).is_some() {
                return Err(NOT_WHOLE);
            }
        } else if let Some(label) = boundary("-----END ") {
            if open.take() != Some(label) {
                return Err(NOT_WHOLE);
            }
            labels.push(label);
        } else if open.is_some() && !line.bytes().all(is_content) {
            return Err(if line.starts_with("Proc-Type: 4,ENCRYPTED") {
                "is encrypted, and nobody is there to be asked for its password; `openssl pkey` decrypts it"
            } else {
                "is not PEM: between BEGIN and END stands something else than base64"
            });
        }
    }
    if open.is_some() { Err(NOT_WHOLE) } else { Ok(labels) }
}

fn is_content(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "a name\n-----BEGIN CERTIFICATE-----\nMIIB+/==\r\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----";

    fn chain(text: &str) -> Result<(), &'static str> {
        labels(text).and_then(|labels| chain_blocks(&labels))
    }

    fn key(text: &str) -> Result<(), &'static str> {
        labels(text).and_then(|labels| key_blocks(&labels))
    }

    #[test]
    fn whole_blocks_of_the_right_kind_are_taken() {
        assert_eq!(chain(CHAIN), Ok(()));
        assert_eq!(chain(&CHAIN.repeat(3)), Ok(()));
        assert_eq!(key(KEY), Ok(()));
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n";
        assert_eq!(key(&format!("{parameters}{KEY}")), Ok(()));
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_right() {
        for (text, told) in [
            ("", "holds no certificate"),
            ("MIIB", "holds no certificate"),
            (KEY, "holds a private key"),
            (&format!("{CHAIN}{KEY}"), "holds a private key"),
            ("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----", "holds a signing"),
            ("-----BEGIN X509 CRL-----\n-----END X509 CRL-----", "holds something else"),
            ("-----BEGIN CERTIFICATE-----\nMI?B\n-----END CERTIFICATE-----", "is not PEM"),
            ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICAT-----", "is not whole"),
            ("-----END CERTIFICATE-----", "is not whole"),
            (&CHAIN[..CHAIN.len() - 2], "is not"),
        ] {
            let answer = chain(text).unwrap_err();
            assert!(answer.starts_with(told), "{text}: {answer}");
        }
        for (text, told) in [
            ("", "holds no private key"),
            (CHAIN, "holds certificates"),
            (&format!("{KEY}\n{CHAIN}"), "holds certificates"),
            (&format!("{KEY}\n{KEY}"), "must hold one"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----", "is encrypted"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "is encrypted"),
        ] {
            let answer = key(text).unwrap_err();
            assert!(answer.starts_with(told), "{text}: {answer}");
        }
    }

    #[test]
    fn a_text_that_was_cut_anywhere_is_not_whole() {
        for cut in 0..CHAIN.trim_end().len() {
            assert!(chain(&CHAIN[..cut]).is_err(), "{cut}");
        }
    }
}
