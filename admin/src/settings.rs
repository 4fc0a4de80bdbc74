//! The process' settings: flags, and the same by environment (`COREGATE_ADMIN_<NAME>`).
//!
//! Input: what clap read. Output: [`Settings`], which cannot be invalid. An error says which flag, what was given and what
//! would be right. Secrets (passwords in URLs, the set-up token) are in no error and no log.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use coregate::control::listeners::address_of_flag;
use ipnet::IpNet;
use jiff::tz::TimeZone;

use crate::store::{DatabaseUrl, SealingKey, Store, StoreError};

/// Where the configuration is kept and how it is sealed: what every command needs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The admin's database")]
pub struct StoreFlags {
    /// Where the configuration is kept: sqlite:PATH or mysql://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        value_name = "URL",
        global = true,
        env = "COREGATE_ADMIN_DATABASE",
        hide_env_values = true,
        default_value = "sqlite:coregate-admin.db"
    )]
    pub database: String,
    /// File with the key that certificates' private keys are encrypted with (32 bytes, or 64 hexadecimal digits); else
    /// COREGATE_ADMIN_KEY, else one is made beside an SQLite database
    #[arg(long, value_name = "FILE", global = true, env = "COREGATE_ADMIN_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Base URL of the dashboard as browsers reach it, for links and for the check of a request's origin
    #[arg(long, value_name = "URL", global = true, env = "COREGATE_ADMIN_PUBLIC_URL")]
    pub public_url: Option<String>,
}

impl StoreFlags {
    /// Opens the store that they name, with the key that they name. Makes a SQLite database that is not there, and says so:
    /// whoever stands in the wrong folder is to notice.
    pub async fn open(&self) -> Result<Store, String> {
        let url = self.url()?;
        if let Some(path) = url.sqlite_path().filter(|path| !path.exists()) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                return Err(format!(
                    "--database: there is no folder {folder:?}; make it first, or name another"
                ));
            }
            eprintln!("coregate-admin: {} was not there: a new database is made", path.display());
        }
        self.open_url(&url).await
    }

    /// The same for what only reads, or changes what is there: a database that is not there is an error.
    pub async fn open_existing(&self) -> Result<Store, String> {
        let url = self.url()?;
        if url.sqlite_path().is_some_and(|path| !path.exists()) {
            return Err(format!(
                "--database {}: there is no such file; name the database of the admin, as it is started with",
                self.database
            ));
        }
        self.open_url(&url).await
    }

    fn url(&self) -> Result<DatabaseUrl, String> {
        self.database.parse().map_err(|error| format!("--database: {error}"))
    }

    async fn open_url(&self, url: &DatabaseUrl) -> Result<Store, String> {
        let from_environment = std::env::var("COREGATE_ADMIN_KEY").ok().filter(|text| !text.is_empty());
        let key = match (&self.key_file, from_environment, url.sqlite_path()) {
            (Some(path), _, _) => Some(SealingKey::from_file(path)),
            (None, Some(text), _) => Some(
                text.parse().map_err(|error| StoreError::Sealing(format!("COREGATE_ADMIN_KEY: {error}"))),
            ),
            (None, None, Some(database)) => {
                let mut path = database.as_os_str().to_owned();
                path.push(".key");
                Some(SealingKey::from_file_or_new(Path::new(&path)))
            }
            (None, None, None) => None,
        };
        let key = key.transpose().map_err(|error| error.to_string())?;
        Store::open(url, key).await.map_err(|error| error.to_string())
    }
}

/// Revisions that are kept unless something else is said: five years of five changes a day.
const REVISIONS_KEPT: u64 = 10_000;

/// How the process serves.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How it serves")]
pub struct ServeFlags {
    /// Address of the dashboard and the API
    #[arg(
        long,
        value_name = "ADDRESS",
        global = true,
        env = "COREGATE_ADMIN_LISTEN",
        default_value = "127.0.0.1:8880",
        value_parser = address_of_flag
    )]
    pub listen: SocketAddr,
    /// Redis for sessions and flow figures: the same forms as stats.redis_url of an engine
    #[arg(long, value_name = "URL", global = true, env = "COREGATE_ADMIN_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// What stands before every key in Redis: the engines' stats.key_prefix
    #[arg(long, value_name = "PREFIX", global = true, env = "COREGATE_ADMIN_KEY_PREFIX", default_value = "")]
    pub key_prefix: String,
    /// PEM file with the certificate chain, leaf first; read again when it changes
    #[arg(long, value_name = "FILE", global = true, env = "COREGATE_ADMIN_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key
    #[arg(long, value_name = "FILE", global = true, env = "COREGATE_ADMIN_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Name that the dashboard shows, such as "production"
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        env = "COREGATE_ADMIN_ENVIRONMENT",
        default_value = "coregate"
    )]
    pub environment: String,
    /// IANA name of the time zone in which days begin: the engines' stats.timezone
    #[arg(long, value_name = "ZONE", global = true, env = "COREGATE_ADMIN_TIMEZONE", default_value = "UTC")]
    pub timezone: String,
    /// Networks (CIDR) whose X-Forwarded-For and X-Forwarded-Proto are believed
    #[arg(
        long,
        value_name = "CIDR",
        global = true,
        env = "COREGATE_ADMIN_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<String>,
    /// How many revisions are kept, at least 10; older ones are forgotten
    #[arg(
        long,
        value_name = "COUNT",
        global = true,
        env = "COREGATE_ADMIN_KEEP_REVISIONS",
        default_value_t = REVISIONS_KEPT,
        value_parser = clap::value_parser!(u64).range(10..)
    )]
    pub keep_revisions: u64,
}

/// A certificate that the admin itself presents.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// The settings of a running admin.
#[derive(Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Redis for sessions and figures; may hold a password.
    pub redis: Option<String>,
    /// Before every key in Redis.
    pub key_prefix: String,
    /// TLS, if it is spoken.
    pub tls: Option<TlsFiles>,
    /// For people.
    pub environment: String,
    /// In which days begin.
    pub timezone: TimeZone,
    /// Its name.
    pub timezone_name: String,
    /// `http://` or `https://`, without a slash at the end.
    pub public_url: Option<String>,
    /// Whose word about the client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many are not forgotten.
    pub keep_revisions: u64,
}

impl Settings {
    /// Checks all flags; every problem at once.
    pub fn new(store: &StoreFlags, serve: &ServeFlags) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let tls = match (&serve.tls_certificate, &serve.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
            }
            (None, None) => None,
            (Some(_), None) => {
                problems.push("--tls-certificate is given without --tls-key; TLS needs both".to_owned());
                None
            }
            (None, Some(_)) => {
                problems.push("--tls-key is given without --tls-certificate; TLS needs both".to_owned());
                None
            }
        };
        let timezone = TimeZone::get(&serve.timezone).unwrap_or_else(|_| {
            problems.push(format!(
                "--timezone \"{}\" is not known; right would be an IANA name such as \"Europe/Berlin\"",
                serve.timezone
            ));
            TimeZone::UTC
        });
        let trusted_proxies = serve
            .trusted_proxies
            .iter()
            .filter(|text| !text.is_empty())
            .filter_map(|text| {
                network(text).or_else(|| {
                    problems.push(format!(
                        "--trusted-proxies: \"{text}\" is no network; right would be \"10.0.0.0/8\" or \"192.0.2.1\""
                    ));
                    None
                })
            })
            .collect();
        let public_url = store.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        if public_url.as_ref().is_some_and(|url| !is_origin(url)) {
            problems.push(
                "--public-url: right would be \"https://admin.example.com\", without a path".to_owned(),
            );
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            listen: serve.listen,
            redis: serve.redis.clone().filter(|url| !url.is_empty()),
            key_prefix: serve.key_prefix.clone(),
            tls,
            environment: serve.environment.clone(),
            timezone,
            timezone_name: serve.timezone.clone(),
            public_url,
            trusted_proxies,
            keep_revisions: serve.keep_revisions,
        })
    }

    /// Settings of a test.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            redis: None,
            key_prefix: String::new(),
            tls: None,
            environment: String::new(),
            timezone: TimeZone::UTC,
            timezone_name: "UTC".to_owned(),
            public_url: None,
            trusted_proxies: Vec::new(),
            keep_revisions: REVISIONS_KEPT,
        }
    }

    /// Whether a peer's word about the client is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}

/// The start of a link to the dashboard: the public URL, or what can be guessed from the address.
pub fn link_base(public_url: Option<&str>, listen: SocketAddr, tls: bool) -> String {
    if let Some(url) = public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let scheme = if tls { "https" } else { "http" };
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!("{scheme}://{address}")
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_origin(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_public_url_or_to_an_address_that_can_be_opened() {
        let any: SocketAddr = "0.0.0.0:8880".parse().unwrap();
        assert_eq!(link_base(None, any, false), "http://127.0.0.1:8880");
        assert_eq!(link_base(None, "[::1]:1".parse().unwrap(), true), "https://[::1]:1");
        assert_eq!(link_base(Some("https://admin.example.com"), any, false), "https://admin.example.com");
    }

    #[test]
    fn a_public_url_is_an_origin() {
        for good in ["http://a", "https://admin.example.com:8443", "http://[::1]:80"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in ["a", "https://", "https://a/b", "https://user@a", "ftp://a"] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
