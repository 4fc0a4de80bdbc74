//! A request to the gateway's own token endpoint, read off a connection. What it is answered is decided by
//! [`crate::tenant::endpoint`].
//!
//! Bodies are bounded by [`endpoint::BODY_BYTES_MAX`], the time for a body by the listener's `header_timeout`.

use std::time::Duration;

use crate::account::Phase;
use crate::clock;
use crate::error::Error;
use crate::http::exchange::Outcome;
use crate::http::head::{RequestHead, RequestMeta};
use crate::net::{Net, Timer};
use crate::relay::{Piece, ReadError, Source};
use crate::tenant::Tenants;
use crate::tenant::endpoint::{self, TokenAnswer, TokenRequest};

/// The head of such a request, as far as it matters.
pub struct TokenHead {
    method: String,
    content_type: Option<Vec<u8>>,
    authorization: Vec<Vec<u8>>,
    /// The client waits for 100 (Continue).
    pub expect_continue: bool,
}

/// Why the body could not be read.
pub enum Unread {
    /// It came too slowly.
    Timeout,
    /// It is malformed, or the client is gone.
    Failed(ReadError),
}

impl From<Unread> for Error {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Timeout => Error::RequestTimeout,
            Unread::Failed(ReadError::Body(error)) => Error::RequestBody(error),
            Unread::Failed(ReadError::TooLarge) => Error::BodyTooLarge,
            Unread::Failed(ReadError::Gone) => Error::ClientGone,
        }
    }
}

/// How an exchange ends that is answered so.
pub fn outcome(answer: &TokenAnswer) -> Outcome {
    let refused = (answer.status >= 400).then_some(Error::NoToken);
    let phase = if refused.is_none() { Phase::Complete } else { Phase::Decide };
    Outcome::new(refused, phase)
}

impl TokenHead {
    /// What a head asks.
    pub fn new(head: &RequestHead, meta: &RequestMeta) -> Self {
        let all = |name| {
            let fields = head.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
            fields.map(|field| field.value.to_vec())
        };
        Self {
            method: head.method.to_owned(),
            content_type: all("content-type").next(),
            authorization: all("authorization").collect(),
            expect_continue: meta.expect_continue,
        }
    }

    /// Reads the body within `patience` and answers.
    pub async fn answer(
        &self,
        tenants: &Tenants,
        source: &mut impl Source,
        timer: &Timer,
        patience: Duration,
        net: &Net,
    ) -> Result<TokenAnswer, Unread> {
        timer.set(net.now() + patience);
        let body = match timer.within(read(source)).await {
            Ok(Ok(body)) => body,
            Ok(Err(ReadError::TooLarge)) => return Ok(endpoint::too_large()),
            Ok(Err(error)) => return Err(Unread::Failed(error)),
            Err(_) => return Err(Unread::Timeout),
        };
        let authorization: Vec<&[u8]> = self.authorization.iter().map(Vec::as_slice).collect();
        let request = TokenRequest {
            method: &self.method,
            content_type: self.content_type.as_deref(),
            authorization: &authorization,
            body: &body,
        };
        Ok(endpoint::answer(tenants, &request, clock::unix_seconds()))
    }
}

async fn read(source: &mut impl Source) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        match source.try_next()? {
            Piece::Data(chunk) => body.extend_from_slice(&chunk),
            Piece::Wait => source.ready().await?,
            Piece::End => return Ok(body),
        }
    }
}
