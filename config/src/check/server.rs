//! `[server]`, `[stats]` and `[control]`: what belongs to one process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Files;
use super::values::{connections, count_is_sane, integer, location, networks, time_within};
use crate::checked::{AccessLog, AccessLogFormat, AccessLogPath, Control, Server, Stats};
use crate::limits::{
    CLIENT_LIMIT_ENTRIES_MAX, CLIENT_LIMIT_ENTRIES_MIN, CPU_MAX, CPUS_MAX, KEY_PREFIX_BYTES_MAX,
    RETENTION_MAX, RETENTION_MIN, SHARDS_MAX, STATS_INTERVAL_MAX, STATS_INTERVAL_MIN, TIME_MAX,
};
use crate::path::At;
use crate::raw;
use crate::read::nearest;
use crate::report::Problems;

const REDIS_SCHEMES: &[&str] =
    &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// `[server]`
pub fn server(raw: &raw::Server, files: Files, at: &At, problems: &mut Problems) -> Option<Server> {
    let shards = integer(raw.shards, 0..=SHARDS_MAX, &at.key("shards"), problems);
    let cpus = cpus(raw, at, problems);
    let ops_address = match &raw.ops_address {
        Some(address) => socket_address(address, &at.key("ops_address"), problems).map(Some),
        None => Some(None),
    };
    let drain_timeout =
        time_within(raw.drain_timeout, Duration::ZERO..=TIME_MAX, &at.key("drain_timeout"), problems);
    let max_connections = connections(raw.max_connections, 1, &at.key("max_connections"), problems);
    let trusted_proxies = networks(&raw.trusted_proxies, &at.key("trusted_proxies"), problems);
    let entries = CLIENT_LIMIT_ENTRIES_MIN..=CLIENT_LIMIT_ENTRIES_MAX;
    let client_limit_entries =
        integer(raw.client_limit_entries, entries, &at.key("client_limit_entries"), problems);
    let access_log = access_log(&raw.access_log, files, &at.key("access_log"), problems);
    Some(Server {
        shards: shards?,
        cpus: cpus?,
        ops_address: ops_address?,
        drain_timeout: drain_timeout?,
        max_connections: max_connections?,
        trusted_proxies: trusted_proxies?,
        client_limit_entries: client_limit_entries?,
        access_log: access_log?,
    })
}

fn cpus(raw: &raw::Server, at: &At, problems: &mut Problems) -> Option<Vec<usize>> {
    let list = at.key("cpus");
    if !count_is_sane(raw.cpus.len(), CPUS_MAX, &list, problems) {
        return None;
    }
    let mut cpus = Vec::with_capacity(raw.cpus.len());
    let mut first: HashMap<i64, usize> = HashMap::new();
    for (index, cpu) in raw.cpus.iter().enumerate() {
        cpus.push(integer(*cpu, 0..=CPU_MAX, &list.index(index), problems));
        if let Some(other) = first.insert(*cpu, index) {
            problems.clash(&list.index(index), "is the same as", &list.index(other));
        }
    }
    let shards_agree = raw.shards == 0 || usize::try_from(raw.shards) == Ok(raw.cpus.len());
    if !raw.cpus.is_empty() && !shards_agree && !problems.is_unread(&list) {
        let message = format!("must be 0 or {}, the number of server.cpus: one shard a CPU", raw.cpus.len());
        problems.add(&at.key("shards"), message);
    }
    cpus.into_iter().collect()
}

fn access_log(raw: &raw::AccessLog, files: Files, at: &At, problems: &mut Problems) -> Option<AccessLog> {
    let path = match raw.path.as_str() {
        "none" => Some(AccessLogPath::None),
        "stdout" => Some(AccessLogPath::Stdout),
        path => {
            location(path, &at.key("path"), problems).map(|path| AccessLogPath::File(files.locate(&path)))
        }
    };
    let format = match raw.format {
        raw::AccessLogFormat::Json => AccessLogFormat::Json,
        raw::AccessLogFormat::Combined => AccessLogFormat::Combined,
    };
    if !(0.0..=1.0).contains(&raw.sample) {
        problems.add(&at.key("sample"), "must be 0.0 (no request is logged) to 1.0 (every request is)");
    }
    Some(AccessLog { path: path?, format, sample: raw.sample })
}

/// `[stats]`
pub fn stats(raw: &raw::Stats, at: &At, problems: &mut Problems) -> Option<Stats> {
    let interval =
        time_within(raw.interval, STATS_INTERVAL_MIN..=STATS_INTERVAL_MAX, &at.key("interval"), problems);
    let timezone = timezone(&raw.timezone, &at.key("timezone"), problems);
    let redis_url = match &raw.redis_url {
        Some(url) => redis_url(url, &at.key("redis_url"), problems).map(Some),
        None => Some(None),
    };
    let key_prefix = key_prefix(&raw.key_prefix, &at.key("key_prefix"), problems);
    let retention = time_within(raw.retention, RETENTION_MIN..=RETENTION_MAX, &at.key("retention"), problems);
    Some(Stats {
        interval: interval?,
        timezone: timezone?,
        redis_url: redis_url?,
        key_prefix: key_prefix?,
        retention: retention?,
    })
}

fn timezone(name: &str, at: &At, problems: &mut Problems) -> Option<String> {
    let known = jiff::tz::db();
    if known.get(name).is_ok() {
        return Some(name.to_owned());
    }
    let names: Vec<String> = known.available().map(|name| name.as_str().to_owned()).collect();
    let hint = nearest(name, names.iter().map(String::as_str)).map_or_else(
        || "such as \"UTC\" or \"Asia/Shanghai\"".to_owned(),
        |near| format!("did you mean {near:?}?"),
    );
    problems.add(at, format!("must be the IANA name of a time zone; {hint}"));
    None
}

fn redis_url(url: &str, at: &At, problems: &mut Problems) -> Option<String> {
    let url = location(url, at, problems)?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
    if !REDIS_SCHEMES.contains(&scheme) {
        problems.add(at, format!("must begin with one of {}://", REDIS_SCHEMES.join("://, ")));
        return None;
    }
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if host.is_empty() || host.starts_with(['/', ':', '?']) || host.contains(char::is_whitespace) {
        problems.add(at, format!("must name a host: {scheme}://HOST:PORT"));
        return None;
    }
    Some(url)
}

fn key_prefix(prefix: &str, at: &At, problems: &mut Problems) -> Option<String> {
    if prefix.len() > KEY_PREFIX_BYTES_MAX || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
        problems.add(at, format!("must be at most {KEY_PREFIX_BYTES_MAX} visible ASCII characters"));
        return None;
    }
    Some(prefix.to_owned())
}

/// `[control]`
pub fn control(raw: &raw::Control, files: Files, at: &At, problems: &mut Problems) -> Option<Control> {
    let source = at.key("source");
    let keys =
        [("admin_url", &raw.admin_url), ("token_file", &raw.token_file), ("cache_path", &raw.cache_path)];
    if raw.source == raw::ControlSource::File {
        for (key, _) in keys.iter().filter(|(_, value)| value.is_some()) {
            if !problems.is_unread(&source) {
                problems.add(&at.key(key), "is for control.source = \"admin\" alone");
            }
        }
        return Some(Control::File);
    }
    let [url, token_file, cache_path] = keys.map(|(key, value)| match value {
        Some(value) => location(value, &at.key(key), problems),
        None => {
            problems.add(&at.key(key), "is missing and must be given, as control.source = \"admin\"");
            None
        }
    });
    let url = url.and_then(|url| admin_url(&url, &at.key("admin_url"), problems));
    if let Some(token_file) = &token_file {
        files.must_open(token_file, &at.key("token_file"), problems);
    }
    Some(Control::Admin {
        url: url?,
        token_file: files.locate(&token_file?),
        cache_path: files.locate(&cache_path?),
    })
}

fn admin_url(url: &str, at: &At, problems: &mut Problems) -> Option<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let wrong = match rest {
        None => Some("must begin with http:// or https://"),
        Some(rest) if rest.is_empty() || rest.starts_with(['/', ':']) => Some("must name a host"),
        Some(rest) if rest.contains('@') => {
            Some("must not hold credentials; the token stands in control.token_file")
        }
        Some(rest) if rest.contains(['?', '#']) || rest.contains(char::is_whitespace) => {
            Some("must be a base URL, without query, fragment or spaces")
        }
        Some(_) => None,
    };
    match wrong {
        Some(wrong) => {
            problems.add(at, wrong);
            None
        }
        // Paths are appended to it.
        None => Some(url.trim_end_matches('/').to_owned()),
    }
}

/// `IP:PORT` of a socket to listen on.
pub fn socket_address(text: &str, at: &At, problems: &mut Problems) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
    }
    let hint = match text.strip_prefix(':').or_else(|| text.strip_prefix("*:")) {
        Some(port) => format!("; for every IPv4 address write \"0.0.0.0:{port}\""),
        None if text.starts_with("localhost:") => "; for localhost write \"127.0.0.1\"".to_owned(),
        None => String::new(),
    };
    problems.add(at, format!("must be IP:PORT, such as \"127.0.0.1:8080\" or \"[::1]:8080\"{hint}"));
    None
}
