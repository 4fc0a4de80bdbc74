//! A request as HTTP/2 upstream wants it.
//!
//! Input: what the exchange decided. Output: its head, made anew each time that it is sent, out of one block of memory
//! which its field values share; and what of its body has come. The fields are those of `headers.rs`.

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use smallvec::SmallVec;

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::h2_body::Outbox;
use crate::http::head::{HeadError, RequestHead, RequestMeta};
use crate::http::headers::{Fields, Hop, RequestOut, Rules, request_fields};
use crate::net::Chunk;
use crate::relay::Append;

/// A request's head, and what of its body goes with it.
pub struct Request {
    method: Method,
    uri: Uri,
    /// Names and values, one after the other.
    block: Bytes,
    /// Where each name and each value ends in it.
    ends: Ends,
    /// There is no body.
    bodiless: bool,
    /// What of its body has come.
    pub body: Outbox,
}

type Ends = SmallVec<[(u32, u32); 24]>;

impl Request {
    /// Makes it. `tls`: the nodes are spoken to over TLS.
    ///
    /// # Errors
    /// A target or host that HTTP/2 has no form for.
    pub fn new(
        head: &RequestHead,
        meta: &RequestMeta,
        to: &RequestOut,
        rules: &Rules,
        hop: &Hop,
        tls: bool,
    ) -> Result<Self, Error> {
        let mut list = List { block: Vec::with_capacity(1024), ends: Ends::new() };
        let authority = request_fields(&mut list, head, meta, to, rules, hop);
        let malformed = |what| Error::Head(HeadError::Malformed(what));
        Ok(Self {
            method: Method::from_bytes(head.method.as_bytes()).map_err(|_| malformed("method"))?,
            uri: uri(tls, authority, to).ok_or(malformed("no :authority and :path can be made of it"))?,
            block: list.block.into(),
            ends: list.ends,
            bodiless: to.body == BodyFraming::None,
            body: Outbox::default(),
        })
    }

    /// Whether there is no body.
    pub fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// Its head.
    pub fn head(&self) -> http::Request<()> {
        let mut request = http::Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = http::Version::HTTP_2;
        let mut fields = HeaderMap::with_capacity(self.ends.len());
        let mut from = 0;
        for &(name_end, value_end) in &self.ends {
            let name = HeaderName::from_bytes(&self.block[from..name_end as usize]);
            let value =
                HeaderValue::from_maybe_shared(self.block.slice(name_end as usize..value_end as usize));
            from = value_end as usize;
            // Heads that were parsed have valid names and values, and not more than a map holds.
            let (Ok(name), Ok(mut value)) = (name, value) else { continue };
            // RFC 7541 7.1.3: other clients' requests go over the same connection.
            value.set_sensitive(name == AUTHORIZATION || name == COOKIE);
            let _ = fields.try_append(name, value);
        }
        *request.headers_mut() = fields;
        request
    }
}

impl Append for Request {
    fn push(&mut self, chunk: Chunk) {
        self.body.push(chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        self.body.end(trailers);
    }

    fn is_full(&self) -> bool {
        self.body.is_full()
    }
}

/// RFC 9113 8.3.1. The one character that the gateway takes in a path and `http` does not is escaped.
fn uri(tls: bool, authority: &str, to: &RequestOut) -> Option<Uri> {
    let mut target = to.path.replace('`', "%60");
    if let Some(query) = to.query {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::from_maybe_shared(Bytes::from(authority.to_owned())).ok()?);
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(Bytes::from(target)).ok()?);
    Uri::from_parts(parts).ok()
}

/// Collects fields.
struct List {
    block: Vec<u8>,
    ends: Ends,
}

impl List {
    fn end_of_block(&self) -> u32 {
        // A head is bounded far below that.
        u32::try_from(self.block.len()).unwrap_or(u32::MAX)
    }
}

impl Fields for List {
    fn begin(&mut self, name: &str) {
        self.block.extend_from_slice(name.as_bytes());
        let end = self.end_of_block();
        self.ends.push((end, end));
    }

    fn part(&mut self, value: &[u8]) {
        self.block.extend_from_slice(value);
    }

    fn end(&mut self) {
        let end = self.end_of_block();
        if let Some((_, value_end)) = self.ends.last_mut() {
            *value_end = end;
        }
    }
}
