//! One health check of one node: connects, and for an HTTP check asks and reads the answer's head; by gRPC see
//! [`super::grpc`].
//!
//! Input: what to check, the node, the time it may take in all. Output: nothing, or what went wrong in words. The
//! head of an answer is bounded by [`HEAD_BYTES_MAX`]; its body is not read.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use coregate_config::checked::HealthCheckKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most fields in it.
const FIELDS_MAX: usize = 128;

/// Checks a node. The whole of it takes at most `timeout`.
pub async fn probe(kind: &HealthCheckKind, node: SocketAddr, timeout: Duration) -> Result<(), String> {
    let checked = tokio::time::timeout(timeout, async {
        let mut stream = TcpStream::connect(node).await.map_err(|error| format!("connect: {error}"))?;
        match kind {
            HealthCheckKind::Tcp => Ok(()),
            HealthCheckKind::Http { path, host, expect_status } => {
                let request = request(path, host.as_deref(), node);
                stream.write_all(request.as_bytes()).await.map_err(|error| format!("send: {error}"))?;
                let status = read_status(&mut stream).await?;
                expect(status, expect_status)
            }
            HealthCheckKind::Grpc { service, host } => {
                let node = node.to_string();
                super::grpc::check(stream, "http", host.as_deref().unwrap_or(&node), service, timeout).await
            }
        }
    });
    checked.await.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}

fn request(path: &str, host: Option<&str>, node: SocketAddr) -> String {
    let version = crate::metrics::VERSION;
    let node = node.to_string();
    let host = host.unwrap_or(&node);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: coregate-health/{version}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    )
}

/// The status of the final answer: interim ones (1xx) are passed over.
async fn read_status(stream: &mut TcpStream) -> Result<u16, String> {
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
