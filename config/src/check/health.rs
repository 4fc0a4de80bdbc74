//! `[services.health_check]`

use std::collections::BTreeSet;

use super::headers::host_value;
use super::values::{count_is_sane, integer, time, time_within};
use crate::checked::{HealthCheck, HealthCheckKind};
use crate::limits::{
    GRPC_SERVICE_BYTES_MAX, HEALTH_INTERVAL_MIN, HEALTH_STREAK_MAX, PATH_BYTES_MAX, STATUSES_MAX, TIME_MAX,
};
use crate::path::At;
use crate::raw;
use crate::report::Problems;
use crate::units::Time;

/// A service's health checks.
pub fn health_check(raw: &raw::HealthCheck, at: &At, problems: &mut Problems) -> Option<HealthCheck> {
    let kind = kind(raw, at, problems);
    let at_interval = at.key("interval");
    let interval = time_within(raw.interval, HEALTH_INTERVAL_MIN..=TIME_MAX, &at_interval, problems);
    let at_timeout = at.key("timeout");
    let timeout = time(raw.timeout, &at_timeout, problems);
    if let (Some(interval), Some(timeout)) = (interval, timeout)
        && timeout > interval
        && !problems.is_unread(&at_interval)
    {
        problems.add(&at_timeout, format!("must be at most the interval, {}", Time(interval)));
    }
    let streak = 1..=HEALTH_STREAK_MAX;
    let unhealthy_after = integer(raw.unhealthy_after, streak.clone(), &at.key("unhealthy_after"), problems);
    let healthy_after = integer(raw.healthy_after, streak, &at.key("healthy_after"), problems);
    Some(HealthCheck {
        kind: kind?,
        interval: interval?,
        timeout: timeout?,
        unhealthy_after: unhealthy_after?,
        healthy_after: healthy_after?,
    })
}

fn kind(raw: &raw::HealthCheck, at: &At, problems: &mut Problems) -> Option<HealthCheckKind> {
    let path = raw.path.as_ref().map(|path| request_path(path, &at.key("path"), problems));
    let host = match &raw.host {
        Some(host) => host_value(host, &at.key("host"), problems).map(|()| Some(host.clone())),
        None => Some(None),
    };
    let expect_status = statuses(&raw.expect_status, &at.key("expect_status"), problems);
    let grpc_service = grpc_service(&raw.grpc_service, &at.key("grpc_service"), problems);
    keys_fit_the_kind(raw, at, problems);
    match raw.kind {
        raw::HealthCheckKind::Tcp => Some(HealthCheckKind::Tcp),
        raw::HealthCheckKind::Http => {
            if path.is_none() {
                problems.add(
                    &at.key("path"),
                    "is missing and must be given, as kind = \"http\": such as \"/healthz\"",
                );
            }
            Some(HealthCheckKind::Http { path: path??, host: host?, expect_status: expect_status? })
        }
        raw::HealthCheckKind::Grpc => Some(HealthCheckKind::Grpc { service: grpc_service?, host: host? }),
    }
}

fn keys_fit_the_kind(raw: &raw::HealthCheck, at: &At, problems: &mut Problems) {
    use raw::HealthCheckKind::{Grpc, Http, Tcp};
    if problems.is_unread(&at.key("kind")) {
        return;
    }
    let given = [
        ("path", raw.path.is_some() && raw.kind != Http, "kind = \"http\" alone"),
        ("host", raw.host.is_some() && raw.kind == Tcp, "kind = \"http\" and \"grpc\" alone"),
        ("expect_status", !raw.expect_status.is_empty() && raw.kind != Http, "kind = \"http\" alone"),
        ("grpc_service", !raw.grpc_service.is_empty() && raw.kind != Grpc, "kind = \"grpc\" alone"),
    ];
    let kind = match raw.kind {
        Tcp => "tcp",
        Http => "http",
        Grpc => "grpc",
    };
    for (key, _, of) in given.iter().filter(|(_, misplaced, _)| *misplaced) {
        problems.add(&at.key(key), format!("is for {of}, and kind is {kind:?}"));
    }
}

fn grpc_service(name: &str, at: &At, problems: &mut Problems) -> Option<String> {
    if name.len() > GRPC_SERVICE_BYTES_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
        problems.add(
            at,
            format!(
                "must be the full name of a service, up to {GRPC_SERVICE_BYTES_MAX} visible ASCII characters"
            ),
        );
        return None;
    }
    Some(name.to_owned())
}

fn request_path(path: &str, at: &At, problems: &mut Problems) -> Option<String> {
    let wrong = if !path.starts_with('/') {
        "must begin with '/'"
    } else if path.len() > PATH_BYTES_MAX {
        "is too long"
    } else if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        "must be visible ASCII without spaces and '#': percent-encode what is not"
    } else {
        return Some(path.to_owned());
    };
    problems.add(at, wrong);
    None
}

fn statuses(raw: &[i64], at: &At, problems: &mut Problems) -> Option<BTreeSet<u16>> {
    if !count_is_sane(raw.len(), STATUSES_MAX, at, problems) {
        return None;
    }
    if raw.is_empty() {
        return Some(BTreeSet::from([200]));
    }
    let mut statuses = Vec::with_capacity(raw.len());
    for (index, status) in raw.iter().enumerate() {
        statuses.push(integer(*status, 100..=599, &at.index(index), problems));
    }
    statuses.into_iter().collect()
}
