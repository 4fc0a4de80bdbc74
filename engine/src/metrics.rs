//! Metric names and the Prometheus text format.
//!
//! Every name that `/metrics` may show is a constant here, with its type and help. [`Text`] writes them in the text
//! exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): HELP and TYPE once a family, samples
//! of a family together, label values escaped. Units are base units (seconds, bytes); counters end in `_total`.
//!
//! Labels are bounded: causes, phases and classes by their enums, services and nodes by the configuration, shards by
//! the machine.

use std::fmt::{Display, Write};

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
    /// Counter or gauge.
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
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
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
    REQUESTS Counter "coregate_requests_total" "Exchanges that ended.";
    REQUESTS_PER_SECOND Gauge "coregate_requests_per_second" "Exchanges that ended in the last interval, by its length.";
    RESPONSES Counter "coregate_responses_total" "Answers sent by class of status.";
    ENDINGS Counter "coregate_endings_total" "Exchanges by why (cause) and where (phase) they ended.";
    RECEIVED_BYTES Counter "coregate_received_bytes_total" "Bytes of requests from clients.";
    SENT_BYTES Counter "coregate_sent_bytes_total" "Bytes of answers to clients.";
    SERVICE_REQUESTS Counter "coregate_service_requests_total" "Exchanges of a service that ended.";
    SERVICE_REQUESTS_PER_SECOND Gauge "coregate_service_requests_per_second"
        "Exchanges of a service that ended in the last interval, by its length.";
    SERVICE_RESPONSES Counter "coregate_service_responses_total" "Answers of a service by class of status.";
    SERVICE_ENDINGS Counter "coregate_service_endings_total" "Exchanges of a service by why they ended.";
    SERVICE_RECEIVED_BYTES Counter "coregate_service_received_bytes_total" "Bytes of a service's requests from clients.";
    SERVICE_SENT_BYTES Counter "coregate_service_sent_bytes_total" "Bytes of a service's answers to clients.";
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
    SHARD_BUFFERS Gauge "coregate_shard_buffers" "Receive buffers of a shard.";
    SHARD_BUFFERS_LENT Gauge "coregate_shard_buffers_lent" "Receive buffers of a shard that hold unread bytes.";
    SHARD_BUFFERS_EXHAUSTED Counter "coregate_shard_buffers_exhausted_total"
        "Times that a shard's receive buffers ran out.";
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
        self.out.push_str(self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            escape(self.out, text);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
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
            assert!(family.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
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
