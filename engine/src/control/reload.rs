//! Reload: when the configuration is read again, and what of it can be taken over while the process runs.
//!
//! Input: the file's [`Stamp`] each [`POLL`], or SIGHUP. Output: a checked [`Gateway`] whose names have been looked up
//! ([`Loaded`]), or the report of everything that is wrong with it, which changes nothing.
//!
//! The file is polled: a change of its device, inode, size or times counts, so that editors that rename, copies that
//! keep times and the symlink swaps of Kubernetes are all seen, on every file system. A change is read once it has
//! stood still from one poll to the next, as half a file can be valid too. A file that is gone is waited for.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, Metadata};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coregate_config::Report;
use coregate_config::checked::{Gateway, Listener};

use super::certificates;
use super::flow::writer;
use super::resolve::{self, Answer, Name};
use crate::route::RouteTable;
use crate::tls::Tls;

/// How often the file is looked at. A change is in force after one to two of these.
pub const POLL: Duration = Duration::from_millis(500);

/// Notices that a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    path: PathBuf,
    /// The file as it was read last, or is about to be.
    read: Option<Stamp>,
    /// The file at the last poll.
    seen: Option<Stamp>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Watches a file from now on. Make it before the file is first read.
    pub fn new(path: PathBuf) -> Self {
        let now = stamp(&path);
        Self { path, read: now, seen: now }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// To be called each [`POLL`]: whether the file is to be read again.
    pub fn poll(&mut self) -> bool {
        let now = stamp(&self.path);
        self.observe(now)
    }

    /// The file is about to be read whatever it looks like.
    pub fn mark_read(&mut self) {
        self.read = stamp(&self.path);
        self.seen = self.read;
    }

    fn observe(&mut self, now: Option<Stamp>) -> bool {
        let settled = now.is_some() && now == self.seen;
        self.seen = now;
        if !settled || now == self.read {
            return false;
        }
        self.read = now;
        true
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    // Follows symbolic links.
    fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A configuration that is ready to be applied.
#[derive(Debug)]
pub struct Loaded {
    /// It. Services that have not changed are the values of the running one.
    pub gateway: Gateway,
    /// Its routes.
    pub routes: RouteTable,
    /// Answers for the node names that were new.
    pub answers: Vec<(Name, Answer)>,
    /// What was read of the certificates that it names.
    pub certificates: certificates::Read,
}

/// What is running, and a new configuration can go on with.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its configuration.
    pub gateway: Arc<Gateway>,
    /// The names that have been looked up.
    pub names: BTreeSet<Name>,
    /// What was read of its certificates.
    pub tls: Tls,
}

/// Reads the file and those that it names off the control thread, and looks up the names that are new.
pub async fn load(path: PathBuf, running: Running) -> Result<Loaded, LoadError> {
    load_by(move |_| coregate_config::load(&path).map_err(LoadError::Invalid), running).await
}

/// The same for a configuration that comes from elsewhere; `checked` gives it, and may take its time.
pub async fn load_by(
    checked: impl FnOnce(&Gateway) -> Result<Gateway, LoadError> + Send + 'static,
    Running { gateway: running, names, tls }: Running,
) -> Result<Loaded, LoadError> {
    let read = tokio::task::spawn_blocking(move || {
        let mut gateway = checked(&running)?;
        gateway.share_services(&running);
        let read = certificates::read_anew(&gateway, &tls).map_err(LoadError::Certificates)?;
        Ok((RouteTable::build(&gateway.services), gateway, read))
    });
    let (routes, gateway, certificates) = read.await.map_err(|_| LoadError::Panicked)??;
    let unfit = writer::check(&gateway.stats);
    if !unfit.is_empty() {
        return Err(LoadError::Unfit(unfit));
    }
    let new = resolve::names_of(&gateway).filter(|name| !names.contains(name)).collect();
    let answers = resolve::look_up(new).await;
    Ok(Loaded { gateway, routes, answers, certificates })
}

/// Why there is no new configuration.
#[derive(Debug)]
pub enum LoadError {
    /// Everything that is wrong with it.
    Invalid(Report),
    /// Everything that is wrong with the certificates that it names.
    Certificates(Vec<String>),
    /// It cannot be run here.
    Unfit(Vec<String>),
    /// Checking it panicked: a bug in the checks.
    Panicked,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Invalid(report) => report.fmt(f),
            Self::Unfit(lines) | Self::Certificates(lines) => f.write_str(&lines.join("\n")),
            Self::Panicked => {
                f.write_str("the configuration's checks have panicked, which is a bug of coregate")
            }
        }
    }
}

/// The settings of a new configuration that need a restart, as far as they differ from those of the running one.
pub fn needs_restart(running: &Gateway, new: &Gateway) -> Vec<&'static str> {
    let (old_server, new_server) = (&running.server, &new.server);
    let (old_stats, new_stats) = (&running.stats, &new.stats);
    let keys = [
        ("server.shards", old_server.shards != new_server.shards),
        ("server.cpus", old_server.cpus != new_server.cpus),
        ("server.ops_address", old_server.ops_address != new_server.ops_address),
        ("server.drain_timeout", old_server.drain_timeout != new_server.drain_timeout),
        ("server.max_connections", old_server.max_connections != new_server.max_connections),
        ("server.trusted_proxies", old_server.trusted_proxies != new_server.trusted_proxies),
        ("server.client_limit_entries", old_server.client_limit_entries != new_server.client_limit_entries),
        ("server.access_log", old_server.access_log != new_server.access_log),
        ("stats.interval", old_stats.interval != new_stats.interval),
        ("stats.timezone", old_stats.timezone != new_stats.timezone),
        ("stats.redis_url", old_stats.redis_url != new_stats.redis_url),
        ("stats.key_prefix", old_stats.key_prefix != new_stats.key_prefix),
        ("stats.retention", old_stats.retention != new_stats.retention),
        ("control", running.control != new.control),
    ];
    keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

/// The new configuration with the running process's own settings.
pub fn keep_running_settings(running: &Gateway, new: Gateway) -> Gateway {
    Gateway {
        server: running.server.clone(),
        stats: running.stats.clone(),
        control: running.control.clone(),
        ..new
    }
}

/// A listener whose sockets the shards have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: Arc<str>,
    /// The address in the configuration.
    pub configured: SocketAddr,
    /// The address that it listens on.
    pub bound: SocketAddr,
}

/// The listeners of a new configuration that have no sockets yet: new ones, and those whose address has changed.
pub fn to_open<'a>(new: &'a Gateway, held: &[Held]) -> Vec<&'a Listener> {
    let is_held = |listener: &Listener| {
        held.iter().any(|held| held.name == listener.name && held.configured == listener.address)
    };
    new.listeners.iter().filter(|listener| listener.enabled && !is_held(listener)).collect()
}

/// Of the listeners held, those that a new configuration still has.
pub fn to_keep(new: &Gateway, held: &[Held]) -> Vec<Held> {
    let stays = |held: &&Held| {
        new.listeners.iter().any(|listener| {
            listener.enabled && listener.name == held.name && listener.address == held.configured
        })
    };
    held.iter().filter(stays).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(inode: u64, size: u64) -> Option<Stamp> {
        Some(Stamp { device: 1, inode, size, modified: (0, 0), changed: (0, 0) })
    }

    fn watch() -> Watch {
        Watch { path: "x".into(), read: at(1, 10), seen: at(1, 10) }
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let mut watch = watch();
        assert!(!watch.observe(at(1, 10)));
        assert!(!watch.observe(at(1, 10)));
    }

    #[test]
    fn a_change_is_read_once_when_it_stands_still() {
        let mut watch = watch();
        assert!(!watch.observe(at(1, 5)), "it may still be written");
        assert!(!watch.observe(at(1, 20)), "it was");
        assert!(watch.observe(at(1, 20)));
        assert!(!watch.observe(at(1, 20)));
    }

    #[test]
    fn a_rename_over_the_file_is_a_change() {
        let mut watch = watch();
        assert!(!watch.observe(at(2, 10)));
        assert!(watch.observe(at(2, 10)));
    }

    #[test]
    fn a_file_that_is_gone_is_waited_for() {
        let mut watch = watch();
        assert!(!watch.observe(None));
        assert!(!watch.observe(None));
        assert!(!watch.observe(at(1, 10)), "back as it was");
        assert!(!watch.observe(at(1, 10)));
        assert!(!watch.observe(None));
        assert!(!watch.observe(at(3, 10)));
        assert!(watch.observe(at(3, 10)));
    }

    #[test]
    fn a_swapped_symbolic_link_is_a_change() {
        let directory = std::env::temp_dir().join(format!("coregate-watch-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (one, two, link, new) =
            (directory.join("1"), directory.join("2"), directory.join("link"), directory.join("new"));
        fs::write(&one, "same").unwrap();
        fs::write(&two, "same").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let mut watch = Watch::new(link.clone());
        assert!(!watch.poll());
        std::os::unix::fs::symlink(&two, &new).unwrap();
        fs::rename(&new, &link).unwrap();
        assert!(!watch.poll());
        assert!(watch.poll());
        fs::remove_dir_all(&directory).unwrap();
    }

    fn gateway(toml: &str) -> Gateway {
        coregate_config::parse_toml(toml, "test").unwrap()
    }

    #[test]
    fn settings_of_the_process_need_a_restart_and_stay_as_they_are() {
        let running = gateway("[server]\nshards = 1\n[stats]\ninterval = \"1s\"\n");
        let new = gateway("[server]\nshards = 2\ndrain_timeout = \"7s\"\n[stats]\ninterval = \"5s\"\n");
        assert_eq!(
            needs_restart(&running, &new),
            ["server.shards", "server.drain_timeout", "stats.interval"]
        );
        let kept = keep_running_settings(&running, new);
        assert_eq!(needs_restart(&running, &kept), <[&str; 0]>::default());
    }

    const TWO: &str = "[[listeners]]\nname = \"a\"\naddress = \"127.0.0.1:1001\"\nprotocol = \"http\"\n\
                       [[listeners]]\nname = \"b\"\naddress = \"127.0.0.1:1002\"\nprotocol = \"http\"\n";

    fn held(name: &str, port: u16) -> Held {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Held { name: name.into(), configured: address, bound: address }
    }

    #[test]
    fn listeners_that_stay_keep_their_sockets() {
        let new = gateway(TWO);
        let names =
            |held: &[Held]| to_open(&new, held).iter().map(|it| it.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&[]), ["a", "b"]);
        assert_eq!(names(&[held("a", 1001)]), ["b"]);
        assert_eq!(names(&[held("a", 1001), held("b", 9)]), ["b"], "its address has changed");
        assert_eq!(to_keep(&new, &[held("a", 1001), held("b", 9), held("c", 7)]), [held("a", 1001)]);
    }

    #[test]
    fn a_disabled_listener_is_closed() {
        let new = gateway(&TWO.replacen("protocol", "enabled = false\nprotocol", 1));
        assert_eq!(to_open(&new, &[]).len(), 1);
        assert_eq!(to_keep(&new, &[held("a", 1001), held("b", 1002)]), [held("b", 1002)]);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_reported() {
        let running = Running { gateway: Arc::new(gateway("")), names: BTreeSet::new(), tls: Tls::default() };
        let error = load("/nonexistent/coregate.toml".into(), running).await.unwrap_err();
        assert!(matches!(error, LoadError::Invalid(report) if !report.errors.is_empty()));
    }
}
