//! The built-in origin, and the configuration of `coregate demo`.
//!
//! The origin answers every request with a short text that says who answered what. It is for trying things out and for
//! the quick start, not for measuring: `bench/` has a faster one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::Request;
use coregate_config::Report;
use coregate_config::checked::{Gateway, Node, NodeAddress};

use crate::control::listeners::explain_bind;

/// The sample configuration that the demo runs.
const QUICKSTART: &str = include_str!("../../config/examples/quickstart.toml");

/// The quick start's configuration on these addresses.
pub fn gateway(listen: SocketAddr, origins: &[SocketAddr], ops: SocketAddr) -> Result<Gateway, Report> {
    let mut gateway = coregate_config::parse_toml(QUICKSTART, "quickstart.toml")?;
    gateway.server.ops_address = Some(ops);
    for listener in &mut gateway.listeners {
        listener.address = listen;
    }
    for service in &mut gateway.services {
        Arc::make_mut(service).nodes = origins
            .iter()
            .map(|&origin| Node { address: NodeAddress::Ip(origin), weight: 1, enabled: true })
            .collect();
    }
    Ok(gateway)
}

/// An origin that listens and is not served yet.
pub struct Origin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Origin {
    /// Listens. The error says what would be right.
    pub fn bind(address: SocketAddr) -> Result<Self, String> {
        let listen = || -> io::Result<Self> {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        listen()
            .map_err(|error| format!("origin: cannot listen on {address}: {}", explain_bind(address, &error)))
    }

    /// Where it listens; differs from what was asked for if that was port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on a thread of its own until the process ends.
    pub fn spawn(self) -> io::Result<JoinHandle<io::Result<()>>> {
        thread::Builder::new().name("origin".to_owned()).spawn(move || self.serve())
    }

    /// Serves until the process ends.
    pub fn serve(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let address = self.address;
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let router = Router::new().fallback(move |request: Request| async move {
                format!("{} {} answered by {address}\n", request.method(), request.uri())
            });
            axum::serve(listener, router).await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_demo_configuration_is_valid() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let gateway = gateway(address(8080), &[address(2003), address(2004)], address(9901)).unwrap();
        assert_eq!(gateway.listeners.len(), 1);
        assert_eq!(gateway.services[0].nodes.len(), 2);
        assert_eq!(gateway.services[0].routes[0].path_prefix, "/test_http_1");
    }

    #[test]
    fn an_origin_says_who_answered() {
        let origin = Origin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = origin.address();
        drop(origin.spawn().unwrap());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(b"GET /test HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(&format!("GET /test answered by {address}")), "{answer}");
    }

    #[test]
    fn a_port_in_use_is_explained() {
        let taken = Origin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Origin::bind(taken.address()).err().unwrap();
        assert!(error.contains("in use"), "{error}");
    }
}
