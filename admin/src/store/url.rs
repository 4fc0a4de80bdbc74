//! Where the database is: `sqlite:PATH` or `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
//!
//! TLS to a server: `?require_ssl=true`, verified by the usual public roots, or `?ssl_ca=PATH`, by the authorities in that
//! file (PEM) alone.
//!
//! Shown without its password, whichever way it is printed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, PoolConstraints, PoolOpts, SslOpts};

use super::error::StoreError;

/// Most connections to MySQL at once.
const CONNECTIONS_MAX: usize = 8;
const CONSTRAINTS: PoolConstraints = match PoolConstraints::new(0, CONNECTIONS_MAX) {
    Some(constraints) => constraints,
    None => panic!("0 is less than CONNECTIONS_MAX"),
};
/// A connection that nobody uses is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 64;

/// A database's URL.
#[derive(Clone)]
pub struct DatabaseUrl(Kind);

#[derive(Clone)]
enum Kind {
    Sqlite(PathBuf),
    MySql { opts: Box<Opts>, shown: String },
}

/// What it names.
pub enum Target<'a> {
    /// A file.
    Sqlite(&'a PathBuf),
    /// A server.
    MySql(&'a Opts),
}

impl DatabaseUrl {
    /// A SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Sqlite(path.into()))
    }

    /// What it names.
    pub fn target(&self) -> Target<'_> {
        match &self.0 {
            Kind::Sqlite(path) => Target::Sqlite(path),
            Kind::MySql { opts, .. } => Target::MySql(opts),
        }
    }

    /// The file, for SQLite.
    pub fn sqlite_path(&self) -> Option<&PathBuf> {
        match &self.0 {
            Kind::Sqlite(path) => Some(path),
            Kind::MySql { .. } => None,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path == ":memory:" {
                return Err(wrong("sqlite: needs the path of a file, as in sqlite:coregate-admin.db"));
            }
            return Ok(Self::sqlite(path));
        }
        let rest = text.strip_prefix("mysql://").or_else(|| text.strip_prefix("mariadb://"));
        let Some(rest) = rest else {
            return Err(wrong(
                "the database must be sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE (mariadb:// is the same)",
            ));
        };
        mysql(rest).map(Self)
    }
}

fn mysql(rest: &str) -> Result<Kind, StoreError> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // This one is ours: the driver takes no certificate authority in its URLs.
    let (ca, query): (Vec<&str>, Vec<&str>) = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .partition(|pair| pair.split('=').next() == Some("ssl_ca"));
    let url = format!("mysql://{place}?{}", query.join("&"));
    let opts = Opts::from_url(url.trim_end_matches('?')).map_err(|error| wrong(&told(&error)))?;
    if opts.db_name().is_none_or(str::is_empty) {
        return Err(wrong(
            "mysql:// needs the name of a database, as in mysql://USER:PASSWORD@HOST/coregate",
        ));
    }
    if opts.user().is_none_or(str::is_empty) {
        return Err(wrong("mysql:// needs the name of a user, as in mysql://USER:PASSWORD@HOST/coregate"));
    }
    let shown = shown(&opts);
    let pool = PoolOpts::new().with_constraints(CONSTRAINTS).with_inactive_connection_ttl(IDLE_MAX);
    let mut builder = OptsBuilder::from_opts(opts.clone())
        .pool_opts(pool)
        .stmt_cache_size(STATEMENTS_MAX)
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .client_found_rows(true);
    if let [.., last] = ca[..] {
        let path = last.split_once('=').map(|(_, path)| path).filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| {
            wrong(
                "mysql://'s parameter ssl_ca needs the path of a PEM file, as in ?ssl_ca=/etc/ssl/db-ca.pem",
            )
        })?;
        std::fs::File::open(path).map_err(|error| wrong(&format!("mysql://'s ssl_ca {path}: {error}")))?;
        let ssl = opts.ssl_opts().cloned().unwrap_or_else(SslOpts::default);
        let roots = vec![PathBuf::from(path).into()];
        builder = builder.ssl_opts(ssl.with_root_certs(roots).with_disable_built_in_roots(true));
    }
    Ok(Kind::MySql { opts: Box::new(builder.into()), shown })
}

/// The driver's words, which hold no password: they name parameters and their values alone.
fn told(error: &mysql_async::UrlError) -> String {
    use mysql_async::UrlError as E;
    match error {
        E::UnknownParameter { param } => format!("mysql:// does not know the parameter {param:?}"),
        E::InvalidParamValue { param, .. } => {
            format!("the value of mysql://'s parameter {param:?} is not right")
        }
        E::Parse(why) => format!(
            "the mysql:// URL cannot be read: {why}; characters such as @ : / in a password must be percent-encoded"
        ),
        other => format!("the mysql:// URL is not right: {other}"),
    }
}

fn shown(opts: &Opts) -> String {
    let place = match opts.socket() {
        Some(socket) => format!("localhost ({socket})"),
        None => format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port()),
    };
    let password = if opts.pass().is_some() { ":***" } else { "" };
    let (user, name) = (opts.user().unwrap_or_default(), opts.db_name().unwrap_or_default());
    format!("mysql://{user}{password}@{place}/{name}")
}

fn wrong(message: &str) -> StoreError {
    StoreError::Url(message.to_owned())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::MySql { shown, .. } => f.write_str(shown),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::DatabaseUrl;

    fn error(text: &str) -> String {
        text.parse::<DatabaseUrl>().unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: DatabaseUrl = "mysql://admin:p%40ss@db.example:3307/gate?tcp_nodelay=true".parse().unwrap();
        assert_eq!(url.to_string(), "mysql://admin:***@db.example:3307/gate");
        assert_eq!(format!("{url:?}"), "mysql://admin:***@db.example:3307/gate");
        assert_eq!("sqlite:a/b.db".parse::<DatabaseUrl>().unwrap().to_string(), "sqlite:a/b.db");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        for text in ["postgres://u:s3cret@h/d", "mysql://u:s3cret@h", "mysql://u:s3cret@h:x/d", "s3cret"] {
            assert!(!error(text).contains("s3cret"), "{}", error(text));
        }
        assert!(error("postgres://u:s3cret@h/d").contains("must be sqlite:PATH or mysql://"));
        assert!(error("mysql://u:s3cret@h").contains("needs the name of a database"));
        assert!(error("mysql://h/d").contains("needs the name of a user"));
        assert!(error("mysql://u@h/d?no_such=1").contains("does not know the parameter \"no_such\""));
        assert!(error("mysql://u@h/d?require_ssl=maybe").contains("parameter \"require_ssl\""));
        for text in ["mysql://u@h/d?ssl_ca", "mysql://u@h/d?ssl_ca=&require_ssl=true"] {
            assert!(error(text).contains("needs the path of a PEM file"), "{}", error(text));
        }
        assert!(error("mysql://u@h/d?ssl_ca=/no/such.pem").contains("/no/such.pem: No such file"));
        assert!(error("sqlite:").contains("needs the path of a file"));
    }
}
