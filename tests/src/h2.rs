//! An HTTP/2 client that keeps to the protocol: requests and answers as for HTTP/1.1, several at once.
//!
//! It is made of the `h2` crate, on a thread of its own. [`crate::RawH2`] is the one that does not keep to it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::body::Body;
use crate::message::{Answer, Fields, Framing};
use crate::request::{Request, get};
use crate::wait::PATIENCE;

/// One client connection.
pub struct H2 {
    runtime: Arc<Runtime>,
    send: SendRequest<Bytes>,
    ended: watch::Receiver<Option<Result<(), String>>>,
    pings: Option<h2::PingPong>,
}

/// One request under way.
pub struct Stream {
    runtime: Arc<Runtime>,
    response: Option<ResponseFuture>,
    send: SendStream<Bytes>,
    receive: Option<RecvStream>,
}

impl H2 {
    /// Connects by prior knowledge.
    pub fn connect(to: SocketAddr) -> H2 {
        H2::with(to, |_| {})
    }

    /// Connects with other settings than the usual ones.
    pub fn with(to: SocketAddr, configure: impl FnOnce(&mut Builder)) -> H2 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut builder = h2::client::Builder::new();
        configure(&mut builder);
        let (send, mut connection) = runtime.block_on(async {
            let stream = TcpStream::connect(to).await.expect("connect");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            builder.handshake::<_, Bytes>(stream).await.expect("a handshake")
        });
        let pings = connection.ping_pong();
        let (tell, ended) = watch::channel(None);
        runtime.spawn(async move {
            let end = connection.await.map_err(|error| error.to_string());
            tell.send(Some(end)).ok();
        });
        H2 { runtime: Arc::new(runtime), send, ended, pings }
    }

    /// Sends a request with its body and reads the answer.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Answer {
        self.try_ask(request).unwrap_or_else(|error| panic!("no answer to {request:?}: {error}"))
    }

    /// The same, or why there is no answer.
    pub fn try_ask(&mut self, request: &Request) -> Result<Answer, h2::Error> {
        self.try_start(request)?.try_read()
    }

    /// `GET target`, and its answer.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        self.ask(&get(target))
    }

    /// Sends a request with its body.
    #[track_caller]
    pub fn start(&mut self, request: &Request) -> Stream {
        self.try_start(request).expect("a stream")
    }

    /// The same, or why not.
    pub fn try_start(&mut self, request: &Request) -> Result<Stream, h2::Error> {
        let (head, body) = request.h2();
        let mut stream = self.try_open(head, body.is_empty())?;
        if !body.is_empty() {
            stream.send.reserve_capacity(body.len());
            // The stream may have been answered and ended before this: then reading tells.
            let _ = stream.send.send_data(body.into(), true);
        }
        Ok(stream)
    }

    /// Sends a request's head; the body is to follow.
    #[track_caller]
    pub fn begin(&mut self, request: &Request) -> Stream {
        self.open(request.h2().0, false)
    }

    /// Sends a head, whose body is to follow if it is not the `end`.
    #[track_caller]
    pub fn open(&mut self, head: http::Request<()>, end: bool) -> Stream {
        self.try_open(head, end).expect("a stream")
    }

    /// The same, or why not.
    pub fn try_open(&mut self, head: http::Request<()>, end: bool) -> Result<Stream, h2::Error> {
        let send = self.send.clone();
        self.send = in_time(&self.runtime, send.ready())?;
        let (response, send) = self.send.send_request(head, end)?;
        Ok(Stream { runtime: self.runtime.clone(), response: Some(response), send, receive: None })
    }

    /// Opens a WebSocket (RFC 8441); the status must be 200.
    #[track_caller]
    pub fn websocket(&mut self, target: &str) -> Stream {
        let mut stream = self.extended_connect("websocket", target);
        let (status, fields) = stream.head();
        assert_eq!(status, 200, "{fields:?}");
        stream
    }

    /// Asks for a protocol over a stream (RFC 8441).
    #[track_caller]
    pub fn extended_connect(&mut self, protocol: &str, target: &str) -> Stream {
        let (mut head, _) = get(target).field("sec-websocket-version", "13").h2();
        *head.method_mut() = http::Method::CONNECT;
        head.extensions_mut().insert(h2::ext::Protocol::from(protocol));
        self.open(head, false)
    }

    /// Waits until the server has answered all that it was sent so far, as far as a PING tells.
    #[track_caller]
    pub fn ping(&mut self) {
        let pings = self.pings.as_mut().expect("pings");
        in_time(&self.runtime, pings.ping(h2::Ping::opaque())).expect("a PING is answered");
    }

    /// Waits until the server has ended the connection: `Ok` = without an error.
    #[track_caller]
    pub fn ended(&mut self) -> Result<(), String> {
        let end = self.ended.wait_for(Option::is_some);
        let end = in_time(&self.runtime, end).expect("the connection's task tells");
        end.clone().expect("some")
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Requests that the server lets be open at once.
    pub fn max_streams(&self) -> usize {
        self.send.current_max_send_streams()
    }
}

impl Stream {
    /// Sends more of the body as far as the server's window lets it.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("send");
    }

    /// The same, or why it could not be sent.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), h2::Error> {
        let mut bytes = Bytes::copy_from_slice(bytes.as_ref());
        while !bytes.is_empty() {
            self.send.reserve_capacity(bytes.len());
            let capacity = in_time(&self.runtime, std::future::poll_fn(|cx| self.send.poll_capacity(cx)));
            let capacity = capacity.unwrap_or(Err(h2::Reason::STREAM_CLOSED.into()))?;
            self.send.send_data(bytes.split_to(capacity.min(bytes.len())), false)?;
        }
        Ok(())
    }

    /// Hands bytes to the client's own buffer, whatever the window is.
    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        self.send.send_data(bytes.into(), false).expect("send");
    }

    /// Ends the body.
    pub fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).expect("send");
    }

    /// Ends the body with trailers.
    pub fn end_with(&mut self, trailers: &[(&'static str, &'static str)]) {
        let fields = trailers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        self.send.send_trailers(fields.collect()).expect("send");
    }

    /// Resets the stream.
    pub fn reset(mut self, reason: h2::Reason) {
        self.send.send_reset(reason);
    }

    /// Waits until the server resets it; the code.
    #[track_caller]
    pub fn reset_by_server(&mut self) -> h2::Reason {
        in_time(&self.runtime, std::future::poll_fn(|cx| self.send.poll_reset(cx))).expect("a reset")
    }

    /// Reads the answer's head: status and fields.
    #[track_caller]
    pub fn head(&mut self) -> (u16, Fields) {
        let (status, fields, _) = self.try_head().expect("an answer");
        (status, fields)
    }

    /// Reads the answer's head, with interim ones before it.
    fn try_head(&mut self) -> Result<(u16, Fields, Vec<u16>), h2::Error> {
        let mut response = self.response.take().expect("the head was not read before");
        let (response, interim) = in_time(&self.runtime, async {
            let mut interim = Vec::new();
            while let Some(early) = std::future::poll_fn(|cx| response.poll_informational(cx)).await {
                interim.push(early?.status().as_u16());
            }
            Ok::<_, h2::Error>((response.await?, interim))
        })?;
        let (parts, receive) = response.into_parts();
        self.receive = Some(receive);
        Ok((parts.status.as_u16(), fields(&parts.headers), interim))
    }

    /// Reads what comes next of the body, and gives its window back; `None` at its end.
    pub fn read_some(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let receive = self.receive.as_mut().expect("the head was read");
        in_time(&self.runtime, async {
            while let Some(data) = receive.data().await {
                let data = data?;
                receive.flow_control().release_capacity(data.len())?;
                if !data.is_empty() {
                    return Ok(Some(data));
                }
            }
            Ok(None)
        })
    }

    /// Reads so many bytes of the body.
    #[track_caller]
    pub fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend(self.read_some().expect("more").expect("more before the end"));
        }
        assert_eq!(bytes.len(), length, "no more than that");
        bytes
    }

    /// Reads the answer.
    #[track_caller]
    pub fn read(self) -> Answer {
        self.try_read().expect("an answer")
    }

    /// Reads the answer, or why there is none.
    pub fn try_read(mut self) -> Result<Answer, h2::Error> {
        let (status, fields, interim) = self.try_head()?;
        let mut body = Body::default();
        while let Some(data) = self.read_some()? {
            body.push(&data);
        }
        let receive = self.receive.as_mut().expect("the head was read");
        let trailers = in_time(&self.runtime, receive.trailers())?;
        let trailers = trailers.map(|trailers| self::fields(&trailers)).unwrap_or_default();
        let version = "HTTP/2.0".to_owned();
        Ok(Answer { status, version, fields, body, trailers, interim, framing: Framing::None })
    }
}

fn fields(map: &HeaderMap) -> Fields {
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Fields(map.iter().map(text).collect())
}

/// Whatever should happen soon.
#[track_caller]
fn in_time<T>(runtime: &Runtime, future: impl Future<Output = T>) -> T {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await }).expect("not within the deadline")
}
