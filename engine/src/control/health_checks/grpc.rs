//! A health check by gRPC: one call over a connection of its own, which speaks HTTP/2 from its first byte.
//!
//! Input: a stream to the node, what it is called there, and what is asked about. Output: nothing, or what went wrong in
//! words; what an answer means is decided by [`crate::health::grpc`]. Heads are bounded by [`HEADER_LIST_BYTES_MAX`], what
//! may be received by the smallest window there is.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{Method, Request, Uri, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::probe;
use crate::health::grpc::{Answer, PATH, question};

/// SETTINGS_MAX_HEADER_LIST_SIZE.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;

/// Calls `grpc.health.v1.Health/Check`. `authority` is what the node is called; it gets to know that the answer is
/// wanted within `timeout`, which is for the caller to keep.
pub async fn check(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    scheme: &str,
    authority: &str,
    service: &str,
    timeout: Duration,
) -> Result<(), String> {
    let request = request(scheme, authority, timeout).map_err(|error| format!("cannot be asked: {error}"))?;
    let (requests, mut connection) = Builder::new()
        .enable_push(false)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(http2)?;
    let answer = {
        let mut asked = pin!(ask(requests, request, question(service).into()));
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            // What it has brought before its end is there to be read, and streams that wait are told.
            _ = &mut connection => return asked.await,
        }
    };
    // GOAWAY, as far as it can be sent without waiting.
    poll_fn(|cx| {
        let _ = Pin::new(&mut connection).poll(cx);
        Poll::Ready(())
    })
    .await;
    answer
}

fn request(scheme: &str, authority: &str, timeout: Duration) -> Result<Request<()>, http::Error> {
    /// `grpc-timeout` has at most eight digits.
    const TIMEOUT_MS_MAX: u128 = 99_999_999;
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(PATH).build()?;
    Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(uri)
        .header(TE, "trailers")
        .header(CONTENT_TYPE, "application/grpc")
        .header("grpc-timeout", format!("{}m", timeout.as_millis().clamp(1, TIMEOUT_MS_MAX)))
        .header(USER_AGENT, probe::USER_AGENT)
        .body(())
}

async fn ask(requests: SendRequest<Bytes>, request: Request<()>, question: Bytes) -> Result<(), String> {
    let mut requests = requests.ready().await.map_err(http2)?;
    let (response, mut content) = requests.send_request(request, false).map_err(http2)?;
    content.send_data(question, true).map_err(http2)?;
    let (head, mut content) = response.await.map_err(http2)?.into_parts();
    let mut answer = Answer::begin(head.status.as_u16(), &head.headers)?;
    while let Some(bytes) = content.data().await {
        answer.push(&bytes.map_err(http2)?)?;
    }
    answer.end(content.trailers().await.map_err(http2)?.as_ref())
}

fn http2(error: h2::Error) -> String {
    format!("HTTP/2: {error}")
}
