//! Where Redis is: `stats.redis_url`, read.
//!
//! Input: a URL. Output: an [`Address`] that the client can be made from. Errors: one sentence, without the URL's
//! credentials, that says what would be right. What passes here is understood by the client: its own parser has read it.
//!
//! | form | server |
//! |---|---|
//! | `redis://[USER:PASSWORD@]HOST[:6379][/DB]` | one |
//! | `redis-sentinel://..HOST[:26379][/DB]?sentinelServiceName=NAME[&node=HOST:PORT..]` | what the Sentinels call the master; `sentinelUsername`, `sentinelPassword` are for the Sentinels |
//! | `redis-cluster://..HOST[:6379][?node=HOST:PORT..]` | a cluster |
//!
//! `rediss`, `rediss-sentinel`, `rediss-cluster` are the same over TLS, the Sentinels' connections included.

use std::fmt;

use fred::types::config::{Config, ServerConfig, TlsConnector};
use rustls::ClientConfig;

use crate::tls::certificates::system_roots;
use crate::tls::provider;

/// Keys of a URL's query that mean something.
const QUERY_KEYS: [&str; 4] = ["node", "sentinelServiceName", "sentinelUsername", "sentinelPassword"];

/// Where Redis is, and how to get in.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: bool,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (tls, kind) = match scheme.strip_prefix("redis") {
            Some(kind @ ("" | "-cluster" | "-sentinel")) => (false, kind),
            Some(kind @ ("s" | "s-cluster" | "s-sentinel")) => (true, &kind[1..]),
            _ => {
                return Err(
                    "must begin with redis://, redis-cluster:// or redis-sentinel://, or with rediss for TLS"
                        .into(),
                );
            }
        };
        check_query(kind, rest)?;
        // The client would load the certificates of a rediss URL here and now; they are loaded with each connection.
        let config = Config::from_url(&format!("redis{kind}://{rest}"))
            .map_err(|error| explain(kind, error.details()))?;
        check_hosts(&config.server)?;
        Ok(Self { config, tls })
    }

    /// Whether keys are spread over nodes, so that one script may only touch keys of one slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.config.server, ServerConfig::Clustered { .. })
    }

    /// For a new connection. Reads files: not for the control thread itself.
    ///
    /// # Errors
    /// There are no root certificates.
    pub(super) fn client_config(&self) -> Result<Config, String> {
        let mut config = self.config.clone();
        config.fail_fast = true;
        if self.tls {
            config.tls = Some(TlsConnector::from(tls()?).into());
            if let ServerConfig::Centralized { server } = &mut config.server {
                // An IPv6 address is in brackets in a URL and without in a certificate.
                let name = server.host.trim_start_matches('[').trim_end_matches(']').to_owned();
                server.tls_server_name = Some(name.into());
            }
        }
        Ok(config)
    }
}

/// Hosts alone.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, hosts) = match &self.config.server {
            ServerConfig::Centralized { server } => ("", vec![server]),
            ServerConfig::Clustered { hosts, .. } => ("cluster ", hosts.iter().collect()),
            ServerConfig::Sentinel { hosts, .. } => ("Sentinel ", hosts.iter().collect()),
        };
        f.write_str(kind)?;
        for (index, server) in hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}:{}", server.host, server.port)?;
        }
        f.write_str(if self.tls { " (TLS)" } else { "" })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// The client passes over what it does not know; a misspelled key would be a Sentinel that is never asked.
fn check_query(kind: &str, rest: &str) -> Result<(), String> {
    let Some((_, query)) = rest.split_once('?') else { return Ok(()) };
    for pair in query.split('#').next().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let key = pair.split('=').next().unwrap_or_default();
        let (known, wanted) = match kind {
            "-cluster" => (&QUERY_KEYS[..1], "node"),
            "-sentinel" => (&QUERY_KEYS[..], "node, sentinelServiceName, sentinelUsername, sentinelPassword"),
            _ => (&QUERY_KEYS[..0], "none"),
        };
        if !known.contains(&key) {
            return Err(format!("has the unknown parameter {key:?}; known for redis{kind}:// are: {wanted}"));
        }
    }
    Ok(())
}

fn check_hosts(server: &ServerConfig) -> Result<(), String> {
    let hosts = match server {
        ServerConfig::Centralized { server } => std::slice::from_ref(server),
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => hosts.as_slice(),
    };
    for host in hosts {
        if host.host.is_empty() || host.port == 0 {
            return Err(format!("must name a host and a port other than 0, not {}:{}", host.host, host.port));
        }
    }
    match server {
        ServerConfig::Sentinel { service_name, .. } if service_name.is_empty() => {
            Err("must say which master the Sentinels are asked for: ?sentinelServiceName=NAME".into())
        }
        _ => Ok(()),
    }
}

/// The client's words about a URL, and what would be right.
fn explain(kind: &str, words: &str) -> String {
    if words.contains("sentinel service name") {
        return "must say which master the Sentinels are asked for: ?sentinelServiceName=NAME".into();
    }
    let (host, path) = match kind {
        "-cluster" => ("HOST:PORT", "?node=HOST:PORT"),
        "-sentinel" => ("HOST:PORT", "/DB?sentinelServiceName=NAME&node=HOST:PORT"),
        _ => ("HOST:PORT", "/DB"),
    };
    format!(
        "cannot be read ({}); right would be redis{kind}://USER:PASSWORD@{host}{path}, with DB from 0 to 255 and \
         special characters of the password percent-encoded",
        words.trim_end_matches('.')
    )
}

/// TLS with a server that is verified by the system's roots, or by those that SSL_CERT_FILE and SSL_CERT_DIR name. Reads files.
pub fn tls() -> Result<ClientConfig, String> {
    let roots = system_roots()?.store;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
