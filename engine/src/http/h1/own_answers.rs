//! Answers of the gateway's own on an HTTP/1.1 connection: errors, `OPTIONS *`, tokens.

use super::{Client, Next};
use crate::account::Phase;
use crate::answer::Answer;
use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::Outcome;
use crate::http::h1_body::Incoming;
use crate::http::head::Method;
use crate::http::record::{Moved, Record};
use crate::http::token_request::{self, TokenHead};
use crate::request_id::RequestId;
use crate::tenant::endpoint::BODY_BYTES_MAX;

/// What is answered to: a request, as far as it is known.
pub(super) struct To<'a> {
    pub(super) id: &'a RequestId,
    pub(super) method: Method,
    /// Bytes of it that were read.
    pub(super) bytes_in: u64,
    /// As far as the request goes, the connection can carry another.
    pub(super) keep: bool,
}

impl Client<'_> {
    /// Answers a request that failed before anything of an answer was written.
    pub(super) async fn refuse(&self, record: &Record, outcome: &Outcome, to: To<'_>) -> Next {
        let id = to.id.as_str();
        match outcome.error.as_ref().and_then(|error| Answer::to(error, id)) {
            Some(answer) => self.answer(record, outcome, &answer, to).await,
            None => {
                record.end(self.shard, outcome, Moved { bytes_in: to.bytes_in, ..Moved::default() });
                Next::Close
            }
        }
    }

    /// Answers `OPTIONS *`.
    pub(super) async fn options(&self, record: &Record, to: To<'_>) -> Next {
        self.answer(record, &Outcome::new(None, Phase::Complete), &Answer::to_options(), to).await
    }

    /// Tells where the request belongs.
    pub(super) async fn redirect(&self, record: &Record, location: &str, to: To<'_>) -> Next {
        let answer = Answer::to_https(location, to.id.as_str());
        self.answer(record, &Outcome::new(None, Phase::Complete), &answer, to).await
    }

    /// Reads the body of a request for a token, and answers it.
    pub(super) async fn token(
        &mut self,
        record: &Record,
        head: &TokenHead,
        framing: BodyFraming,
        mut to: To<'_>,
    ) -> Next {
        if head.expect_continue && framing != BodyFraming::None {
            let mut interim = self.shard.net.outgoing();
            interim.bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            if self.stream.post(interim).await.is_err() {
                return Next::Close;
            }
        }
        let live = self.shard.live();
        let mut body = Incoming::new(self.stream, self.inbox, framing, BODY_BYTES_MAX as u64);
        let (timer, patience) = (&self.timers.up, self.listener.header_timeout);
        let answered = head.answer(&live.snapshot.callers, &mut body, timer, patience, &self.shard.net).await;
        to.bytes_in += body.bytes();
        to.keep &= body.is_done();
        match answered {
            Ok(answer) => {
                let answered = Answer::of_token_endpoint(&answer);
                self.answer(record, &token_request::outcome(&answer), &answered, to).await
            }
            Err(unread) => {
                let outcome = Outcome::new(Some(unread.into()), Phase::RequestBody);
                self.refuse(record, &outcome, to).await
            }
        }
    }

    /// Answers a request whose task panicked, if nothing was answered yet.
    pub(super) async fn panicked(&mut self) -> Next {
        self.shard.counters.panicked();
        let mut record = Record::new(self.shard.net.now(), self.origin.peer);
        let outcome = Outcome::new(Some(Error::Panicked), Phase::Decide);
        let id = self.shard.request_ids.next(None);
        record.begin_line(self.shard, None, "", id.as_str());
        if self.written.get() {
            record.end(self.shard, &outcome, Moved::default());
            self.stream.reset_on_close();
            return Next::Close;
        }
        let to = To { id: &id, method: Method::Get, bytes_in: 0, keep: false };
        self.refuse(&record, &outcome, to).await
    }

    async fn answer(&self, record: &Record, outcome: &Outcome, answer: &Answer<'_>, to: To<'_>) -> Next {
        let keep = to.keep && !self.shard.draining();
        let mut out = self.shard.net.outgoing();
        let answer = answer.secured(self.listener.hsts());
        answer.write_h1(out.bytes(), to.method == Method::Head, !keep);
        let bytes_out = out.len() as u64;
        self.timers.down.set(self.shard.net.now() + self.listener.header_timeout);
        let sent = matches!(self.timers.down.within(self.stream.post(out)).await, Ok(Ok(())));
        let status = if sent { answer.status } else { 0 };
        let body_bytes_out = if to.method == Method::Head { 0 } else { answer.body.len() as u64 };
        record.end(self.shard, outcome, Moved { status, bytes_in: to.bytes_in, bytes_out, body_bytes_out });
        match (sent, keep) {
            (false, _) => Next::Close,
            (true, true) => Next::Request,
            (true, false) => Next::Linger,
        }
    }
}
