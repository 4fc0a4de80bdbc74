//! The stages that look at a request's head alone: target, route, admission, rewrites, headers.
//!
//! Input: a head, which may be borrowed from a receive buffer. Output: a [`Plan`], or why it is refused; what is found out on
//! the way is in the [`Record`] either way. Synchronous.

use std::rc::Rc;

use super::{Origin, Plan, Request};
use crate::admission;
use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::head::{HeadError, RequestHead, RequestMeta};
use crate::http::headers::{self, Hop, RequestOut};
use crate::http::record::Record;
use crate::http::{h1_upstream, h2_upstream, target};
use crate::route::Lookup;
use crate::shard::{ServiceState, Shard};
use crate::tenant;

/// Takes a request head through the stages that look at it alone. What they find out goes into the record, also when
/// the request is refused.
///
/// # Errors
/// Why it is refused.
pub fn decide(
    shard: &Rc<Shard>,
    origin: &Origin,
    head: &RequestHead,
    meta: &RequestMeta,
    request_id: &str,
    record: &mut Record,
) -> Result<Plan, Error> {
    let live = shard.live();
    let trusted = live.snapshot.trusted_proxies.contains(origin.peer);
    record.client =
        headers::real_client(origin.peer, |ip| live.snapshot.trusted_proxies.contains(ip), head.fields);

    let mut scratch = String::new();
    let normalised = target::normalise(meta.target.path(), &mut scratch).map_err(HeadError::from)?;
    let found = match live.snapshot.routes.lookup(meta.host, normalised.path, head.method) {
        Lookup::Found(found) => found,
        Lookup::MethodNotAllowed(allow) => return Err(Error::MethodRefused(allow.as_str().into())),
        Lookup::NotFound => return Err(Error::NoRoute),
    };
    let service = live.services[found.service as usize].clone();
    record.service = Some(service.clone());
    let config = &service.plan.config;
    let authorization = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
    admission::admit(shard, &service, authorization.map(|field| field.value), record)?;
    let route = &config.routes[found.route as usize];
    if let BodyFraming::Length(bytes) = meta.body
        && bytes > body_bytes_max(&service)
    {
        return Err(Error::BodyTooLarge);
    }

    let path = target::path_upstream(meta.target.path(), &normalised, found.prefix_segments, route)
        .map_err(HeadError::from)?;
    let to = RequestOut {
        path: &path,
        query: meta.target.query(),
        body: meta.body,
        expect_continue: meta.expect_continue,
    };
    // A client of HTTP/1.0 need not say whom it asks, but the upstream's HTTP/1.1 must (RFC 9112 3.2).
    let host = if meta.host.is_empty() { &*config.name } else { meta.host };
    let tenant = record.tenant.as_ref().map(|tenant| &*tenant.plan.config.app_id);
    let subject = origin.subject.as_deref().map(|subject| (&*subject.header, &*subject.value));
    let hop = Hop { peer: origin.peer, trusted, https: origin.https, host, request_id, tenant, subject };
    let rules = &service.plan.rules;
    let request = if config.http2 && !meta.upgrade {
        let tls = config.tls.is_some();
        Request::H2(Box::new(h2_upstream::Request::new(head, meta, &to, rules, &hop, tls)?))
    } else {
        let mut out = shard.net.outgoing();
        headers::write_request(out.bytes(), head, meta, &to, rules, &hop);
        Request::H1(h1_upstream::Request::new(out, meta.body))
    };
    Ok(Plan {
        request,
        framing: meta.body,
        method: meta.method,
        client: record.client,
        expect_continue: meta.expect_continue,
        upgrade: meta.upgrade,
        service,
    })
}

/// Whether a request asks about the gateway itself: `OPTIONS *`, or the same in absolute form.
pub fn asks_the_gateway(meta: &RequestMeta) -> bool {
    meta.target.path() == "*"
}

/// Whether a request is for the gateway's own token endpoint, which is there when there are tenants.
pub fn asks_for_a_token(shard: &Shard, meta: &RequestMeta) -> bool {
    meta.target.path() == tenant::endpoint::PATH && !shard.live().snapshot.callers.is_empty()
}

/// The most bytes that a request body may have.
pub fn body_bytes_max(service: &ServiceState) -> u64 {
    match service.plan.config.max_body_bytes {
        0 => u64::MAX,
        max => max,
    }
}
