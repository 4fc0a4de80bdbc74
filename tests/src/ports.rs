//! Ports for servers that have to know theirs before they bind.
//!
//! A port from bind(0) that was closed again can be taken by anyone, above all by an outgoing connection of another
//! test. These come from below the range that the kernel takes outgoing ports from, and each is held by a file lock
//! for as long as its [`Port`] lives, so two tests never have the same one, in whatever process they run.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

const FIRST: u16 = 18_000;
const LAST: u16 = 31_999;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that no other test uses.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// A port that nobody listens on.
    pub fn free() -> Port {
        let range = LAST - FIRST;
        let start = u16::try_from(std::process::id() * 7919 % u32::from(range)).expect("below the range");
        for _ in 0..range {
            let offset =
                (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(range);
            let number = FIRST + u16::try_from(offset).expect("below the range");
            if let Some(port) = Port::take(number) {
                return port;
            }
        }
        panic!("no free port between {FIRST} and {LAST}");
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }

    /// The port.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn take(number: u16) -> Option<Port> {
        let lock = File::create(lock_folder().join(number.to_string())).expect("a lock file for the port");
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return None,
            Err(TryLockError::Error(error)) => panic!("lock for port {number}: {error}"),
        }
        is_free(number).then_some(Port { number, _lock: lock })
    }
}

/// Whether nobody listens there. The socket that asks never listens itself: a process that is forked at this moment
/// holds a copy of it for a while, which then is in nobody's way.
fn is_free(number: u16) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)).into()).is_ok()
}

/// Where tests of all processes keep their locks.
pub(crate) fn lock_folder() -> PathBuf {
    let folder = std::env::temp_dir().join("coregate-tests-locks");
    std::fs::create_dir_all(&folder).expect("a folder for lock files");
    folder
}
