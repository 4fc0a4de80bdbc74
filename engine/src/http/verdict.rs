//! Verdict: what becomes of a request, by its head alone, whatever protocol brought it.
//!
//! Input: a head and its meaning. Output: a [`Verdict`], the request's id, and in the record what was found out. The head
//! may be borrowed from a receive buffer; nothing of it is needed afterwards.

use std::rc::Rc;

use crate::access_log::Asked;
use crate::error::Error;
use crate::http::exchange::{self, Origin, Plan};
use crate::http::head::{RequestHead, RequestMeta};
use crate::http::record::Record;
use crate::http::token_request::TokenHead;
use crate::request_id::RequestId;
use crate::shard::Shard;

/// What becomes of a request.
pub enum Verdict {
    /// It goes upstream.
    Forward(Plan),
    /// Answered by the gateway itself.
    Options,
    /// Answered by the gateway itself, once the body is there.
    Token(Box<TokenHead>),
    /// It is refused.
    Refuse(Error),
}

/// Decides on a head, names the request and begins its line of the access log.
pub fn judge(
    shard: &Rc<Shard>,
    origin: &Origin,
    head: &RequestHead,
    meta: &RequestMeta,
    record: &mut Record,
) -> (RequestId, Verdict) {
    #[cfg(feature = "fault-injection")]
    crate::fault::on_request(head);
    let request_id = shard.request_ids.next(meta.request_id);
    let verdict = if exchange::asks_the_gateway(meta) {
        Verdict::Options
    } else if exchange::asks_for_a_token(shard, meta) {
        Verdict::Token(Box::new(TokenHead::new(head, meta)))
    } else {
        match exchange::decide(shard, origin, head, meta, request_id.as_str(), record) {
            Ok(plan) => Verdict::Forward(plan),
            Err(error) => Verdict::Refuse(error),
        }
    };
    if shard.access_log.is_on() {
        record.begin_line(shard, Some(Asked::of(head)), meta.host, request_id.as_str());
    }
    (request_id, verdict)
}
