//! `gateway_app`: tenants, their secrets hashed.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::lists::{Addresses, quoted};
use super::names::Names;
use super::rows::App;
use crate::import::{Imported, Outcome};
use crate::model::Kind;
use coregate_config::limits::{DESCRIPTION_BYTES_MAX, RATE_MAX};

/// Below this a secret is found by trying, if somebody gets hold of its hash.
const SECRET_BYTES_STRONG: usize = 16;

/// Converts all apps.
pub fn convert(apps: &[App], outcome: &mut Outcome) {
    let mut names = Names::default();
    let mut weak = Vec::new();
    for app in apps.iter().filter(|app| app.is_delete == 0) {
        let taken = names.take(&app.app_id);
        let place = format!("tenant \"{}\"", taken.name);
        if let Some(why) = taken.changed {
            outcome.warn(
                &place,
                format!(
                    "was {} in gogate: {why}. Its caller must present the new app_id",
                    quoted(&app.app_id)
                ),
            );
        }
        if app.secret.is_empty() {
            outcome.warn(
                &place,
                "has no secret, so anybody could be it: left out. Make it anew and give its caller the secret",
            );
            continue;
        }
        if app.secret.len() < SECRET_BYTES_STRONG {
            weak.push(taken.name.clone());
        }
        let body = tenant(app, &taken.name, &mut |message| outcome.warn(&place, message));
        outcome.items.push(Imported { kind: Kind::Tenant, name: taken.name, body });
    }
    if !weak.is_empty() {
        let message = format!(
            "the secrets of {} have fewer than {SECRET_BYTES_STRONG} bytes; only their SHA-256 is kept, which protects \
             long random secrets alone: give them new ones",
            super::lists::shown(&weak)
        );
        outcome.warn("gateway_app", message);
    }
}

fn tenant(app: &App, app_id: &str, tell: &mut impl FnMut(String)) -> Value {
    let hash: String = Sha256::digest(&app.secret).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut body =
        Map::from_iter([("app_id".to_owned(), json!(app_id)), ("secret_sha256".to_owned(), json!(hash))]);
    let name: String = app.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if !name.is_empty() && name.len() <= DESCRIPTION_BYTES_MAX {
        body.insert("name".into(), json!(name));
    } else if !name.is_empty() {
        tell(format!("its name has more than {DESCRIPTION_BYTES_MAX} bytes: left out"));
    }
    let mut enabled = true;
    let allow = Addresses::read(&app.white_ips);
    allow.tell("white_ips", &mut *tell);
    if !allow.is_blank() && allow.networks.is_empty() {
        tell(
            "white_ips has no IP address at all: it is switched off, as an empty list would admit all"
                .to_owned(),
        );
        enabled = false;
    }
    if !allow.networks.is_empty() {
        body.insert("allow".into(), json!(allow.networks));
    }
    for (column, value) in [("qps", app.qps), ("qpd", app.qpd)] {
        if value < 0 {
            tell(format!("{column} = {value}: a limit is not negative; none is set"));
        }
    }
    if app.qps > 0 {
        // Precise up to 2^53, far beyond the bound.
        body.insert("requests_per_second".into(), json!((app.qps as f64).min(RATE_MAX)));
    }
    if app.qpd > 0 {
        body.insert("requests_per_day".into(), json!(app.qpd));
    }
    body.insert("enabled".into(), json!(enabled));
    Value::Object(body)
}
