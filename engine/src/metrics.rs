//! Metric names and the Prometheus text format.
//!
//! Every name that `/metrics` may show is a constant here, with its type and help. [`Text`] writes them in the text
//! exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): HELP and TYPE once a family, samples
//! of a family together, label values escaped. Units are base units (seconds, bytes); counters end in `_total`.
//!
//! Labels are bounded: causes, phases, classes and limits by their enums, services, nodes and tenants by the
//! configuration, shards by the machine.
//!
//! Histograms have the bounds of [`BOUNDS`]. What was recorded is known to 6.25% ([`crate::account::Latency`]), so a value
//! that is above a bound by less than that may count as within it; counts and sums are exact.

use std::fmt::{Display, Write};

use crate::account::Timing;

/// This build's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, if its build had `COREGATE_COMMIT` in the environment.
pub const COMMIT: Option<&str> = option_env!("COREGATE_COMMIT");

/// The content type of [`Text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// One line for people.
    pub help: &'static str,
}

/// A family's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, until the process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! families {
    ($($constant:ident $kind:ident $name:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Family = Family { name: $name, kind: Kind::$kind, help: $help };
        )*
        /// All of them.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD_INFO Gauge "coregate_build_info" "Always 1; version and commit are labels.";
    READY Gauge "coregate_ready" "1 while /readyz answers 200.";
    CONFIG_REVISION Gauge "coregate_config_revision" "Revision of the configuration that was last sent to the shards.";
    CONFIG_RELOADS Counter "coregate_config_reloads_total" "Reloads of the configuration by result.";
    ADMIN_UP Gauge "coregate_admin_up" "1 while the admin answers; only with control.source = \"admin\".";
    ADMIN_REVISION Gauge "coregate_admin_revision" "Revision of the admin that all shards have in force; 0 = none.";
    ADMIN_REFUSED Counter "coregate_admin_refused_total" "Configurations of the admin that were refused.";
    ADMIN_ANSWERED Gauge "coregate_admin_last_answer_timestamp_seconds" "When the admin last answered.";
    REQUESTS Counter "coregate_requests_total" "Exchanges that ended.";
    REQUESTS_PER_SECOND Gauge "coregate_requests_per_second" "Exchanges that ended in the last interval, by its length.";
    RESPONSES Counter "coregate_responses_total" "Answers sent by class of status.";
    ENDINGS Counter "coregate_endings_total" "Exchanges by why (cause) and where (phase) they ended.";
    RECEIVED_BYTES Counter "coregate_received_bytes_total" "Bytes of requests from clients.";
    SENT_BYTES Counter "coregate_sent_bytes_total" "Bytes of answers to clients.";
    REQUEST_DURATION Histogram "coregate_request_duration_seconds"
        "Exchanges by how long they took, from the first byte of the head to the last of the answer.";
    UPSTREAM_DURATION Histogram "coregate_upstream_duration_seconds"
        "Exchanges that asked a node by how long that took, from the request sent to the last byte of the answer.";
    OWN_DURATION Histogram "coregate_own_duration_seconds"
        "Exchanges by how long they took apart from the node: the gateway's own part, and the client's.";
    LIMITED Counter "coregate_limited_requests_total" "Requests refused by kind of limit.";
    OBSERVED Counter "coregate_limit_observed_requests_total"
        "Requests that a limit in observe mode would have refused by kind of limit.";
    SERVICE_REQUESTS Counter "coregate_service_requests_total" "Exchanges of a service that ended.";
    SERVICE_REQUESTS_PER_SECOND Gauge "coregate_service_requests_per_second"
        "Exchanges of a service that ended in the last interval, by its length.";
    SERVICE_RESPONSES Counter "coregate_service_responses_total" "Answers of a service by class of status.";
    SERVICE_RECEIVED_BYTES Counter "coregate_service_received_bytes_total" "Bytes of a service's requests from clients.";
    SERVICE_SENT_BYTES Counter "coregate_service_sent_bytes_total" "Bytes of a service's answers to clients.";
    SERVICE_REQUEST_DURATION Histogram "coregate_service_request_duration_seconds"
        "Exchanges of a service by how long they took, from the first byte of the head to the last of the answer.";
    SERVICE_UPSTREAM_DURATION Histogram "coregate_service_upstream_duration_seconds"
        "Exchanges of a service that asked a node by how long that took.";
    SERVICE_OWN_DURATION Histogram "coregate_service_own_duration_seconds"
        "Exchanges of a service by how long they took apart from the node.";
    LIMIT_CLUSTER_DEGRADED Gauge "coregate_limit_cluster_degraded"
        "1 while a service's limit is not shared with the cluster: it goes on with this process's last share.";
    SERVICE_LIMITED Counter "coregate_service_limited_requests_total" "Requests to a service refused by kind of limit.";
    SERVICE_OBSERVED Counter "coregate_service_limit_observed_requests_total"
        "Requests to a service that a limit in observe mode would have refused by kind of limit.";
    SERVICE_CONNECTIONS Gauge "coregate_service_connections"
        "TCP and upgraded connections of a service that are open, over all shards.";
    SERVICE_ENDINGS Counter "coregate_service_endings_total" "Exchanges of a service by why they ended.";
    TENANT_REQUESTS Counter "coregate_tenant_requests_total" "Exchanges of a tenant that ended.";
    TENANT_REQUESTS_PER_SECOND Gauge "coregate_tenant_requests_per_second"
        "Exchanges of a tenant that ended in the last interval, by its length.";
    TENANT_RESPONSES Counter "coregate_tenant_responses_total" "Answers to a tenant by class of status.";
    TENANT_RECEIVED_BYTES Counter "coregate_tenant_received_bytes_total" "Bytes of a tenant's requests.";
    TENANT_SENT_BYTES Counter "coregate_tenant_sent_bytes_total" "Bytes of answers to a tenant.";
    TENANT_LIMITED Counter "coregate_tenant_limited_requests_total" "Requests of a tenant refused by kind of limit.";
    TENANT_OBSERVED Counter "coregate_tenant_limit_observed_requests_total"
        "Requests of a tenant that a limit in observe mode would have refused by kind of limit.";
    ACCESS_LOG_LINES Counter "coregate_access_log_lines_total" "Lines of the access log that were written.";
    ACCESS_LOG_DROPPED Counter "coregate_access_log_dropped_lines_total"
        "Lines of the access log that were dropped by reason: the writer was behind, or writing failed.";
    ACCESS_LOG_REOPENS Counter "coregate_access_log_reopens_total" "Reopenings of the access log's file by result.";
    NODE_UP Gauge "coregate_node_up" "1 while a node takes traffic.";
    NODE_CONNECTIONS Gauge "coregate_node_connections" "Connections open to a node, over all shards.";
    NODE_WAITING Gauge "coregate_node_waiting_exchanges" "Exchanges that wait for a connection, because the node has its most.";
    SHARD_CONNECTIONS Gauge "coregate_shard_connections" "Client connections open on a shard.";
    SHARD_ACCEPTED Counter "coregate_shard_accepted_connections_total" "Client connections accepted by a shard.";
    SHARD_REJECTED Counter "coregate_shard_rejected_connections_total"
        "Client connections that a shard closed at its connection limit.";
    SHARD_POOL_IDLE Gauge "coregate_shard_pool_idle_connections" "Idle upstream connections of a shard.";
    SHARD_POOL_OPENED Counter "coregate_shard_pool_opened_connections_total" "Upstream connections opened by a shard.";
    SHARD_POOL_REUSED Counter "coregate_shard_pool_reused_connections_total"
        "Exchanges of a shard that went over an idle upstream connection.";
    SHARD_RETRIES Counter "coregate_shard_retries_total" "Requests that a shard sent again on a fresh connection.";
    SHARD_PANICS Counter "coregate_shard_panics_total" "Connection tasks of a shard that panicked.";
    SHARD_HTTP2 Counter "coregate_shard_http2_connections_total" "Client connections of a shard that spoke HTTP/2.";
    SHARD_HTTP2_CUT Counter "coregate_shard_http2_connections_cut_total"
        "HTTP/2 connections of a shard that were ended with GOAWAY for what the client did, by reason.";
    SHARD_PROXY_REFUSED Counter "coregate_shard_proxy_headers_refused_total"
        "Client connections that a shard closed for want of a PROXY header that is believed.";
    SHARD_BUFFERS Gauge "coregate_shard_buffers" "Receive buffers of a shard.";
    SHARD_BUFFERS_LENT Gauge "coregate_shard_buffers_lent" "Receive buffers of a shard that hold unread bytes.";
    SHARD_BUFFERS_EXHAUSTED Counter "coregate_shard_buffers_exhausted_total"
        "Times that a shard's receive buffers ran out.";
    TLS_HANDSHAKES Counter "coregate_tls_handshakes_total"
        "TLS handshakes with clients by result; those that were done by version and by whether a session was resumed.";
    TLS_HANDSHAKES_UNDER_WAY Gauge "coregate_tls_handshakes_under_way" "TLS handshakes with clients that are under way.";
    TLS_CERTIFICATE_EXPIRY Gauge "coregate_tls_certificate_expiry_timestamp_seconds"
        "When a listener's certificate expires, as a Unix time; certificate is its number in the configuration.";
    UPSTREAM_TLS_HANDSHAKES Counter "coregate_upstream_tls_handshakes_total"
        "TLS handshakes with nodes, for traffic, by result; those that were done by version and by whether a session was resumed.";
    UPSTREAM_TLS_UNVERIFIED Gauge "coregate_upstream_tls_unverified"
        "1 for a service whose nodes are not verified (upstream_tls.danger_accept_any_certificate).";
    UPSTREAM_TLS_CERTIFICATE_EXPIRY Gauge "coregate_upstream_tls_certificate_expiry_timestamp_seconds"
        "When the certificate that a service presents to its nodes expires, as a Unix time.";
    TLS_RELOADS Counter "coregate_tls_certificate_reloads_total"
        "Readings of certificate files that had changed by result; refused: some were bad, and the old ones stay.";
    REDIS_UP Gauge "coregate_redis_up" "1 while Redis takes what it is sent; absent without a Redis.";
    REDIS_CONNECTIONS Counter "coregate_redis_connections_total" "Connections to Redis that were made.";
    FLOW_FLUSHES Counter "coregate_flow_flushes_total" "Attempts to write flow counters to Redis by result.";
    FLOW_PENDING_KEYS Gauge "coregate_flow_pending_keys" "Keys whose counts wait to be written to Redis.";
    FLOW_REFUSED_KEYS Counter "coregate_flow_refused_keys_total"
        "Times that Redis refused to count under a key, such as one of another type; its counts are kept.";
    FLOW_DROPPED Counter "coregate_flow_dropped_counts_total"
        "Counts that could not be written to Redis for as long as it would have kept them.";
    PROCESS_CPU Counter "process_cpu_seconds_total" "User and system CPU time of the process in seconds.";
    PROCESS_MEMORY Gauge "process_resident_memory_bytes" "Resident memory of the process in bytes.";
    PROCESS_FDS Gauge "process_open_fds" "Open file descriptors of the process.";
    PROCESS_FDS_MAX Gauge "process_max_fds" "Most file descriptors that the process may open.";
    PROCESS_START Gauge "process_start_time_seconds" "Start of the process in seconds since the epoch.";
}

/// Metrics being written.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
}

impl Text {
    /// What was written.
    pub fn into_string(self) -> String {
        self.out
    }

    /// Writes one family: `samples` writes its lines. A family without a sample is left out.
    pub fn family(&mut self, family: Family, samples: impl FnOnce(&mut Samples)) {
        let before = self.out.len();
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "# HELP {} {}", family.name, family.help);
        let _ = writeln!(self.out, "# TYPE {} {}", family.name, family.kind.as_str());
        let head = self.out.len();
        samples(&mut Samples { name: family.name, out: &mut self.out });
        if self.out.len() == head {
            self.out.truncate(before);
        }
    }

    /// Writes a family of one sample without labels.
    pub fn single(&mut self, family: Family, value: impl Display) {
        self.family(family, |samples| samples.add(&[], value));
    }
}

/// The lines of one family.
pub struct Samples<'a> {
    name: &'static str,
    out: &'a mut String,
}

impl Samples<'_> {
    /// Writes one sample.
    pub fn add(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels.iter().copied(), value);
    }

    /// Writes a histogram: its buckets, sum and count.
    pub fn histogram(&mut self, labels: &[(&str, &str)], timing: &Timing) {
        let labels = labels.iter().copied();
        for ((_, le), count) in BOUNDS.iter().zip(cumulative(timing)) {
            self.line("_bucket", labels.clone().chain([("le", *le)]), count);
        }
        let count = timing.histogram.len();
        self.line("_bucket", labels.clone().chain([("le", "+Inf")]), count);
        let (seconds, rest_us) = (timing.sum_us / 1_000_000, timing.sum_us % 1_000_000);
        self.line("_sum", labels.clone(), format_args!("{seconds}.{rest_us:06}"));
        self.line("_count", labels, count);
    }

    fn line<'l>(
        &mut self,
        suffix: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: impl Display,
    ) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut before = '{';
        for (label, text) in labels {
            self.out.push(before);
            self.out.push_str(label);
            self.out.push_str("=\"");
            escape(self.out, text);
            self.out.push('"');
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

/// Upper bounds of histograms: in microseconds, and in seconds as text.
pub const BOUNDS: [(u64, &str); 18] = [
    (25, "0.000025"),
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// How many values are within each bound.
fn cumulative(timing: &Timing) -> [u64; BOUNDS.len()] {
    let histogram = &timing.histogram;
    let mut counts = [0; BOUNDS.len()];
    for step in histogram.iter_recorded() {
        // Values that were recorded together count as the least of them.
        let value = histogram.lowest_equivalent(step.value_iterated_to());
        let bound = BOUNDS.partition_point(|(bound, _)| *bound < value);
        if let Some(count) = counts.get_mut(bound) {
            *count += step.count_at_value();
        }
    }
    let mut below = 0;
    counts.map(|count| {
        below += count;
        below
    })
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_what_prometheus_wants() {
        let mut seen = HashSet::new();
        for family in ALL {
            assert!(seen.insert(family.name), "{} stands there twice", family.name);
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(family.name.bytes().all(fits), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
        }
    }

    fn timing(values: &[u64]) -> Timing {
        let mut timing = Timing::default();
        for &us in values {
            timing.histogram.saturating_record(us);
            timing.sum_us = timing.sum_us.saturating_add(us);
        }
        timing
    }

    #[test]
    fn a_histogram_counts_what_is_within_each_bound() {
        let all: Vec<u64> = BOUNDS.iter().map(|(us, _)| *us).collect();
        let counts = cumulative(&timing(&all));
        assert_eq!(
            counts.to_vec(),
            (1..=BOUNDS.len() as u64).collect::<Vec<_>>(),
            "a bound is within itself"
        );
        assert_eq!(cumulative(&timing(&[10_700_000, u64::MAX])), [0; BOUNDS.len()]);
        assert_eq!(cumulative(&timing(&[0, 0, 0])), [3; BOUNDS.len()]);
    }

    #[test]
    fn bounds_ascend_and_say_the_same_in_seconds() {
        assert!(BOUNDS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (us, seconds) in BOUNDS {
            let read: f64 = seconds.parse().unwrap();
            assert!((read * 1e6 - us as f64).abs() < 1e-6, "{us} {seconds}");
        }
    }

    proptest::proptest! {
        #[test]
        fn buckets_ascend_to_the_count_and_are_right_to_a_sixteenth(
            values in proptest::collection::vec(0u64..20_000_000, 0..100),
        ) {
            let timing = timing(&values);
            let counts = cumulative(&timing);
            assert!(counts.is_sorted());
            assert!(counts[BOUNDS.len() - 1] <= timing.histogram.len());
            for ((bound, _), count) in BOUNDS.iter().zip(counts) {
                let within = |max: u64| values.iter().filter(|value| **value <= max).count() as u64;
                assert!((within(*bound)..=within(bound + bound / 16)).contains(&count));
            }
        }
    }

    #[test]
    fn writes_histograms() {
        let mut text = Text::default();
        text.family(SERVICE_OWN_DURATION, |samples| {
            samples.histogram(&[("service", "a")], &timing(&[30, 2_000_001]));
        });
        let text = text.into_string();
        assert!(text.contains("# TYPE coregate_service_own_duration_seconds histogram\n"), "{text}");
        for line in [
            "coregate_service_own_duration_seconds_bucket{service=\"a\",le=\"0.000025\"} 0\n",
            "coregate_service_own_duration_seconds_bucket{service=\"a\",le=\"0.00005\"} 1\n",
            "coregate_service_own_duration_seconds_bucket{service=\"a\",le=\"2.5\"} 2\n",
            "coregate_service_own_duration_seconds_bucket{service=\"a\",le=\"+Inf\"} 2\n",
            "coregate_service_own_duration_seconds_sum{service=\"a\"} 2.000031\n",
            "coregate_service_own_duration_seconds_count{service=\"a\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn writes_the_text_format() {
        let mut text = Text::default();
        text.single(REQUESTS, 3);
        text.family(RESPONSES, |samples| {
            samples.add(&[("class", "2xx")], 2);
            samples.add(&[("class", "5xx"), ("odd", "a\"b\\c\nd")], 1.5);
        });
        text.family(NODE_UP, |_| {});
        assert_eq!(
            text.into_string(),
            "# HELP coregate_requests_total Exchanges that ended.\n\
             # TYPE coregate_requests_total counter\n\
             coregate_requests_total 3\n\
             # HELP coregate_responses_total Answers sent by class of status.\n\
             # TYPE coregate_responses_total counter\n\
             coregate_responses_total{class=\"2xx\"} 2\n\
             coregate_responses_total{class=\"5xx\",odd=\"a\\\"b\\\\c\\nd\"} 1.5\n"
        );
    }
}
