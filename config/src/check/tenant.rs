//! `[[tenants]]`

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::rate::{mode, plain_rate};
use super::unique;
use super::values::{count_is_sane, integer, name, networks, text};
use crate::checked::{SecretHash, Tenant};
use crate::limits::{DESCRIPTION_BYTES_MAX, SECRET_BYTES_MAX, TENANTS_MAX};
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// All tenants.
pub fn tenants(raw: &[raw::Tenant], at: &At, problems: &mut Problems) -> Option<Vec<Tenant>> {
    if !count_is_sane(raw.len(), TENANTS_MAX, at, problems) {
        return None;
    }
    unique(raw.iter().map(|it| it.app_id.as_str()).zip(0..), at, "app_id", problems);
    let mut tenants = Vec::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        tenants.push(tenant(one, &at.index(index), problems));
    }
    tenants.into_iter().collect()
}

fn tenant(raw: &raw::Tenant, at: &At, problems: &mut Problems) -> Option<Tenant> {
    let app_id = name(&raw.app_id, &at.key("app_id"), problems);
    let display_name = text(&raw.name, DESCRIPTION_BYTES_MAX, &at.key("name"), problems);
    let secret = secret_hash(raw, at, problems);
    let allow = networks(&raw.allow, &at.key("allow"), problems);
    let per_second = plain_rate(raw.requests_per_second, &at.key("requests_per_second"), problems);
    let per_day = integer(raw.requests_per_day, 0..=i64::MAX, &at.key("requests_per_day"), problems);
    app_id?;
    Some(Tenant {
        app_id: Arc::from(raw.app_id.as_str()),
        name: display_name?,
        secret: secret?,
        allow: allow?,
        requests_per_second: per_second?,
        requests_per_day: Some(per_day?).filter(|limit| *limit != 0),
        limits_mode: mode(raw.limits_mode),
        enabled: raw.enabled,
    })
}

fn secret_hash(raw: &raw::Tenant, at: &At, problems: &mut Problems) -> Option<SecretHash> {
    match (&raw.secret, &raw.secret_sha256) {
        (Some(secret), None) => hash_of(&secret.0, &at.key("secret"), problems),
        (None, Some(digits)) => hash_in_digits(&digits.0, &at.key("secret_sha256"), problems),
        (Some(_), Some(_)) => {
            problems.clash(&at.key("secret_sha256"), "does not go together with", &at.key("secret"));
            None
        }
        (None, None) => {
            problems.add(&at.key("secret"), "is missing: this or secret_sha256 must be given");
            None
        }
    }
}

fn hash_of(secret: &str, at: &At, problems: &mut Problems) -> Option<SecretHash> {
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
        problems.add(at, format!("must have 1 to {SECRET_BYTES_MAX} bytes"));
        return None;
    }
    // RFC 7617, section 2: a password has no control characters.
    if secret.chars().any(char::is_control) {
        problems.add(at, "must not hold control characters");
        return None;
    }
    Some(SecretHash(Sha256::digest(secret).into()))
}

fn hash_in_digits(digits: &str, at: &At, problems: &mut Problems) -> Option<SecretHash> {
    let hash = from_hex(digits);
    match hash {
        None => problems.add(at, "must be the SHA-256 of the secret: 64 hexadecimal digits"),
        // Who hashes an empty variable gets a tenant that anybody can be.
        Some(hash) if hash == <[u8; 32]>::from(Sha256::digest("")) => {
            problems.add(at, "is the SHA-256 of no secret at all");
            return None;
        }
        Some(_) => {}
    }
    hash.map(SecretHash)
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let mut hash = [0; 32];
    if pairs.len() != hash.len() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}
