//! Whether Redis works, and the words for it when it does not. Sans-io.
//!
//! Input: what came of connecting and of pipelines, with `now`. Output: [`Health`], and whether a log line is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// The same trouble is logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Whether it works.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// There is a connection.
    pub connected: bool,
    /// What is wrong; `None` = it works, or nothing has been tried yet.
    pub trouble: Option<Trouble>,
    /// Connections that were made.
    pub connects: u64,
    logged: Option<(Arc<str>, Instant)>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One sentence: what the server or the system said, and what would be right.
    pub why: Arc<str>,
    /// Since when it has not worked.
    pub since: Instant,
    /// It is connected, and refuses what it is asked for.
    refuses: bool,
}

impl Health {
    /// It does what it is asked for.
    pub fn is_up(&self) -> bool {
        self.connected && self.trouble.is_none()
    }

    /// A connection was made. What the last one refused is not yet known to be over.
    pub(super) fn connected(&mut self) {
        self.connected = true;
        self.connects += 1;
        if self.trouble.as_ref().is_some_and(|trouble| !trouble.refuses) {
            self.trouble = None;
        }
    }

    /// It did all that it was asked for. Says whether that is news.
    pub(super) fn works(&mut self) -> bool {
        self.trouble.take_if(|_| self.connected).is_some()
    }

    /// Something is wrong. Says whether it is to be logged.
    pub(super) fn fails(&mut self, connected: bool, why: &Arc<str>, now: Instant) -> bool {
        self.connected = connected;
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { why: Arc::clone(why), since, refuses: connected });
        let due = match &self.logged {
            Some((last, at)) => last != why || now.saturating_duration_since(*at) >= LOG_AGAIN,
            None => true,
        };
        if due {
            self.logged = Some((Arc::clone(why), now));
        }
        due
    }

    /// The next trouble is news, whatever it is.
    pub(super) fn forget_logged(&mut self) {
        self.logged = None;
    }
}

/// Errors of a server that make it no use to us now, whatever we ask for. Another connection may find a better one.
pub(super) fn is_refusal(words: &str) -> bool {
    const CODES: [&str; 11] = [
        "READONLY",
        "OOM",
        "MISCONF",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "NOREPLICAS",
        "BUSY",
    ];
    let code = words.split(' ').next().unwrap_or_default();
    CODES.contains(&code)
}

/// Whether another connection could find a server that does not refuse: a new master, a new password.
pub(super) fn is_cured_by_connecting(words: &str) -> bool {
    const CODES: [&str; 4] = ["READONLY", "NOAUTH", "MASTERDOWN", "CLUSTERDOWN"];
    CODES.contains(&words.split(' ').next().unwrap_or_default())
}

/// The client shows errors of the system as Rust's debugging does: `Os { code: 111, .., message: "Connection refused" }`.
fn spoken(words: &str) -> &str {
    let inner = |start| words.split_once(start).map(|(_, rest)| rest.trim_end_matches([' ', '}']));
    if words.starts_with("Os {") {
        return inner("message: ").map_or(words, |message| message.trim_matches('"'));
    }
    if words.starts_with("Custom {") {
        return inner("error: ").map_or(words, |error| error.trim_matches('"'));
    }
    words
}

/// A server's or the system's words, with what would be right.
pub(super) fn explain(words: &str) -> String {
    let words = spoken(words);
    let code = words.split(' ').next().unwrap_or_default();
    let right = match code {
        "WRONGPASS" => "check user and password in stats.redis_url",
        "NOAUTH" => "it wants a password: redis://USER:PASSWORD@HOST:PORT in stats.redis_url",
        "NOPERM" => {
            "the user needs EVAL, EVALSHA, GET, SET, INCRBY, EXPIRE, HGETALL, HSET, HDEL, PEXPIRE, TIME, HELLO, PING, \
             INFO, CLIENT and the keys of stats.key_prefix"
        }
        "READONLY" => "it is a replica: name the master, or use redis-sentinel://",
        "OOM" => "it is full: raise its maxmemory, or let it evict keys",
        "MISCONF" => "it cannot save to its disk: look at its log",
        "LOADING" => "it will be there when its data is loaded",
        "CLUSTERDOWN" => "the cluster is not complete: look at CLUSTER INFO",
        "NOREPLICAS" => "it wants more replicas than it has: min-replicas-to-write",
        "BUSY" => "another client's script runs: SCRIPT KILL would end it",
        _ if words.contains("without any password configured") => {
            "it wants no password: take it out of stats.redis_url"
        }
        _ if words.contains("cluster support disabled") => {
            "it is no cluster: use redis:// in stats.redis_url"
        }
        _ if words.contains("cluster state") => "the cluster is not complete: look at CLUSTER INFO",
        _ if words.contains("DB index is out of range") => {
            "it has fewer databases: change the number in stats.redis_url"
        }
        _ if words.contains("refused") => "is redis-server running there?",
        _ if words.contains("UnknownIssuer") => {
            "SSL_CERT_FILE may name the PEM file of its certificate authority"
        }
        _ if words.contains("NotValidForName") => {
            "its certificate is for another name than stats.redis_url says"
        }
        _ => return words.trim_end_matches('.').to_owned(),
    };
    format!("{}; {right}", words.trim_end_matches('.'))
}
