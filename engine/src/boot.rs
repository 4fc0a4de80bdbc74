//! Start-up: everything that can be found wrong with this machine before the first request.
//!
//! Input: a checked [`Gateway`]. Output: a [`Boot`], which [`crate::control::run`] turns into a running process, or a
//! [`BootError`] that says what was tried, what the system said and what would be right. Nothing here is on the
//! request path; all of it runs once, on the main thread.
//!
//! | what | rule |
//! |---|---|
//! | io_uring, kernel, memlock | [`crate::net::probe`] |
//! | CPUs | `server.cpus` must be allowed; else the first `server.shards` of those allowed, or as many as the control group's limit ([`choose_seats`]) |
//! | certificates | read; what is wrong with any is an error ([`certificates`]) |
//! | file descriptors | the soft limit is raised to the hard one; too few for `max_connections` is a warning |
//! | listeners | one SO_REUSEPORT socket a shard; a port that somebody else holds is an error ([`listeners`]) |
//! | ops address | bound now, served by the control thread |
//! | access log | opened last, as that may make a file; its thread starts ([`crate::access_log`]) |

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::thread::{self, JoinHandle};

use coregate_config::checked::{Control, Gateway, Server};
use tracing::{error, info, warn};

use crate::access_log;
use crate::control::certificates;
use crate::control::flow::writer;
use crate::control::listeners::{self, OpenError, OpenListener};
use crate::control::reload::Watch;
use crate::control::remote;
use crate::net::StartError;
use crate::shard::{self, ShardSeed};
use crate::tls::Tls;

/// Starts a shard's thread: [`crate::shard::spawn`], or a stand-in in tests.
pub type SpawnShard = Box<dyn Fn(ShardSeed) -> io::Result<JoinHandle<()>> + Send>;

/// All that the control thread needs to start.
pub struct Boot {
    /// What to run.
    pub gateway: Gateway,
    /// Where it came from.
    pub source: Source,
    /// One for each shard: the CPU it is pinned to; `None` = not pinned.
    pub seats: Vec<Option<usize>>,
    /// The enabled listeners, each with one socket a shard.
    pub listeners: Vec<OpenListener>,
    /// The ops server's socket.
    pub ops: Option<TcpListener>,
    /// The access log's thread, if there is a log.
    pub access_log: Option<access_log::Writer>,
    /// What was read of the listeners' certificates.
    pub certificates: certificates::Read,
    /// Starts a shard.
    pub spawn_shard: SpawnShard,
}

/// Where the configuration came from.
#[derive(Debug)]
pub enum Source {
    /// A file; it is watched.
    File(Watch),
    /// An admin, by way of the last good copy if there is one; it is asked for a newer one.
    Admin(Option<remote::Started>),
    /// The built-in demonstration; there is nothing to reload.
    BuiltIn,
}

/// Why the process cannot start.
#[derive(Debug)]
pub enum BootError {
    /// The kernel or its settings forbid what the engine is built on.
    Machine(StartError),
    /// `server.cpus` or `server.shards` cannot be had.
    Cpus(String),
    /// A listener could not be opened.
    Listener(OpenError),
    /// The ops address could not be opened.
    Ops {
        /// `server.ops_address`
        address: SocketAddr,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// Everything that is wrong with certificates.
    Certificates(Vec<String>),
    /// The access log could not be opened.
    AccessLog(access_log::OpenError),
    /// The configuration cannot be run here.
    Unfit(Vec<String>),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Machine(error) => error.fmt(f),
            Self::Cpus(why) => f.write_str(why),
            Self::Listener(error) => error.fmt(f),
            Self::Ops { address, why } => write!(f, "server.ops_address = \"{address}\": {why}"),
            Self::AccessLog(error) => error.fmt(f),
            Self::Unfit(what) | Self::Certificates(what) => f.write_str(&what.join("\n")),
        }
    }
}

impl std::error::Error for BootError {}

/// Checks the machine, chooses CPUs and opens every socket.
pub fn prepare(gateway: Gateway, source: Source) -> Result<Boot, BootError> {
    let unfit = writer::check(&gateway.stats);
    if !unfit.is_empty() {
        return Err(BootError::Unfit(unfit));
    }
    let seats = choose_seats(&gateway.server, &Cpus::here()).map_err(BootError::Cpus)?;
    crate::net::probe(seats.len()).map_err(BootError::Machine)?;
    raise_descriptor_limit(gateway.server.max_connections);
    let ops = gateway.server.ops_address.map(open_ops).transpose()?;
    let Found { gateway, source, certificates, listeners } = match gateway.control {
        Control::File => of_file(gateway, source, seats.len())?,
        Control::Admin { .. } => of_admin(gateway, seats.len()),
    };
    let access_log = access_log::Writer::start(&gateway.server.access_log, seats.len());
    let access_log = access_log.map_err(BootError::AccessLog)?;
    let spawn_shard = Box::new(shard::spawn);
    Ok(Boot { gateway, source, seats, listeners, ops, access_log, certificates, spawn_shard })
}

/// The configuration that the process begins with, and what belongs to it.
struct Found {
    gateway: Gateway,
    source: Source,
    certificates: certificates::Read,
    listeners: Vec<OpenListener>,
}

fn of_file(gateway: Gateway, source: Source, shards: usize) -> Result<Found, BootError> {
    let certificates = certificates::read_anew(&gateway, &Tls::default()).map_err(BootError::Certificates)?;
    let listeners = open_listeners(&gateway, shards).map_err(BootError::Listener)?;
    Ok(Found { gateway, source, certificates, listeners })
}

/// The last good copy; else nothing, until the admin sends something. What was right once and cannot be had now (a port
/// that somebody else holds) does not end the process: the admin may have something better by now, and is told.
fn of_admin(own: Gateway, shards: usize) -> Found {
    if let Some((gateway, certificates, started)) = remote::from_copy(&own) {
        match open_listeners(&gateway, shards) {
            Ok(listeners) => {
                return Found { gateway, source: Source::Admin(Some(started)), certificates, listeners };
            }
            Err(error) => error!("the last good copy cannot be used: {error}; waiting for the admin"),
        }
    }
    let certificates = certificates::Read::default();
    Found { gateway: own, source: Source::Admin(None), certificates, listeners: Vec::new() }
}

fn open_listeners(gateway: &Gateway, shards: usize) -> Result<Vec<OpenListener>, OpenError> {
    let enabled = gateway.listeners.iter().filter(|listener| listener.enabled);
    listeners::open_all(enabled, shards, &[])
}

/// What this process may use.
struct Cpus {
    /// On which it may run, ascending.
    allowed: Vec<usize>,
    /// How many of them its control group lets it have at a time (`cpu.max`), rounded down.
    at_once: usize,
}

impl Cpus {
    fn here() -> Self {
        let mut allowed: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
        allowed.sort_unstable();
        let at_once = thread::available_parallelism().map_or(usize::MAX, NonZero::get);
        Self { allowed, at_once }
    }
}

/// Which CPU each shard sits on. More shards than CPUs are allowed: then none is pinned, as two that are pinned to one
/// CPU would take turns however idle the others are.
fn choose_seats(server: &Server, cpus: &Cpus) -> Result<Vec<Option<usize>>, String> {
    let Some(first_bad) = server.cpus.iter().find(|cpu| !cpus.allowed.contains(cpu)) else {
        return Ok(choose_allowed(server, cpus));
    };
    Err(format!(
        "server.cpus: this process may not use CPU {first_bad}; it may use {} (see taskset -p, cpuset.cpus of its \
         control group, or CPUAffinity= of its unit)",
        ranges(&cpus.allowed)
    ))
}

fn choose_allowed(server: &Server, Cpus { allowed, at_once }: &Cpus) -> Vec<Option<usize>> {
    if !server.cpus.is_empty() {
        return server.cpus.iter().copied().map(Some).collect();
    }
    if server.shards == 0 && *at_once < allowed.len() {
        // With more shards all of them would be stopped for the rest of each period once they have used it up. Which
        // CPUs are free is for the kernel to see: others of the same machine have a share, too.
        info!(
            shards = at_once,
            cpus = %ranges(allowed),
            "the control group's CPU limit (cpu.max) is less than the CPUs: as many shards, not pinned"
        );
        return vec![None; *at_once];
    }
    let wanted = if server.shards == 0 { allowed.len().max(1) } else { server.shards };
    if wanted > allowed.len() {
        warn!(
            shards = wanted,
            cpus = %ranges(allowed),
            "server.shards is more than the CPUs that this process may use: shards are not pinned"
        );
        return vec![None; wanted];
    }
    allowed.iter().copied().map(Some).take(wanted).collect()
}

/// `0-3,8` for people.
fn ranges(cpus: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => parts.push((cpu, cpu)),
        }
    }
    if parts.is_empty() {
        return "none that could be found out".to_owned();
    }
    let show = |(first, last): (usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.into_iter().map(show).collect::<Vec<_>>().join(",")
}

/// Raises the soft limit of open files to the hard one, and says so when even that is little.
fn raise_descriptor_limit(max_connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => before.maximum,
        Err(error) => {
            warn!(%error, "the limit of open files could not be raised to its hard limit");
            before.current
        }
    };
    let limit = limit.unwrap_or(u64::MAX);
    if let Some(needed) = too_few_descriptors(limit, max_connections) {
        warn!(
            limit,
            needed,
            max_connections,
            "fewer open files are allowed than twice server.max_connections (a client and a node each): connections \
             will wait in the backlog when they run out; raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower \
             server.max_connections"
        );
    } else {
        info!(limit, "open files");
    }
}

fn too_few_descriptors(limit: u64, max_connections: usize) -> Option<u64> {
    let needed = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_mul(2);
    (limit < needed).then_some(needed)
}

fn open_ops(address: SocketAddr) -> Result<TcpListener, BootError> {
    TcpListener::bind(address)
        .map_err(|error| BootError::Ops { address, why: listeners::explain_bind(address, &error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(allowed: &[usize]) -> Cpus {
        Cpus { allowed: allowed.to_vec(), at_once: allowed.len().max(1) }
    }

    fn server(toml: &str) -> Server {
        coregate_config::parse_toml(&format!("[server]\n{toml}"), "test").unwrap().server
    }

    #[test]
    fn one_shard_for_each_allowed_cpu_by_default() {
        assert_eq!(choose_seats(&server(""), &cpus(&[1, 4, 5])), Ok(vec![Some(1), Some(4), Some(5)]));
    }

    #[test]
    fn the_first_allowed_cpus_for_fewer_shards() {
        assert_eq!(choose_seats(&server("shards = 2"), &cpus(&[3, 4, 5])), Ok(vec![Some(3), Some(4)]));
    }

    #[test]
    fn exactly_the_cpus_named() {
        assert_eq!(choose_seats(&server("cpus = [5, 3]"), &cpus(&[3, 4, 5])), Ok(vec![Some(5), Some(3)]));
    }

    #[test]
    fn a_cpu_that_is_not_allowed_is_an_error_that_lists_those_that_are() {
        let error = choose_seats(&server("cpus = [0, 9]"), &cpus(&[0, 1, 2, 3, 8])).unwrap_err();
        assert!(error.contains("CPU 9"), "{error}");
        assert!(error.contains("0-3,8"), "{error}");
    }

    #[test]
    fn more_shards_than_cpus_are_not_pinned() {
        assert_eq!(choose_seats(&server("shards = 3"), &cpus(&[0, 1])), Ok(vec![None; 3]));
    }

    #[test]
    fn a_control_groups_limit_is_the_number_of_shards_unless_that_is_configured() {
        let limited = Cpus { allowed: (0..64).collect(), at_once: 2 };
        assert_eq!(choose_seats(&server(""), &limited), Ok(vec![None; 2]));
        assert_eq!(choose_seats(&server("shards = 3"), &limited), Ok(vec![Some(0), Some(1), Some(2)]));
        assert_eq!(choose_seats(&server("cpus = [9]"), &limited), Ok(vec![Some(9)]));
    }

    #[test]
    fn without_any_known_cpu_one_shard_runs_unpinned() {
        assert_eq!(choose_seats(&server(""), &cpus(&[])), Ok(vec![None]));
    }

    #[test]
    fn two_descriptors_a_connection() {
        assert_eq!(too_few_descriptors(19, 10), Some(20));
        assert_eq!(too_few_descriptors(20, 10), None);
        assert_eq!(too_few_descriptors(u64::MAX, usize::MAX), None);
    }

    #[test]
    fn this_process_may_use_some_cpu() {
        let here = Cpus::here();
        assert!(!here.allowed.is_empty() && (1..=here.allowed.len()).contains(&here.at_once));
    }
}
