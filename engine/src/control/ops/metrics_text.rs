//! `/metrics`: what the control thread knows, in the Prometheus text format.
//!
//! Families and their order are those of [`crate::metrics`]. Endings that have never happened are left out.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::access_log::Tally;
use crate::account::{
    CLASSES, Cause, Counters, Handshake, Http2Cut, LIMITS, Latency, LimitKind, Phase, ShardCounters, Timing,
};
use crate::control::engine::Engine;
use crate::control::flow::Series;
use crate::control::remote::Contact;
use crate::control::snapshot::{NodePlan, ServicePlan};
use crate::metrics::{self as m, Family, Samples, Text};

/// Everything.
pub fn render(engine: &Engine) -> String {
    let mut text = Text::default();
    text.family(m::BUILD_INFO, |samples| {
        samples.add(&[("version", m::VERSION), ("commit", m::COMMIT.unwrap_or("unknown"))], 1);
    });
    text.single(m::READY, u8::from(engine.not_ready().is_none()));
    text.single(m::CONFIG_REVISION, engine.snapshot.revision);
    text.family(m::CONFIG_RELOADS, |samples| {
        samples.add(&[("result", "applied")], engine.reloads.applied);
        samples.add(&[("result", "refused")], engine.reloads.refused);
    });
    admin(&mut text, engine);
    site(&mut text, &engine.flow.site);
    subjects(&mut text, "service", &engine.flow.services, &OF_SERVICES);
    service_endings(&mut text, engine);
    cluster_limits(&mut text, engine);
    service_timings(&mut text, engine);
    subjects(&mut text, "tenant", &engine.flow.tenants, &OF_TENANTS);
    if let Some(log) = &engine.access_log {
        access_log(&mut text, log.tally());
    }
    nodes(&mut text, engine);
    shards(&mut text, &engine.flow.shards);
    http2_cuts(&mut text, &engine.flow.shards);
    tls(&mut text, engine);
    redis(&mut text, engine);
    process(&mut text);
    text.into_string()
}

fn admin(text: &mut Text, engine: &Engine) {
    let Some(remote) = &engine.remote else { return };
    text.single(m::ADMIN_UP, u8::from(remote.contact == Contact::Up));
    let in_force = remote.in_force(engine.shards.applied());
    text.single(m::ADMIN_REVISION, in_force.map_or(0, |taken| taken.revision));
    text.single(m::ADMIN_REFUSED, remote.refused_count);
    if let Some(at) = remote.answered_at {
        text.single(m::ADMIN_ANSWERED, at.as_second());
    }
}

fn site(text: &mut Text, site: &Series) {
    let total = &site.total;
    text.single(m::REQUESTS, total.requests);
    text.single(m::REQUESTS_PER_SECOND, site.requests_per_second);
    text.family(m::RESPONSES, |samples| {
        for (class, count) in CLASSES.into_iter().zip(total.answers) {
            samples.add(&[("class", class)], count);
        }
    });
    text.family(m::ENDINGS, |samples| {
        for (cause, phases) in Cause::ALL.into_iter().zip(&total.endings) {
            for (phase, &count) in Phase::ALL.into_iter().zip(phases).filter(|(_, count)| **count > 0) {
                samples.add(&[("cause", cause.as_str()), ("phase", phase.as_str())], count);
            }
        }
    });
    text.single(m::RECEIVED_BYTES, total.bytes_in);
    text.single(m::SENT_BYTES, total.bytes_out);
    let none = Latency::default();
    let latency = total.latency.as_deref().unwrap_or(&none);
    text.family(m::REQUEST_DURATION, |samples| samples.histogram(&[], &latency.total));
    text.family(m::UPSTREAM_DURATION, |samples| samples.histogram(&[], &latency.upstream));
    text.family(m::OWN_DURATION, |samples| samples.histogram(&[], &latency.own));
    for (family, counts) in [(m::LIMITED, total.limited), (m::OBSERVED, total.observed)] {
        text.family(family, |samples| {
            for (kind, count) in LimitKind::ALL.into_iter().zip(counts) {
                samples.add(&[("limit", kind.as_str())], count);
            }
        });
    }
}

/// The families that services and tenants have alike.
struct SubjectFamilies {
    requests: Family,
    requests_per_second: Family,
    responses: Family,
    received_bytes: Family,
    sent_bytes: Family,
    limited: Family,
    observed: Family,
}

const OF_SERVICES: SubjectFamilies = SubjectFamilies {
    requests: m::SERVICE_REQUESTS,
    requests_per_second: m::SERVICE_REQUESTS_PER_SECOND,
    responses: m::SERVICE_RESPONSES,
    received_bytes: m::SERVICE_RECEIVED_BYTES,
    sent_bytes: m::SERVICE_SENT_BYTES,
    limited: m::SERVICE_LIMITED,
    observed: m::SERVICE_OBSERVED,
};

const OF_TENANTS: SubjectFamilies = SubjectFamilies {
    requests: m::TENANT_REQUESTS,
    requests_per_second: m::TENANT_REQUESTS_PER_SECOND,
    responses: m::TENANT_RESPONSES,
    received_bytes: m::TENANT_RECEIVED_BYTES,
    sent_bytes: m::TENANT_SENT_BYTES,
    limited: m::TENANT_LIMITED,
    observed: m::TENANT_OBSERVED,
};

/// All that services and tenants have alike; `label` is what tells them apart.
fn subjects(text: &mut Text, label: &str, all: &BTreeMap<Arc<str>, Series>, families: &SubjectFamilies) {
    let mut each = |family: Family, value: &dyn Fn(&mut Samples, &str, &Series)| {
        text.family(family, |samples| {
            for (name, series) in all {
                value(samples, name, series);
            }
        });
    };
    each(families.requests, &|samples, name, series| samples.add(&[(label, name)], series.total.requests));
    each(families.requests_per_second, &|samples, name, series| {
        samples.add(&[(label, name)], series.requests_per_second);
    });
    each(families.responses, &|samples, name, series| {
        for (class, count) in CLASSES.into_iter().zip(series.total.answers) {
            samples.add(&[(label, name), ("class", class)], count);
        }
    });
    each(families.received_bytes, &|samples, name, series| {
        samples.add(&[(label, name)], series.total.bytes_in);
    });
    each(families.sent_bytes, &|samples, name, series| {
        samples.add(&[(label, name)], series.total.bytes_out);
    });
    type Counts = fn(&Counters) -> &[u64; LIMITS];
    let limits: [(Family, Counts); 2] =
        [(families.limited, |total| &total.limited), (families.observed, |total| &total.observed)];
    for (family, counts) in limits {
        each(family, &|samples, name, series| {
            for (limit, count) in by_limit(counts(&series.total)) {
                samples.add(&[(label, name), ("limit", limit)], count);
            }
        });
    }
}

fn service_endings(text: &mut Text, engine: &Engine) {
    text.family(m::SERVICE_CONNECTIONS, |samples| {
        for plan in &engine.snapshot.services {
            samples.add(&[("service", &plan.config.name)], plan.connections.open());
        }
    });
    text.family(m::SERVICE_ENDINGS, |samples| {
        for (service, series) in &engine.flow.services {
            for (cause, count) in by_cause(&series.total).filter(|(_, count)| *count > 0) {
                samples.add(&[("service", service), ("cause", cause.as_str())], count);
            }
        }
    });
}

/// Only limits that are to be shared.
fn cluster_limits(text: &mut Text, engine: &Engine) {
    text.family(m::LIMIT_CLUSTER_DEGRADED, |samples| {
        for plan in engine.snapshot.services.iter().filter(|plan| plan.config.enabled) {
            if let Some(stock) = plan.rate.as_ref().and_then(|bucket| bucket.stock()) {
                samples.add(&[("service", &plan.config.name)], u8::from(stock.sharing().is_some()));
            }
        }
    });
}

/// Histograms of the services that have counted something.
fn service_timings(text: &mut Text, engine: &Engine) {
    type Part = fn(&Latency) -> &Timing;
    let families: [(Family, Part); 3] = [
        (m::SERVICE_REQUEST_DURATION, |latency| &latency.total),
        (m::SERVICE_UPSTREAM_DURATION, |latency| &latency.upstream),
        (m::SERVICE_OWN_DURATION, |latency| &latency.own),
    ];
    for (family, timing) in families {
        text.family(family, |samples| {
            for (service, series) in &engine.flow.services {
                if let Some(latency) = &series.total.latency {
                    samples.histogram(&[("service", service)], timing(latency));
                }
            }
        });
    }
}

/// The limits that have counted something.
fn by_limit(counts: &[u64; LIMITS]) -> impl Iterator<Item = (&'static str, u64)> {
    let all = LimitKind::ALL.into_iter().map(LimitKind::as_str).zip(*counts);
    all.filter(|(_, count)| *count > 0)
}

fn access_log(text: &mut Text, tally: &Tally) {
    let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
    text.single(m::ACCESS_LOG_LINES, get(&tally.written));
    text.family(m::ACCESS_LOG_DROPPED, |samples| {
        samples.add(&[("reason", "queue_full")], get(&tally.dropped_queue_full));
        samples.add(&[("reason", "write_error")], get(&tally.dropped_write_error));
    });
    text.family(m::ACCESS_LOG_REOPENS, |samples| {
        samples.add(&[("result", "reopened")], get(&tally.reopened));
        samples.add(&[("result", "failed")], get(&tally.reopen_failed));
    });
}

fn by_cause(counters: &Counters) -> impl Iterator<Item = (Cause, u64)> {
    Cause::ALL.into_iter().zip(&counters.endings).map(|(cause, phases)| (cause, phases.iter().sum()))
}

fn nodes(text: &mut Text, engine: &Engine) {
    let mut each = |family: Family, value: &dyn Fn(&ServicePlan, &NodePlan) -> usize| {
        text.family(family, |samples| {
            for plan in engine.snapshot.services.iter().map(Arc::as_ref) {
                for node in &plan.nodes {
                    let address = node.address.to_string();
                    samples.add(&[("service", &plan.config.name), ("node", &address)], value(plan, node));
                }
            }
        });
    };
    each(m::NODE_UP, &|plan, node| usize::from(engine.checker.is_live(&plan.config.name, node.address)));
    each(m::NODE_CONNECTIONS, &|_, node| node.shared.connections.load(Ordering::Relaxed));
    each(m::NODE_WAITING, &|_, node| node.shared.waiting.load(Ordering::Relaxed));
}

fn shards(text: &mut Text, shards: &[ShardCounters]) {
    type Value = fn(&ShardCounters) -> u64;
    let families: [(Family, Value); 13] = [
        (m::SHARD_CONNECTIONS, |shard| shard.connections),
        (m::SHARD_ACCEPTED, |shard| shard.accepted),
        (m::SHARD_REJECTED, |shard| shard.rejected),
        (m::SHARD_POOL_IDLE, |shard| shard.pool_idle),
        (m::SHARD_POOL_OPENED, |shard| shard.pool_opened),
        (m::SHARD_POOL_REUSED, |shard| shard.pool_reused),
        (m::SHARD_RETRIES, |shard| shard.retries),
        (m::SHARD_PANICS, |shard| shard.panics),
        (m::SHARD_HTTP2, |shard| shard.http2),
        (m::SHARD_PROXY_REFUSED, |shard| shard.proxy_refused),
        (m::SHARD_BUFFERS, |shard| shard.buffers),
        (m::SHARD_BUFFERS_LENT, |shard| shard.buffers_lent),
        (m::SHARD_BUFFERS_EXHAUSTED, |shard| shard.buffers_exhausted),
    ];
    for (family, value) in families {
        text.family(family, |samples| {
            for (index, shard) in shards.iter().enumerate() {
                samples.add(&[("shard", &index.to_string())], value(shard));
            }
        });
    }
}

/// HTTP/2 connections that were ended for what their clients did.
fn http2_cuts(text: &mut Text, shards: &[ShardCounters]) {
    text.family(m::SHARD_HTTP2_CUT, |samples| {
        for (index, shard) in shards.iter().enumerate() {
            for (cut, &count) in Http2Cut::ALL.into_iter().zip(&shard.http2_cut) {
                if count > 0 {
                    samples.add(&[("shard", &index.to_string()), ("reason", cut.label())], count);
                }
            }
        }
    });
}

/// Handshakes of all shards, and the certificates in use.
fn tls(text: &mut Text, engine: &Engine) {
    let mut total = ShardCounters::default();
    for shard in &engine.flow.shards {
        total.add_handshakes(&shard.handshakes, &shard.node_handshakes);
        total.handshakes_under_way += shard.handshakes_under_way;
    }
    let handshakes = |samples: &mut Samples, counts: &[u64], labels: fn(Handshake) -> _| {
        for (handshake, &count) in Handshake::ALL.into_iter().zip(counts).filter(|(_, count)| **count > 0) {
            let (result, version, resumed) = labels(handshake);
            samples.add(&[("result", result), ("version", version), ("resumed", resumed)], count);
        }
    };
    text.family(m::TLS_HANDSHAKES, |samples| handshakes(samples, &total.handshakes, Handshake::labels));
    text.family(m::UPSTREAM_TLS_HANDSHAKES, |samples| {
        handshakes(samples, &total.node_handshakes, Handshake::node_labels);
    });
    text.single(m::TLS_HANDSHAKES_UNDER_WAY, total.handshakes_under_way);
    let mut listeners: Vec<_> = engine.snapshot.tls.listeners.iter().collect();
    listeners.sort_by_key(|(name, _)| *name);
    text.family(m::TLS_CERTIFICATE_EXPIRY, |samples| {
        for (listener, tls) in listeners {
            // The configuration numbers them; two may have the same names.
            for (index, facts) in tls.facts.iter().enumerate() {
                let name = facts.names.first().map_or("", String::as_str);
                let index = index.to_string();
                let labels = [("listener", &**listener), ("certificate", &index), ("name", name)];
                samples.add(&labels, facts.not_after);
            }
        }
    });
    let nodes = &engine.snapshot.tls.nodes;
    text.family(m::UPSTREAM_TLS_UNVERIFIED, |samples| {
        nodes.unverified().into_iter().for_each(|service| samples.add(&[("service", service)], 1));
    });
    text.family(m::UPSTREAM_TLS_CERTIFICATE_EXPIRY, |samples| {
        for (service, facts) in nodes.certificates() {
            samples.add(&[("service", service)], facts.not_after);
        }
    });
    text.family(m::TLS_RELOADS, |samples| {
        samples.add(&[("result", "applied")], engine.certificates.applied);
        samples.add(&[("result", "refused")], engine.certificates.refused);
    });
}

fn redis(text: &mut Text, engine: &Engine) {
    let Some(writer) = &engine.flow.writer else { return };
    let (health, stats) = (writer.redis.health(), writer.ledger.stats);
    text.single(m::REDIS_UP, u8::from(health.is_up()));
    text.single(m::REDIS_CONNECTIONS, health.connects);
    text.family(m::FLOW_FLUSHES, |samples| {
        samples.add(&[("result", "confirmed")], stats.confirmed);
        samples.add(&[("result", "failed")], stats.failed);
    });
    text.single(m::FLOW_PENDING_KEYS, writer.ledger.keys());
    text.single(m::FLOW_REFUSED_KEYS, stats.refused);
    text.single(m::FLOW_DROPPED, stats.dropped);
}

/// The process as the kernel counts it (proc_pid_stat(5)); what cannot be read is left out.
fn process(text: &mut Text) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat) {
        text.single(m::PROCESS_CPU, stat.cpu_seconds);
        text.single(m::PROCESS_MEMORY, stat.resident_bytes);
        if let Some(booted) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
            text.single(m::PROCESS_START, booted + stat.started_seconds);
        }
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // Less the one that counts.
        text.single(m::PROCESS_FDS, descriptors.count().saturating_sub(1));
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        text.single(m::PROCESS_FDS_MAX, limit);
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Since the machine was started.
    started_seconds: f64,
    resident_bytes: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name of the process, in parentheses, may hold anything.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let ticks_per_second = precise(rustix::param::clock_ticks_per_second());
    // Fields 14, 15, 22 and 24 of the manual page; 3 is the first one left.
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let started: u64 = fields.nth(6)?.parse().ok()?;
    let pages: u64 = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        cpu_seconds: precise(user + system) / ticks_per_second,
        started_seconds: precise(started) / ticks_per_second,
        resident_bytes: pages * rustix::param::page_size() as u64,
    })
}

fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "clock ticks stay far below 2^52")]
fn precise(ticks: u64) -> f64 {
    ticks as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says_of_a_process() {
        let text = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 100 50 0 0 20 0 3 0 1000 4096 25 99 1 1\n";
        let ticks = precise(rustix::param::clock_ticks_per_second());
        let expected = Stat {
            cpu_seconds: 150.0 / ticks,
            started_seconds: 1000.0 / ticks,
            resident_bytes: 25 * rustix::param::page_size() as u64,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat(""), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
        assert!(parse_stat(&fs::read_to_string("/proc/self/stat").unwrap()).is_some());
    }
}
