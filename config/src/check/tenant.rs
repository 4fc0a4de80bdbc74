//! `[[tenants]]`

use std::sync::Arc;

use super::rate::plain_rate;
use super::unique;
use super::values::{count_is_sane, integer, name, networks, text};
use crate::checked::{Secret, Tenant};
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
    let secret = secret(&raw.secret, &at.key("secret"), problems);
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
        enabled: raw.enabled,
    })
}

fn secret(raw: &raw::Secret, at: &At, problems: &mut Problems) -> Option<Secret> {
    if raw.0.is_empty() || raw.0.len() > SECRET_BYTES_MAX {
        problems.add(at, format!("must have 1 to {SECRET_BYTES_MAX} bytes"));
        return None;
    }
    // RFC 7617, section 2: a password has no control characters.
    if raw.0.chars().any(char::is_control) {
        problems.add(at, "must not hold control characters");
        return None;
    }
    Some(Secret(raw.0.clone()))
}
