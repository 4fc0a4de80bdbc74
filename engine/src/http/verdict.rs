//! Verdict: what becomes of a request, by its head alone, whatever protocol brought it.
//!
//! Input: a head and its meaning. Output: a [`Verdict`], the request's id, and in the record what was found out. The head
//! may be borrowed from a receive buffer; nothing of it is needed afterwards.

use std::rc::Rc;

use coregate_config::checked::Listener;

use crate::access_log::Asked;
use crate::error::Error;
use crate::http::exchange::{self, Origin, Plan};
use crate::http::head::{HeadError, RequestHead, RequestMeta};
use crate::http::record::Record;
use crate::http::token_request::TokenHead;
use crate::request_id::RequestId;
use crate::shard::Shard;

/// What becomes of a request.
pub enum Verdict {
    /// It goes upstream.
    Forward(Plan),
    /// It is wanted by TLS, there.
    Redirect(String),
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
    listener: &Listener,
    origin: &Origin,
    head: &RequestHead,
    meta: &RequestMeta,
    record: &mut Record,
) -> (RequestId, Verdict) {
    #[cfg(feature = "fault-injection")]
    crate::fault::on_request(head);
    let request_id = shard.request_ids.next(meta.request_id);
    let verdict = if let Some(port) = listener.https_redirect {
        https(meta, port).map_or_else(Verdict::Refuse, Verdict::Redirect)
    } else if exchange::asks_the_gateway(meta) {
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

/// The same URL in https.
fn https(meta: &RequestMeta, port: u16) -> Result<String, Error> {
    if meta.host.is_empty() {
        return Err(HeadError::Malformed("it names no host, and is answered by https alone").into());
    }
    // The port in Host is that of this listener. An IPv6 address has colons of its own, in brackets.
    let host = match meta.host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => meta.host,
    };
    let path = match meta.target.path() {
        "*" => "/",
        path => path,
    };
    let mut location = format!("https://{host}");
    if port != 443 {
        location += &format!(":{port}");
    }
    location += path;
    if let Some(query) = meta.target.query() {
        location.push('?');
        location += query;
    }
    Ok(location)
}
