//! What idleness costs: memory of kept-alive connections, CPU of a process without traffic.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use coregate::clock;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::sleep;

use super::gateway::{self, Cpus, Kind, Server};
use super::results::{Table, ratio};
use crate::process;

/// Connections that are open before memory is first read, so that what is allocated once is not counted.
const FIRST: usize = 100;
/// Local addresses that clients come from; each has some 28,000 ports.
const SOURCES: usize = 8;
/// Descriptors that a process needs besides its connections.
const DESCRIPTORS_BESIDES: u64 = 150;
/// From the last request until memory or CPU is read: hot waits are over, deferred work is done.
const SETTLE: Duration = Duration::from_secs(2);
/// Every so many connections are asked again in the end.
const ASKED_AGAIN: usize = 500;
const CONNECT: Duration = Duration::from_secs(2);

/// Memory of an idle connection, for each gateway.
///
/// # Errors
/// A gateway does not run, or connections break.
pub async fn memory(gateways: &[Kind], connections: usize, cpus: Cpus) -> Result<String, String> {
    let possible = raise_descriptors();
    let held = connections.min(usize::try_from(possible).unwrap_or(usize::MAX));
    let origin = Server::origin(None, cpus).await?;
    let mut table =
        Table::new(&["gateway", "connections", "bytes/connection", "ratio", "resident MiB in the end"]);
    let mut first = None;
    for &kind in gateways {
        let server = Server::gateway(kind, origin.address, cpus).await?;
        let pid = server.child.id();
        let mut open = hold(server.address, FIRST.min(held)).await?;
        sleep(SETTLE).await;
        let before = process::resident_bytes(pid);
        let more = held - open.len();
        open.extend(hold(server.address, more).await?);
        sleep(SETTLE).await;
        let after = process::resident_bytes(pid);
        for stream in open.iter_mut().step_by(ASKED_AGAIN) {
            still_open(stream)
                .map_err(|error| format!("{}: an idle connection broke: {error}", kind.name()))?;
        }
        let each = number(after.saturating_sub(before)) / number(more.max(1) as u64);
        eprintln!("{}: {} connections, {each:.0} bytes each", kind.name(), open.len());
        let of = *first.get_or_insert(each);
        table.row([
            kind.name().to_owned(),
            open.len().to_string(),
            format!("{each:.0}"),
            if kind == gateways[0] { String::new() } else { ratio(of, each) },
            format!("{:.1}", number(after) / f64::from(1 << 20)),
        ]);
    }
    let limited = if held < connections {
        format!(" {connections} were asked for; the limit of open files here allows {held} a process.")
    } else {
        String::new()
    };
    Ok(format!(
        "Resident memory of the gateway's processes for each idle kept-alive client connection, which has been \
         answered one request: the difference between {FIRST} and all connections.{limited} A ratio is {}'s number \
         divided by the row's.\n\n{}",
        gateways.first().map_or("", |kind| kind.name()),
        table.text()
    ))
}

/// CPU of a gateway that nobody asks anything, for each gateway.
///
/// # Errors
/// A gateway does not run.
pub async fn cpu(gateways: &[Kind], duration: Duration, cpus: Cpus) -> Result<String, String> {
    let origin = Server::origin(None, cpus).await?;
    let mut table = Table::new(&["gateway", "% of a CPU"]);
    for &kind in gateways {
        let server = Server::gateway(kind, origin.address, cpus).await?;
        sleep(SETTLE).await;
        let (started, before) = (clock::read(), process::threads_cpu_ns(server.child.id()));
        sleep(duration).await;
        let used = process::threads_cpu_ns(server.child.id()).saturating_sub(before);
        let percent = number(used) / 1e9 / started.elapsed().as_secs_f64() * 100.0;
        eprintln!("{}: {percent:.3}% of a CPU", kind.name());
        table.row([kind.name().to_owned(), format!("{percent:.3}")]);
    }
    Ok(format!(
        "CPU of the gateway's processes over {} s without traffic, after one request.\n\n{}",
        duration.as_secs(),
        table.text()
    ))
}

/// Opens connections and asks once on each.
async fn hold(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>, String> {
    let mut open = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = connect(address, index % SOURCES)
            .map_err(|error| format!("connection {index} of {count}: {error}"))?;
        still_open(&mut stream)
            .map_err(|error| format!("request on connection {index} of {count}: {error}"))?;
        open.push(stream);
        if index % 64 == 0 {
            // Signals are looked at.
            tokio::task::yield_now().await;
        }
    }
    Ok(open)
}

fn connect(address: SocketAddr, source: usize) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let last = u8::try_from(2 + source).unwrap_or(2);
    socket.bind(&SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into())?;
    socket.connect_timeout(&address.into(), CONNECT)?;
    Ok(socket.into())
}

fn still_open(stream: &mut TcpStream) -> std::io::Result<()> {
    match gateway::ask(stream, "") {
        Ok(200) => Ok(()),
        Ok(status) => Err(std::io::Error::other(format!("status {status}"))),
        Err(error) => Err(error),
    }
}

/// Raises this process's limit of open files, which its children inherit, and returns how many connections fit.
fn raise_descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without, fewer connections fit.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.map_or(u64::MAX, |files| files.saturating_sub(DESCRIPTORS_BESIDES))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn number(value: u64) -> f64 {
    value as f64
}
