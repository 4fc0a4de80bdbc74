//! What is to be told of a whole database: rows that belong to nothing, and ways in which coregate differs from gogate.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Options;
use super::lists::shown;
use super::rows::{HttpRule, Rows};
use crate::import::Outcome;

/// Rows that are not carried over, counted.
pub fn deleted_and_orphaned(rows: &Rows, outcome: &mut Outcome) {
    let deleted: HashSet<i64> =
        rows.services.iter().filter(|row| row.is_delete != 0).map(|row| row.id).collect();
    if !deleted.is_empty() {
        let message =
            format!("{} deleted rows (is_delete) and what belongs to them are left out", deleted.len());
        outcome.warn("gateway_service_info", message);
    }
    let apps = rows.apps.iter().filter(|row| row.is_delete != 0).count();
    if apps > 0 {
        outcome.warn("gateway_app", format!("{apps} deleted rows (is_delete) are left out"));
    }
    let known: HashMap<i64, i64> = rows.services.iter().map(|row| (row.id, row.load_type)).collect();
    let mut lost = |table: &str, ids: Vec<i64>, load_type: Option<i64>| {
        let orphans = ids.iter().filter(|id| !known.contains_key(id)).count();
        if orphans > 0 {
            outcome.warn(table, format!("{orphans} rows are of services that are not there: left out"));
        }
        let Some(load_type) = load_type else { return };
        let others: BTreeSet<i64> =
            ids.into_iter().filter(|id| known.get(id).is_some_and(|it| *it != load_type)).collect();
        let others: Vec<String> =
            others.into_iter().filter(|id| !deleted.contains(id)).map(|id| id.to_string()).collect();
        if !others.is_empty() {
            outcome.warn(
                table,
                format!(
                    "has rows for services of another load_type, service_id {}: left out",
                    shown(&others)
                ),
            );
        }
    };
    lost("gateway_service_http_rule", rows.http_rules.iter().map(|row| row.service_id).collect(), Some(0));
    lost("gateway_service_tcp_rule", rows.tcp_rules.iter().map(|row| row.service_id).collect(), Some(1));
    lost("gateway_service_grpc_rule", rows.grpc_rules.iter().map(|row| row.service_id).collect(), Some(2));
    lost(
        "gateway_service_access_control",
        rows.access_controls.iter().map(|row| row.service_id).collect(),
        None,
    );
    lost("gateway_service_load_balance", rows.load_balances.iter().map(|row| row.service_id).collect(), None);
}

/// Differences that concern every service of a kind are told once.
pub fn general(rows: &Rows, options: &Options, outcome: &mut Outcome) {
    let live: HashMap<i64, i64> =
        rows.services.iter().filter(|row| row.is_delete == 0).map(|row| (row.id, row.load_type)).collect();
    let is = |id: i64, load_type: i64| live.get(&id) == Some(&load_type);
    let http: Vec<&HttpRule> = rows.http_rules.iter().filter(|row| is(row.service_id, 0)).collect();
    let mut note = |message: String| outcome.warn("gogate", message);

    if !http.is_empty() && options.http_listener.is_none() {
        note(
            "its HTTP and HTTPS addresses stand in its own configuration file, not in the database: make an http listener \
             (--http-listener 0.0.0.0:8080 does) and, with a certificate, an https one"
                .to_owned(),
        );
    }
    if rows.access_controls.iter().any(|row| row.clientip_flow_limit > 0 || row.service_flow_limit > 0) {
        note(
            "a burst of three times the rate was let through at once by each limit, and is: burst = 3 x rate"
                .to_owned(),
        );
    }
    if http.iter().any(|row| row.rule_type == 0) {
        note(
            "it compared path prefixes by characters, so /a took /ab, too; here they match whole segments, and the longest \
             wins, not the first"
                .to_owned(),
        );
    }
    overlapping(&http, &mut note);
    if http.iter().any(|row| row.need_websocket != 1) {
        note(
            "need_websocket = 0 cannot be told: WebSockets pass on every route, and a service decides itself"
                .to_owned(),
        );
    }
    if live.values().any(|load_type| *load_type == 2) {
        note(
            "gRPC services listen on ports of their own as tcp listeners: their limits count connections, not calls, and \
             balancing is by connection"
                .to_owned(),
        );
    }
    if rows.access_controls.iter().any(|row| row.open_auth == 1 && is(row.service_id, 0)) {
        note(if options.require_tenants {
            "open_auth = 1 asked for an app's token, so access.require_tenant = true; tokens of gogate are not valid here, \
             callers get new ones from POST /oauth/token with the same app_id and secret"
                .to_owned()
        } else {
            "open_auth = 1 asked for an app's token; as was wished, no tenant is required".to_owned()
        });
    }
    if rows.apps.iter().any(|row| row.is_delete == 0 && row.qps > 0) {
        note(
            "qps was counted for each address of an app, with a burst of three times the rate; a tenant's limit is for all \
             its callers together, without a burst beyond the rate"
                .to_owned(),
        );
    }
    if !rows.services.is_empty() {
        note(
            "create_at and update_at are not carried over: this import is the first revision of each item"
                .to_owned(),
        );
    }
}

/// Prefixes that begin with another: which service got such requests depended on the order of rows.
fn overlapping(http: &[&HttpRule], note: &mut impl FnMut(String)) {
    let rules: BTreeSet<&str> = http
        .iter()
        .filter(|row| row.rule_type == 0)
        .map(|row| row.rule.trim())
        .filter(|it| !it.is_empty())
        .collect();
    let mut pairs = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    // In order, a text stands right after those that it begins with.
    for rule in rules {
        while open.last().is_some_and(|shorter| !rule.starts_with(shorter)) {
            open.pop();
        }
        if let Some(shorter) = open.last() {
            pairs.push(format!("{shorter} and {rule}"));
        }
        open.push(rule);
    }
    if !pairs.is_empty() {
        note(format!(
            "some prefixes begin with others ({}): gogate gave such requests to the service that it had loaded first",
            shown(&pairs)
        ));
    }
}
