//! Every bound of the schema, in one place.

use std::time::Duration;

/// Largest text that is read.
pub const TEXT_BYTES_MAX: u64 = 512 << 20;
/// Deepest nesting of JSON that is read; the schema itself needs 6.
pub const NESTING_MAX: usize = 16;
/// Most elements of any list that are even read.
pub const LIST_LENGTH_MAX: usize = 1_000_000;

/// Most listeners.
pub const LISTENERS_MAX: usize = 1024;
/// Most certificates of a listener.
pub const CERTIFICATES_MAX: usize = 1000;
/// Most certificates whose text stands in the configuration.
pub const NAMED_CERTIFICATES_MAX: usize = 10_000;
/// Longest chain in the configuration.
pub const CHAIN_BYTES_MAX: usize = 256 << 10;
/// Longest private key in the configuration.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Most routes by SNI of a listener.
pub const SNI_ROUTES_MAX: usize = 1000;
/// Most services.
pub const SERVICES_MAX: usize = 100_000;
/// Most routes of a service.
pub const ROUTES_MAX: usize = 256;
/// Most hosts of a route, by Host or by SNI.
pub const HOSTS_MAX: usize = 256;
/// Most methods of a route.
pub const METHODS_MAX: usize = 64;
/// Most rewrites of a route, and most header rules in one direction.
pub const RULES_MAX: usize = 64;
/// Most nodes of a service.
pub const NODES_MAX: usize = 1024;
/// Most statuses that a health check expects.
pub const STATUSES_MAX: usize = 500;
/// Most networks of one list.
pub const NETWORKS_MAX: usize = 100_000;
/// Most tenants.
pub const TENANTS_MAX: usize = 1_000_000;
/// Highest CPU number, as Linux counts them.
pub const CPU_MAX: i64 = 8191;
/// Most CPUs that can be listed.
pub const CPUS_MAX: usize = 1024;

/// Longest name of a listener, a certificate or a service, and longest `app_id`.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest description, for people.
pub const DESCRIPTION_BYTES_MAX: usize = 4096;
/// Longest path prefix, health check path and replacement.
pub const PATH_BYTES_MAX: usize = 2048;
/// Longest method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest rewrite pattern as written.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// Largest rewrite pattern as compiled.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;
/// Longest header name in a rule.
pub const HEADER_NAME_BYTES_MAX: usize = 256;
/// Longest header value in a rule.
pub const HEADER_VALUE_BYTES_MAX: usize = 8 << 10;
/// Longest tenant secret.
pub const SECRET_BYTES_MAX: usize = 1024;
/// Longest file path and URL.
pub const LOCATION_BYTES_MAX: usize = 4096;
/// Longest name of a gRPC service.
pub const GRPC_SERVICE_BYTES_MAX: usize = 256;
/// Longest prefix of Redis keys.
pub const KEY_PREFIX_BYTES_MAX: usize = 128;

/// Longest of most durations.
pub const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Shortest of most durations.
pub const TIME_MIN: Duration = Duration::from_millis(1);
/// Shortest time between two deltas of a shard.
pub const STATS_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Longest time between two deltas of a shard; a crash loses as much.
pub const STATS_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Shortest time that Redis keeps a counter after it last changed.
pub const RETENTION_MIN: Duration = Duration::from_secs(3600);
/// Longest time that Redis keeps a counter.
pub const RETENTION_MAX: Duration = Duration::from_secs(3660 * 24 * 3600);
/// Shortest time between two health checks of a node.
pub const HEALTH_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Most failures or successes in a row that a health check may ask for.
pub const HEALTH_STREAK_MAX: i64 = 1000;

/// Longest age of Strict-Transport-Security: two years, as preload lists ask for.
pub const HSTS_MAX: Duration = Duration::from_secs(730 * 24 * 3600);

/// Smallest limit for a request head.
pub const HEADER_BYTES_MIN: u64 = 1 << 10;
/// Largest limit for a request head.
pub const HEADER_BYTES_MAX: u64 = 256 << 10;
/// Largest limit for the fields of a request.
pub const HEADER_FIELDS_MAX: i64 = 256;
/// Largest limit for a request body; 0 is for none.
pub const BODY_BYTES_MAX: u64 = 1 << 50;
/// Most shards.
pub const SHARDS_MAX: i64 = 1024;
/// Most streams of an HTTP/2 connection at once.
pub const STREAMS_MAX: i64 = 1000;
/// Most resets of HTTP/2 streams in a second.
pub const RESETS_MAX: i64 = 1_000_000;
/// Most client connections, handshakes, and upstream connections of a node.
pub const CONNECTIONS_MAX: i64 = 10_000_000;
/// Fewest clients that limits are kept for.
pub const CLIENT_LIMIT_ENTRIES_MIN: i64 = 1000;
/// Most clients that limits are kept for, 1.6 GB.
pub const CLIENT_LIMIT_ENTRIES_MAX: i64 = 100_000_000;
/// Largest weight of a node.
pub const WEIGHT_MAX: i64 = 65_535;
/// Highest rate a second and largest burst.
pub const RATE_MAX: f64 = 1e9;

const _: () = {
    assert!(HEADER_BYTES_MIN < HEADER_BYTES_MAX);
    assert!(TENANTS_MAX <= LIST_LENGTH_MAX && SERVICES_MAX <= LIST_LENGTH_MAX);
    assert!(NETWORKS_MAX <= LIST_LENGTH_MAX);
    assert!(STATS_INTERVAL_MAX.as_secs() <= RETENTION_MIN.as_secs());
    assert!(RETENTION_MIN.as_secs() < RETENTION_MAX.as_secs());
    assert!(CPUS_MAX as i64 == SHARDS_MAX && SHARDS_MAX <= CPU_MAX);
};
