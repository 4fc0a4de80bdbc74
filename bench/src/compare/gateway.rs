//! Starting the gateways: the configurations of wrk-scripts/peers, on free ports, in temporary folders.
//!
//! They have equal features: upstream connections kept alive, the prefix stripped, X-Forwarded-For set, no access log;
//! or, governed, all that [`governed`] adds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coregate::clock;
use tempfile::TempDir;
use tokio::time::sleep;

use super::child::Child;
use super::governed;

const COREGATE: &str = include_str!("../../../wrk-scripts/peers/coregate.toml");
const NGINX: &str = include_str!("../../../wrk-scripts/peers/nginx.conf");
const HAPROXY: &str = include_str!("../../../wrk-scripts/peers/haproxy.cfg");

/// The path that is asked for; the gateway strips its first segment.
pub const PATH: &str = "/test_http_1/test";
/// More than the scenario of idle connections has. HAProxy wants two descriptors for each and would refuse to start
/// where that is more than it may have; idle ones need but one.
const HAPROXY_CONNECTIONS: usize = 20_500;
/// How long a process may take until it answers.
const START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const ANSWER: Duration = Duration::from_secs(2);

/// Which gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// This one.
    Coregate,
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// This one, with limits, access lists and an access log.
    CoregateGoverned,
    /// nginx, with limits, access lists and an access log.
    NginxGoverned,
}

impl Kind {
    /// As its command is called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Coregate => "coregate",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::CoregateGoverned => "coregate, governed",
            Kind::NginxGoverned => "nginx, governed",
        }
    }

    /// Its program: coregate's beside this one, the others where they are installed.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Kind::Coregate | Kind::CoregateGoverned => beside("coregate").ok(),
            Kind::Nginx | Kind::NginxGoverned => installed("nginx"),
            Kind::Haproxy => installed("haproxy"),
        }
    }
}

/// Which CPUs to use.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    /// The gateway's.
    pub gateway: usize,
    /// The origin's, the load's and this process's.
    pub load: usize,
}

/// A process that answers HTTP, in a temporary folder.
#[derive(Debug)]
pub struct Server {
    /// What it is called in messages and tables.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// The process. Stands before the folder, so that it ends first.
    pub child: Child,
    _dir: TempDir,
}

impl Server {
    /// Starts the origin; its answers have so many bytes, or are short.
    ///
    /// # Errors
    /// It does not answer, and what it says.
    pub async fn origin(bytes: Option<usize>, cpus: Cpus) -> Result<Self, String> {
        let dir = temp_dir()?;
        let [address] = free_addresses()?;
        let (listen, bytes) = (address.to_string(), bytes.map(|bytes| format!("--bytes={bytes}")));
        let mut args = vec!["--listen", &listen];
        args.extend(bytes.as_deref());
        let child = Child::start(&beside("coregate-origin")?, &args, dir.path(), cpus.load, cpus.load)?;
        Self { name: "origin", address, child, _dir: dir }.ready().await
    }

    /// Starts a gateway in front of an origin.
    ///
    /// # Errors
    /// It is not installed or does not answer, and what it says.
    pub async fn gateway(kind: Kind, origin: SocketAddr, cpus: Cpus) -> Result<Self, String> {
        let addresses: [SocketAddr; 2] = free_addresses()?;
        let (file, config) = configuration(kind, origin, addresses, cpus.gateway);
        Self::configured(kind, (file, &config), temp_dir()?, addresses[0], cpus).await
    }

    /// Starts a gateway with that configuration file in that folder. It answers HTTP/1.1 in clear at the address.
    ///
    /// # Errors
    /// It is not installed or does not answer, and what it says.
    pub(super) async fn configured(
        kind: Kind,
        (file, config): (&str, &str),
        dir: TempDir,
        address: SocketAddr,
        cpus: Cpus,
    ) -> Result<Self, String> {
        let program = kind.program().ok_or_else(|| format!("{} is not installed", kind.name()))?;
        let path = dir.path().join(file);
        std::fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))?;
        let (path, folder) = (path.display().to_string(), dir.path().display().to_string());
        let args = match kind {
            Kind::Coregate | Kind::CoregateGoverned => vec!["--config", &path],
            Kind::Nginx | Kind::NginxGoverned => vec!["-p", &folder, "-c", &path, "-e", "error.log"],
            Kind::Haproxy => vec!["-f", &path],
        };
        let child = Child::start(&program, &args, dir.path(), cpus.gateway, cpus.load)?;
        Self { name: kind.name(), address, child, _dir: dir }.ready().await
    }

    /// What to ask for.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    async fn ready(mut self) -> Result<Self, String> {
        let deadline = clock::read() + START;
        loop {
            let answer = get(self.address);
            if answer.as_ref().is_ok_and(|status| *status == 200) {
                return Ok(self);
            }
            if self.child.has_ended() || clock::read() >= deadline {
                let (name, log) = (self.name, self.child.log_tail());
                return Err(format!("{name} does not answer at {}: {answer:?}\n{log}", self.address));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// A gateway's configuration file: name and text. It listens on the first address; the second is for coregate's ops.
fn configuration(
    kind: Kind,
    origin: SocketAddr,
    [listen, ops]: [SocketAddr; 2],
    cpu: usize,
) -> (&'static str, String) {
    let coregate = || COREGATE.replace("shards = 0", &format!("cpus = [{cpu}]"));
    // Room for the scenario of idle connections, as coregate has.
    let nginx = || NGINX.replace("8000", "50000").replace("20000", "100000");
    let (file, text) = match kind {
        Kind::Coregate => ("coregate.toml", coregate()),
        Kind::CoregateGoverned => ("coregate.toml", governed::coregate(&coregate())),
        Kind::Nginx => ("nginx.conf", nginx()),
        Kind::NginxGoverned => ("nginx.conf", governed::nginx(&nginx())),
        Kind::Haproxy => (
            "haproxy.cfg",
            HAPROXY.replace("maxconn 8000", &format!("maxconn {HAPROXY_CONNECTIONS}\n  no strict-limits")),
        ),
    };
    let text = text
        .replace("WORKERS", "1")
        .replace("127.0.0.1:2003", &origin.to_string())
        .replace("127.0.0.1:9902", &ops.to_string());
    let text = ["127.0.0.1:8090", "127.0.0.1:8091", "127.0.0.1:8092"]
        .iter()
        .fold(text, |text, port| text.replace(port, &listen.to_string()));
    (file, text)
}

/// Asks once and returns the status.
fn get(address: SocketAddr) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    ask(&mut stream, "Connection: close\r\n")
}

/// Asks on a connection, with another header line or none, and returns the status of an answer that is short.
pub(super) fn ask(stream: &mut TcpStream, header: &str) -> std::io::Result<u16> {
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(format!("GET {PATH} HTTP/1.1\r\nHost: bench\r\n{header}\r\n").as_bytes())?;
    let mut answer = [0; 4096];
    let len = stream.read(&mut answer)?;
    let status = std::str::from_utf8(&answer[..len]).ok().and_then(|text| text.get(9..12)?.parse().ok());
    status.ok_or_else(|| std::io::Error::other("no HTTP/1.1 answer"))
}

/// Addresses that are free now, all different.
pub(super) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], String> {
    let listeners: Result<Vec<TcpListener>, _> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let listeners = listeners.map_err(|error| format!("no free port: {error}"))?;
    let addresses: Result<Vec<SocketAddr>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    let addresses = addresses.map_err(|error| format!("no free port: {error}"))?;
    addresses.try_into().map_err(|_| "no free port".to_owned())
}

pub(super) fn temp_dir() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("coregate-compare-")
        .tempdir()
        .map_err(|error| format!("no temporary folder: {error}"))
}

/// A program that was built with this one.
pub(super) fn beside(name: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = this.with_file_name(name);
    if path.is_file() { Ok(path) } else { Err(format!("{name} is not built: use bench/compare.sh")) }
}

pub(super) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    dirs.map(|dir| dir.join(name)).find(|path| Path::is_file(path))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn configurations_have_nothing_left_to_fill_in() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for &kind in Kind::value_variants() {
            let (_, text) = configuration(kind, address(11), [address(12), address(13)], 0);
            assert!(text.contains("127.0.0.1:11") && text.contains("127.0.0.1:12"), "{text}");
            let settings = text.lines().filter(|line| !line.starts_with('#'));
            for left in ["WORKERS", ":2003", ":809", ":9902", " 8000"] {
                assert!(settings.clone().all(|line| !line.contains(left)), "{left}: {text}");
            }
            if matches!(kind, Kind::Coregate | Kind::CoregateGoverned) {
                assert!(text.contains("cpus = [0]"), "{text}");
                coregate_config::parse_toml(&text, "coregate.toml").unwrap();
            }
        }
    }
}
