//! One health check of one node: connects as the traffic does (PROXY header, TLS), and for an HTTP check asks and reads
//! the answer's head; by gRPC see [`super::grpc`].
//!
//! Input: what to check, the node, the time it may take in all. Output: nothing, or what went wrong in words. The
//! head of an answer is bounded by [`HEAD_BYTES_MAX`]; its body is not read.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use coregate_config::checked::{HealthCheckKind, ProxyVersion};
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::proxy_protocol;
use crate::tls::nodes::{self, NodeTls, Spoken};

/// What checks call themselves.
pub const USER_AGENT: &str = concat!("coregate-health/", env!("CARGO_PKG_VERSION"));
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// A refusal of the gateway's certificate comes by then, a round trip after the handshake.
const REFUSAL_WITHIN: Duration = Duration::from_millis(250);
/// Most fields in it.
const FIELDS_MAX: usize = 128;

/// What comes before anything is asked of a node, as in its traffic.
#[derive(Debug, Clone)]
pub struct Approach {
    /// A PROXY header of that version, which says that nobody is spoken for.
    pub proxy_header: Option<ProxyVersion>,
    /// Whether TLS is spoken.
    pub security: Security,
}

/// Whether TLS is spoken with a node.
#[derive(Debug, Clone)]
pub enum Security {
    /// It is not.
    Clear,
    /// It is.
    Tls(NodeTls),
    /// It is to be, but files for it are not usable.
    Unusable,
}

/// Checks a node. The whole of it takes at most `timeout`, and then [`REFUSAL_WITHIN`] where TLS is all that is asked for.
pub async fn probe(
    kind: &HealthCheckKind,
    node: SocketAddr,
    approach: &Approach,
    timeout: Duration,
) -> Result<(), String> {
    let checked = tokio::time::timeout(timeout, async {
        let mut stream = TcpStream::connect(node).await.map_err(|error| format!("connect: {error}"))?;
        if let Some(version) = approach.proxy_header {
            send(&mut stream, proxy_protocol::own(version)).await?;
        }
        match &approach.security {
            Security::Clear => ask(kind, stream, ("http", node), timeout).await?,
            Security::Tls(tls) => {
                let stream = handshake(stream, tls, spoken(kind)).await?;
                if *kind == HealthCheckKind::Tcp {
                    return Ok(Some(stream));
                }
                ask(kind, stream, ("https", node), timeout).await?;
            }
            Security::Unusable => {
                return Err("TLS with it is not possible: its files are not usable, see the log".to_owned());
            }
        }
        Ok(None)
    });
    match checked.await {
        Ok(Ok(Some(stream))) => accepted(stream).await,
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(format!("no answer within {timeout:?}")),
    }
}

fn spoken(kind: &HealthCheckKind) -> Spoken {
    match kind {
        HealthCheckKind::Tcp => Spoken::Bytes,
        HealthCheckKind::Http { .. } => Spoken::Http1,
        HealthCheckKind::Grpc { .. } => Spoken::Http2,
    }
}

async fn handshake(stream: TcpStream, tls: &NodeTls, spoken: Spoken) -> Result<TlsStream<TcpStream>, String> {
    let connector = TlsConnector::from(tls.config(spoken));
    let stream = connector.connect(tls.name.clone(), stream).await.map_err(|error| {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        let why = cause.map_or_else(|| error.to_string(), |cause| nodes::explain(cause, &tls.name));
        format!("TLS: {why}")
    })?;
    spoken.check(stream.get_ref().1.alpn_protocol()).map_err(|why| format!("TLS: {why}"))?;
    Ok(stream)
}

/// A node of TLS 1.3 refuses the gateway's certificate only after the handshake, and an HTTP check finds that in place of an
/// answer. Whoever asks nothing has to wait for it.
async fn accepted(mut stream: TlsStream<TcpStream>) -> Result<(), String> {
    let common = stream.get_ref().1;
    if common.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    match tokio::time::timeout(REFUSAL_WITHIN, stream.read(&mut [0])).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(format!("TLS: {error}")),
        // The rest is not the check's business: a node that speaks first, or that ends what asks nothing.
        _ => Ok(()),
    }
}

async fn ask(
    kind: &HealthCheckKind,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    (scheme, node): (&str, SocketAddr),
    timeout: Duration,
) -> Result<(), String> {
    match kind {
        HealthCheckKind::Tcp => Ok(()),
        HealthCheckKind::Http { path, host, expect_status } => {
            send(&mut stream, request(path, host.as_deref(), node).as_bytes()).await?;
            let status = read_status(&mut stream).await?;
            expect(status, expect_status)
        }
        HealthCheckKind::Grpc { service, host } => {
            let node = node.to_string();
            super::grpc::check(stream, scheme, host.as_deref().unwrap_or(&node), service, timeout).await
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), String> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| format!("send: {error}"))
}

fn request(path: &str, host: Option<&str>, node: SocketAddr) -> String {
    let node = node.to_string();
    let host = host.unwrap_or(&node);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// The status of the final answer: interim ones (1xx) are passed over.
async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> Result<u16, String> {
    let mut head = Vec::with_capacity(1024);
    loop {
        while let Some((status, length)) = parse(&head)? {
            if status >= 200 {
                return Ok(status);
            }
            head.drain(..length);
        }
        if head.len() >= HEAD_BYTES_MAX {
            return Err(format!("the head of the answer is longer than {HEAD_BYTES_MAX} bytes"));
        }
        let room = HEAD_BYTES_MAX - head.len();
        let read = stream.take(room as u64).read_buf(&mut head).await;
        if read.map_err(|error: io::Error| format!("receive: {error}"))? == 0 {
            let got = if head.is_empty() { "without an answer" } else { "within the head of the answer" };
            return Err(format!("the node closed the connection {got}"));
        }
    }
}

/// Status and length of a head; `None` if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(response.code.map(|status| (status, length))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(format!("the answer is not HTTP/1: {error}")),
    }
}

fn expect(status: u16, expected: &BTreeSet<u16>) -> Result<(), String> {
    if expected.contains(&status) {
        return Ok(());
    }
    let expected: Vec<String> = expected.iter().map(u16::to_string).collect();
    Err(format!("status {status}, not {}", expected.join(" or ")))
}
