//! Where a request has come from: what proxies before say of it, and what the gateway says to the origin.
//!
//! Input: the fields of a head, its peer and whether that is trusted. Output: the real client's address; the fields
//! X-Forwarded-*, Forwarded, X-Request-Id, Via and those of tenant and certificate. Invariant: nothing that a stranger says of
//! its origin passes. Sans-io.

use std::io::Write;
use std::net::IpAddr;

use super::super::head::{Field, RequestHead, RequestMeta};
use super::super::syntax::{self, Known};
use super::rules::{Made, RuleSet};
use super::{Fields, Hop, RequestOut, via};

/// The client's address: of the peer, or, where that is a trusted proxy, the right-most address in X-Forwarded-For
/// that is not one too. An entry that is no address ends the search: what stands left of it is nobody's word.
pub fn real_client(peer: IpAddr, trusted: impl Fn(IpAddr) -> bool, fields: &[Field]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted(client) {
        return client;
    }
    let lines = fields.iter().rev().filter(|field| syntax::classify(field.name) == Known::ForwardedFor);
    for entry in lines.flat_map(|line| syntax::list(line.value).rev()) {
        let Some(address) = parse_forwarded_for(entry) else { return client };
        client = address;
        if !trusted(client) {
            return client;
        }
    }
    client
}

/// An address, IPv6 maybe in brackets, maybe with a port.
fn parse_forwarded_for(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    let address = match entry.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if entry.bytes().filter(|&byte| byte == b':').count() == 1 => entry.split_once(':')?.0,
        None => entry,
    };
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// What a trusted proxy says once for all hops passes as it is; lists are written anew with this hop added.
pub(super) fn is_kept_from_trusted(name: &str) -> bool {
    matches!(syntax::classify(name), Known::ForwardedOther | Known::ForwardedProto | Known::ForwardedHost)
}

/// Expect, X-Forwarded-*, Forwarded (RFC 7239), X-Request-Id and Via (RFC 9110 7.6.3).
pub(super) fn write_forwarding(
    out: &mut impl Fields,
    head: &RequestHead,
    meta: &RequestMeta,
    to: &RequestOut,
    rules: &RuleSet,
    hop: &Hop,
) {
    if to.expect_continue {
        out.field("Expect", b"100-continue");
    }
    let said = if hop.trusted && meta.forwarded { head.fields } else { &[] };
    let address = hop.peer.to_canonical();
    let peer = IpText::new(address);
    if !rules.makes(Made::ForwardedFor) {
        out.begin("X-Forwarded-For");
        write_joined(out, said, Known::ForwardedFor);
        out.part(peer.as_bytes());
        out.end();
    }
    let proto = if hop.https { "https" } else { "http" };
    if !rules.makes(Made::ForwardedProto) && !has(said, Known::ForwardedProto) {
        out.field("X-Forwarded-Proto", proto.as_bytes());
    }
    if !rules.makes(Made::ForwardedHost) && !has(said, Known::ForwardedHost) && !meta.host.is_empty() {
        out.field("X-Forwarded-Host", meta.host.as_bytes());
    }
    if !rules.makes(Made::Forwarded) {
        out.begin("Forwarded");
        write_joined(out, said, Known::Forwarded);
        write_forwarded_element(out, &peer, address.is_ipv6(), meta.host, proto);
        out.end();
    }
    if !rules.makes(Made::RequestId) && !hop.request_id.is_empty() {
        out.field("X-Request-Id", hop.request_id.as_bytes());
    }
    if let Some(app_id) = hop.tenant {
        out.field("X-Coregate-App-Id", app_id.as_bytes());
    }
    if let Some((name, subject)) = hop.subject {
        out.field(name, subject.as_bytes());
    }
    if !rules.makes(Made::Via) {
        out.field("Via", via(head.version).as_bytes());
    }
}

/// RFC 7239 4 and 6: IPv6 addresses, and hosts for their ports, are quoted.
fn write_forwarded_element(out: &mut impl Fields, peer: &IpText, ipv6: bool, host: &str, proto: &str) {
    let (open, close): (&[u8], &[u8]) = if ipv6 { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
    for part in [open, peer.as_bytes(), close] {
        out.part(part);
    }
    if !host.is_empty() {
        out.part(b";host=\"");
        out.part(host.as_bytes());
        out.part(b"\"");
    }
    out.part(b";proto=");
    out.part(proto.as_bytes());
}

fn has(fields: &[Field], known: Known) -> bool {
    fields.iter().any(|field| syntax::classify(field.name) == known)
}

/// The values of all lines of a list, each with a comma after it (RFC 9110 5.3).
fn write_joined(out: &mut impl Fields, fields: &[Field], known: Known) {
    for field in
        fields.iter().filter(|field| syntax::classify(field.name) == known && !field.value.is_empty())
    {
        out.part(field.value);
        out.part(b", ");
    }
}

/// An address as text, without the formatting machinery where it is IPv4: that costs as much as all else together.
pub(super) struct IpText {
    bytes: [u8; IP_TEXT_BYTES_MAX],
    len: usize,
}

/// `ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff`
const IP_TEXT_BYTES_MAX: usize = 39;

impl IpText {
    #[inline]
    pub(super) fn new(address: IpAddr) -> Self {
        let mut text = IpText { bytes: [0; IP_TEXT_BYTES_MAX], len: 0 };
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index != 0 {
                        text.push(b'.');
                    }
                    if octet >= 100 {
                        text.push(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        text.push(b'0' + octet / 10 % 10);
                    }
                    text.push(b'0' + octet % 10);
                }
            }
            IpAddr::V6(address) => {
                let mut rest = &mut text.bytes[..];
                // It fits: an IPv6 address that embeds an IPv4 one is shorter.
                let written = write!(rest, "{address}");
                debug_assert!(written.is_ok());
                text.len = IP_TEXT_BYTES_MAX - rest.len();
            }
        }
        text
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        if let Some(end) = self.bytes.get_mut(self.len) {
            *end = byte;
            self.len += 1;
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
