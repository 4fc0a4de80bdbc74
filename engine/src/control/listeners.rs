//! Listening sockets: opened by the control thread, one a shard, handed over as file descriptors.
//!
//! All sockets of a listener share its port through SO_REUSEPORT, and the kernel spreads connections over them. That
//! option also lets a second gateway of the same user take the port without anybody noticing, so each address is first
//! bound once without it. Port 0 is allowed: the first socket's port is the one that the others get.
//!
//! Invariant: [`open_all`] opens all or nothing.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use coregate_config::checked::Listener;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait for a shard to accept them; the kernel takes less if `net.core.somaxconn` is less.
const BACKLOG: i32 = 4096;

/// One listener's sockets.
#[derive(Debug)]
pub struct OpenListener {
    /// Its name.
    pub name: Arc<str>,
    /// The address in the configuration.
    pub configured: SocketAddr,
    /// The address it listens on: differs where port 0 was asked for.
    pub bound: SocketAddr,
    /// One for each shard, in their order.
    pub sockets: Vec<OwnedFd>,
}

/// Why a listener could not be opened.
#[derive(Debug)]
pub struct OpenError {
    /// Which.
    pub listener: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// What the system said and what would be right.
    pub why: String,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "listener \"{}\": cannot listen on {}: {}", self.listener, self.address, self.why)
    }
}

impl std::error::Error for OpenError {}

/// Opens listeners for `shards` shards. `held` are addresses that this process listens on already.
pub fn open_all<'a>(
    listeners: impl IntoIterator<Item = &'a Listener>,
    shards: usize,
    held: &[SocketAddr],
) -> Result<Vec<OpenListener>, OpenError> {
    listeners.into_iter().map(|listener| open(listener, shards, held)).collect()
}

fn open(listener: &Listener, shards: usize, held: &[SocketAddr]) -> Result<OpenListener, OpenError> {
    let address = listener.address;
    let open = || -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
        // Where this very process holds the port (a listener that was renamed), the check would find itself.
        if address.port() != 0 && !held.iter().any(|other| other.port() == address.port()) {
            check_free(address)?;
        }
        let first = open_socket(address)?;
        let bound = first.local_addr()?.as_socket().unwrap_or(address);
        let mut sockets = vec![first.into()];
        for _ in 1..shards {
            sockets.push(open_socket(bound)?.into());
        }
        Ok((bound, sockets))
    };
    match open() {
        Ok((bound, sockets)) => {
            Ok(OpenListener { name: listener.name.clone(), configured: address, bound, sockets })
        }
        Err(error) => {
            let why = explain_bind(address, &error);
            Err(OpenError { listener: listener.name.clone(), address, why })
        }
    }
}

/// Binds without SO_REUSEPORT: fails if anybody listens there.
fn check_free(address: SocketAddr) -> io::Result<()> {
    new_socket(address)?.bind(&address.into())
}

fn open_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Reads the address that a flag gives.
///
/// # Errors
/// What would be right.
pub fn address_of_flag(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "right would be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080")
}

/// What a failed bind means and what to do about it.
pub fn explain_bind(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match holder(address.port()) {
            Some(holder) => format!("the port is in use by {holder}; stop it or choose another port"),
            None => format!("the port is in use ({error}); see ss -ltnp 'sport = :{}'", address.port()),
        },
        io::ErrorKind::PermissionDenied if address.port() < 1024 => format!(
            "{error}; ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in a unit) or a lower \
             net.ipv4.ip_unprivileged_port_start"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{error}; no interface of this machine has the address {}", address.ip())
        }
        _ => error.to_string(),
    }
}

/// Name and id of the process that listens on a port, as far as /proc tells this user.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|path| listening_inode(&fs::read_to_string(path).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |entry: fs::DirEntry| {
            fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str())
        };
        if descriptors.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim_end()));
        }
    }
    None
}

/// The inode of the socket that listens on a port, from the text of /proc/net/tcp (proc_net_tcp(5)).
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let local_port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (state == LISTEN && local_port == port).then(|| inode.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        let toml = format!("[[listeners]]\nname = \"web\"\naddress = \"{address}\"\nprotocol = \"http\"\n");
        coregate_config::parse_toml(&toml, "test").unwrap().listeners.remove(0)
    }

    #[test]
    fn port_0_gives_all_shards_the_same_port() {
        let opened = open_all([&listener("127.0.0.1:0")], 3, &[]).unwrap().remove(0);
        assert_eq!(opened.configured.port(), 0);
        assert_ne!(opened.bound.port(), 0);
        assert_eq!(opened.sockets.len(), 3);
        for socket in &opened.sockets {
            let socket = socket2::SockRef::from(socket);
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(opened.bound));
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.reuse_port().unwrap());
            assert!(socket.is_listener().unwrap());
        }
    }

    #[test]
    fn a_port_in_use_names_listener_address_and_holder() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = open_all([&listener(&address.to_string())], 2, &[]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("listener \"web\""), "{text}");
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    }

    #[test]
    fn another_gateway_with_reuse_port_is_noticed() {
        let opened = open_all([&listener("127.0.0.1:0")], 1, &[]).unwrap().remove(0);
        let again = listener(&opened.bound.to_string());
        assert!(open_all([&again], 1, &[]).is_err());
        assert!(open_all([&again], 1, &[opened.bound]).is_ok(), "its own port is no obstacle");
    }

    #[test]
    fn an_address_that_no_interface_has() {
        let error = open_all([&listener("192.0.2.1:8080")], 1, &[]).unwrap_err();
        assert!(error.to_string().contains("no interface"), "{error}");
    }

    #[test]
    fn finds_the_listening_socket_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0\n\
             1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n";
        assert_eq!(listening_inode(table, 8080), Some(4242));
        assert_eq!(listening_inode(table, 8081), None);
        assert_eq!(listening_inode("", 8080), None);
        assert_eq!(listening_inode("x\n1: garbage\n", 8080), None);
    }
}
