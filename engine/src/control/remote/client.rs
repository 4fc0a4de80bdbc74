//! Requests to the admin over HTTP/1.1, with TLS where its URL says https: one connection, kept open.
//!
//! Input: a path below `control.admin_url`, the token as it stands in its file at that moment. Output: an [`Answer`], whole.
//! A name with several addresses has each of them tried, in the resolver's order, until one takes the connection.
//! Bounds: [`CONNECT_TIMEOUT`], [`ANSWER_TIMEOUT`] beyond what the admin may wait, [`STALL`] between two parts of an answer,
//! its size ([`TEXT_BYTES_MAX`], packed and unpacked). Errors never hold the token.
//!
//! TLS trusts the system's roots, or the PEM file that SSL_CERT_FILE names; they are read again for each connection.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coregate_config::limits::TEXT_BYTES_MAX;
use flate2::write::GzDecoder;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::control::redis;
use crate::metrics::VERSION;

/// For a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For an answer's head, beyond what the admin was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two parts of an answer.
const STALL: Duration = Duration::from_secs(30);
/// Longest token.
const TOKEN_BYTES_MAX: usize = 4096;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body, unpacked.
    pub body: Bytes,
}

/// A request.
#[derive(Debug)]
pub struct Ask {
    /// GET or POST.
    pub method: Method,
    /// Below the admin's URL; begins with `/`.
    pub path: &'static str,
    /// More fields.
    pub headers: Vec<(header::HeaderName, String)>,
    /// JSON, for POST.
    pub body: Bytes,
    /// How long the admin may wait before it answers.
    pub wait: Duration,
}

/// Asks one admin.
pub struct Client {
    https: bool,
    host: String,
    port: u16,
    /// Stands before each path.
    base: String,
    authority: String,
    token_file: PathBuf,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// For `control.admin_url`, which the configuration's checks have passed.
    pub fn new(url: &str, token_file: PathBuf) -> Self {
        let (https, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://").unwrap_or(url)),
        };
        let (authority, base) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let standard = if https { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            // What stands in brackets is an IPv6 address, whose colons are no port's.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(standard)),
            _ => (authority, standard),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let (base, authority) = (base.trim_end_matches('/').to_owned(), authority.to_owned());
        Self { https, host, port, base, authority, token_file, open: None }
    }

    /// Asks, and reads the whole answer. A connection that turns out to be dead before an answer begins is replaced once:
    /// nothing that is asked here does harm twice.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let token = self.token().await?;
        let patience = ask.wait + ANSWER_TIMEOUT;
        for attempt in 0..2 {
            let reused = self.open.as_ref().is_some_and(|open| !open.is_closed());
            let mut open = match self.open.take().filter(|_| reused) {
                Some(open) => open,
                None => timeout(CONNECT_TIMEOUT, self.connect())
                    .await
                    .map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))??,
            };
            let request = self.request(ask, &token)?;
            let ready = open.ready().await.is_ok();
            let answer = match ready {
                true => timeout(patience, open.send_request(request)).await,
                false => continue,
            };
            match answer {
                Ok(Ok(answer)) => {
                    let answer = read(answer).await?;
                    self.open = Some(open);
                    return Ok(answer);
                }
                Ok(Err(_)) if reused && attempt == 0 => {}
                Ok(Err(error)) => return Err(format!("no answer: {}", innermost(&error))),
                Err(_) => return Err(format!("no answer within {patience:?}")),
            }
        }
        Err("the connection was closed".to_owned())
    }

    fn request(&self, ask: &Ask, token: &str) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.base, ask.path))
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, format!("coregate/{VERSION}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT_ENCODING, "gzip");
        if ask.method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(ask.body.clone()))
            .map_err(|error| format!("the request cannot be made: {error}"))
    }

    /// Read for each request, so that a changed file is used at once.
    async fn token(&self) -> Result<String, String> {
        let wrong = |why: String| format!("control.token_file {}: {why}", self.token_file.display());
        let text =
            tokio::fs::read_to_string(&self.token_file).await.map_err(|error| wrong(error.to_string()))?;
        let token = text.trim();
        let fits =
            (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            Ok(token.to_owned())
        } else {
            Err(wrong("must hold one token and nothing else".to_owned()))
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let addresses = lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<_> = addresses.map_err(|error| format!("cannot connect: {error}"))?.collect();
        let stream = reach(&addresses, CONNECT_TIMEOUT).await?;
        // Both sides wait for each other's small messages.
        let _ = stream.set_nodelay(true);
        if !self.https {
            return speak(stream).await;
        }
        let config =
            tokio::task::spawn_blocking(redis::tls_config).await.map_err(|error| error.to_string())??;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| format!("{:?} is not a name that a certificate can be for", self.host))?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        speak(connected.map_err(|error| format!("TLS: {error}"))?).await
    }
}

/// A connection to the first address that takes one. Each has an equal part of the time: where one admin's machine is gone
/// without a word, the next one's is still to be reached.
async fn reach(addresses: &[SocketAddr], within: Duration) -> Result<TcpStream, String> {
    let each = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut why = "cannot connect: its name has no address".to_owned();
    for address in addresses {
        why = match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("cannot connect: {error}"),
            Err(_) => format!("cannot connect: {address} has not answered within {each:?}"),
        };
    }
    Err(why)
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (open, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("HTTP: {error}"))?;
    // Ends with the connection; whoever asks is told by an error of its own.
    tokio::spawn(connection);
    Ok(open)
}

async fn read(answer: http::Response<Incoming>) -> Result<Answer, String> {
    let (head, mut body) = answer.into_parts();
    let too_large = || format!("the answer is larger than {} MiB", TEXT_BYTES_MAX >> 20);
    let packed = head.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    let mut bytes = Vec::new();
    loop {
        let frame = timeout(STALL, body.frame())
            .await
            .map_err(|_| format!("the answer has stalled for {STALL:?}"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| format!("the answer was cut: {}", innermost(&error)))?;
        if let Ok(data) = frame.into_data() {
            if (bytes.len() + data.len()) as u64 > TEXT_BYTES_MAX {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    if packed {
        let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes)).await;
        bytes = unpacked.map_err(|error| error.to_string())?.map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => too_large(),
            _ => format!("the answer is not whole: {error}"),
        })?;
    }
    Ok(Answer { status: head.status, headers: head.headers, body: bytes.into() })
}

/// Never more than [`TEXT_BYTES_MAX`], however little it was packed into.
fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    struct Bounded(Vec<u8>);
    impl std::io::Write for Bounded {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if (self.0.len() + bytes.len()) as u64 > TEXT_BYTES_MAX {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut decoder =
        GzDecoder::new(Bounded(Vec::with_capacity(packed.len().saturating_mul(4).min(8 << 20))));
    decoder.write_all(packed)?;
    Ok(decoder.finish()?.0)
}

/// The cause that says most.
fn innermost(error: &hyper::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn parts(url: &str) -> (bool, String, u16, String, String) {
        let Client { https, host, port, base, authority, .. } = Client::new(url, PathBuf::new());
        (https, host, port, base, authority)
    }

    #[test]
    fn a_url_says_where_the_admin_is() {
        let expect = |https, host: &str, port, base: &str, authority: &str| {
            (https, host.to_owned(), port, base.to_owned(), authority.to_owned())
        };
        assert_eq!(parts("http://a.test"), expect(false, "a.test", 80, "", "a.test"));
        assert_eq!(parts("https://a.test/base"), expect(true, "a.test", 443, "/base", "a.test"));
        assert_eq!(parts("http://127.0.0.1:8880"), expect(false, "127.0.0.1", 8880, "", "127.0.0.1:8880"));
        assert_eq!(parts("https://[::1]:8880/x/y"), expect(true, "::1", 8880, "/x/y", "[::1]:8880"));
        assert_eq!(parts("http://[::1]"), expect(false, "::1", 80, "", "[::1]"));
    }

    /// An address that answers nobody, with what keeps it so.
    fn black_hole() -> (SocketAddr, impl Sized) {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut crowd = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            crowd.push(stream);
            assert!(crowd.len() < 64, "the backlog has an end");
        }
        (address, (listener, crowd))
    }

    #[test]
    fn an_address_that_is_silent_leaves_the_next_its_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (silent, _kept) = black_hole();
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let other = listener.local_addr().unwrap();
            let within = Duration::from_secs(2);
            let reached = timeout(within, reach(&[silent, other], within)).await;
            assert_eq!(reached.unwrap().unwrap().peer_addr().unwrap(), other);
            let why = reach(&[silent], Duration::from_millis(50)).await.unwrap_err();
            assert!(why.contains("has not answered within 50ms"), "{why}");
            assert!(reach(&[], within).await.unwrap_err().contains("no address"));
        });
    }

    #[test]
    fn what_was_packed_comes_out_whole_or_not_at_all() {
        let text = "{\"a\":1}".repeat(10_000);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(unpack(&packed).unwrap(), text.as_bytes());
        for cut in [0, 1, 9, 10, packed.len() / 2, packed.len() - 1] {
            assert!(unpack(&packed[..cut]).is_err(), "{cut}");
        }
    }
}
