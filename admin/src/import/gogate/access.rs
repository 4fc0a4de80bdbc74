//! `gateway_service_access_control`: lists, limits, tenants.

use coregate_config::limits::RATE_MAX;
use serde_json::{Map, Value, json};

use super::lists::{Addresses, quoted};
use super::rows::AccessControl;

/// gogate's token buckets held three times the rate.
const BURST: f64 = 3.0;

/// Whether a service's callers can present credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// They can, and with `open_auth = 1` they must.
    Tenants,
    /// They can, and need not.
    Anybody,
    /// They cannot: the listener passes bytes on.
    Connections,
}

/// Writes what the row says into a service; `false` if it must not be in force as it stands.
pub fn convert(
    row: &AccessControl,
    callers: Callers,
    service: &mut Map<String, Value>,
    tell: &mut impl FnMut(String),
) -> bool {
    let mut fit = true;
    let mut access = Map::new();
    let allow = Addresses::read(&row.white_list);
    let deny = Addresses::read(&row.black_list);
    if row.open_auth == 1 {
        if allow.is_blank() {
            deny.tell("black_list", &mut *tell);
            insert_list(&mut access, "deny", &deny);
        } else {
            allow.tell("white_list", &mut *tell);
            if allow.networks.is_empty() {
                tell(
                    "white_list has no IP address at all, so gogate refused everybody: it is switched off"
                        .to_owned(),
                );
                fit = false;
            }
            if !deny.is_blank() {
                tell(format!(
                    "black_list {} did not apply, as there is a white_list: left out",
                    quoted(&row.black_list)
                ));
            }
            insert_list(&mut access, "allow", &allow);
        }
        fit &= tenants(callers, &mut access, tell);
    } else if !allow.is_blank() || !deny.is_blank() {
        let lists = [("black_list", &row.black_list), ("white_list", &row.white_list)];
        let given: Vec<String> = lists
            .into_iter()
            .filter(|(_, list)| !list.trim().is_empty())
            .map(|(column, list)| format!("{column} {}", quoted(list)))
            .collect();
        tell(format!("open_auth = {}, so {} did not apply: left out", row.open_auth, given.join(" and ")));
    }
    if !access.is_empty() {
        service.insert("access".into(), Value::Object(access));
    }
    if !row.white_host_name.trim().is_empty() {
        tell(format!(
            "white_host_name {} is not carried over: callers are told apart by their addresses",
            quoted(&row.white_host_name)
        ));
    }
    let mut limits = Map::new();
    if let Some(rate) = rate(row.service_flow_limit, "service_flow_limit", tell) {
        limits.extend(rate);
    }
    if let Some(rate) = rate(row.clientip_flow_limit, "clientip_flow_limit", tell) {
        limits.insert("per_client_ip".into(), Value::Object(rate));
    }
    if !limits.is_empty() {
        service.insert("limits".into(), Value::Object(limits));
    }
    fit
}

fn insert_list(access: &mut Map<String, Value>, key: &str, list: &Addresses) {
    if !list.networks.is_empty() {
        access.insert(key.into(), json!(list.networks));
    }
}

fn tenants(callers: Callers, access: &mut Map<String, Value>, tell: &mut impl FnMut(String)) -> bool {
    match callers {
        Callers::Tenants => {
            access.insert("require_tenant".into(), json!(true));
            true
        }
        Callers::Anybody => true,
        Callers::Connections => {
            tell(
                "open_auth = 1: gogate asked callers of a gRPC service for an app's token, and a tcp listener cannot. The \
                 service is switched off; to have it with tenants give it a route by the path of its gRPC service, http2 = \
                 true and access.require_tenant = true"
                    .to_owned(),
            );
            false
        }
    }
}

fn rate(value: i64, column: &str, tell: &mut impl FnMut(String)) -> Option<Map<String, Value>> {
    if value < 0 {
        tell(format!("{column} = {value}: a rate is not negative; no limit is set"));
    }
    if value <= 0 {
        return None;
    }
    // Precise up to 2^53, far beyond the bound.
    let (rate, burst) = (value as f64, value as f64 * BURST);
    if burst > RATE_MAX {
        tell(format!("{column} = {value}: {RATE_MAX:e} is the most for a rate and its burst, and is taken"));
    }
    let number = |value: f64| json!(value.min(RATE_MAX));
    Some(Map::from_iter([
        ("requests_per_second".to_owned(), number(rate)),
        ("burst".to_owned(), number(burst)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> AccessControl {
        AccessControl { open_auth: 1, black_list: "10.0.0.1".into(), ..AccessControl::default() }
    }

    fn converted(row: &AccessControl, callers: Callers) -> (Value, bool, Vec<String>) {
        let (mut service, mut told) = (Map::new(), Vec::new());
        let fit = convert(row, callers, &mut service, &mut |message| told.push(message));
        (Value::Object(service), fit, told)
    }

    #[test]
    fn lists_apply_only_with_open_auth() {
        let (service, fit, told) = converted(&row(), Callers::Anybody);
        assert_eq!(service, json!({ "access": { "deny": ["10.0.0.1"] } }));
        assert!(fit && told.is_empty());
        let (service, fit, told) = converted(&AccessControl { open_auth: 0, ..row() }, Callers::Tenants);
        assert_eq!(service, json!({}));
        assert!(fit && told[0].contains("did not apply"));
    }

    #[test]
    fn a_white_list_switches_the_black_list_off() {
        let both = AccessControl { white_list: "10.0.0.2,10.0.0.3".into(), ..row() };
        let (service, _, told) = converted(&both, Callers::Tenants);
        assert_eq!(
            service,
            json!({ "access": { "allow": ["10.0.0.2", "10.0.0.3"], "require_tenant": true } })
        );
        assert!(told[0].contains("black_list"));
    }

    #[test]
    fn a_white_list_that_admits_nobody_never_admits_all() {
        let nobody = AccessControl { white_list: "office".into(), ..row() };
        let (_, fit, told) = converted(&nobody, Callers::Anybody);
        assert!(!fit && told.iter().any(|it| it.contains("refused everybody")));
        let (_, fit, _) = converted(&row(), Callers::Connections);
        assert!(!fit, "callers without a token were refused");
    }

    #[test]
    fn a_burst_is_three_times_the_rate() {
        let limited = AccessControl {
            clientip_flow_limit: 5,
            service_flow_limit: 2_000_000_000,
            ..AccessControl::default()
        };
        let (service, _, told) = converted(&limited, Callers::Tenants);
        assert_eq!(
            service["limits"],
            json!({ "requests_per_second": 1e9, "burst": 1e9,
                    "per_client_ip": { "requests_per_second": 5.0, "burst": 15.0 } })
        );
        assert_eq!(told.len(), 1);
    }
}
