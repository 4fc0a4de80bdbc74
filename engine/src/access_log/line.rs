//! A line's two parts: what was asked for, and how it ended. The formats are described in [`super`].
//!
//! Input: [`Requested`], then [`Ended`]. Output: bytes, appended. Nothing is allocated but the growth of the vectors.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::escape::{clip, json, quoted};
use super::{Draft, Ended, Requested};
use crate::http::head::Version;
use crate::limits::TARGET_BYTES_MAX;

const METHOD_BYTES_MAX: usize = 64;
const HOST_BYTES_MAX: usize = 512;
const REQUEST_ID_BYTES_MAX: usize = 256;
const REFERER_BYTES_MAX: usize = 1 << 10;
const USER_AGENT_BYTES_MAX: usize = 1 << 10;

/// Writes the request's part of a JSON line.
pub fn begin_json(draft: &mut Draft, time: &[u8], requested: &Requested) {
    let out = &mut draft.text;
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time);
    out.extend_from_slice(b"\",\"client\":\"");
    // A socket for both families tells addresses of IPv4 as such of IPv6.
    let (client, peer) = (requested.client.to_canonical(), requested.peer.to_canonical());
    ip(out, client);
    if peer != client {
        out.extend_from_slice(b"\",\"peer\":\"");
        ip(out, peer);
    }
    if let Some(asked) = &requested.asked {
        out.extend_from_slice(b"\",\"method\":\"");
        json(out, clip(asked.method.as_bytes(), METHOD_BYTES_MAX));
        out.extend_from_slice(b"\",\"target\":\"");
        json(out, clip(asked.target.as_bytes(), TARGET_BYTES_MAX));
        out.extend_from_slice(b"\",\"version\":\"");
        out.extend_from_slice(version(asked.version));
    }
    if !requested.host.is_empty() {
        out.extend_from_slice(b"\",\"host\":\"");
        json(out, clip(requested.host.as_bytes(), HOST_BYTES_MAX));
    }
    if !requested.request_id.is_empty() {
        out.extend_from_slice(b"\",\"request_id\":\"");
        json(out, clip(requested.request_id.as_bytes(), REQUEST_ID_BYTES_MAX));
    }
    if let Some(referer) = requested.asked.and_then(|asked| asked.referer) {
        out.extend_from_slice(b"\",\"referer\":\"");
        json(out, clip(referer, REFERER_BYTES_MAX));
    }
    if let Some(user_agent) = requested.asked.and_then(|asked| asked.user_agent) {
        out.extend_from_slice(b"\",\"user_agent\":\"");
        json(out, clip(user_agent, USER_AGENT_BYTES_MAX));
    }
    out.extend_from_slice(b"\",\"status\":");
}

/// Writes the whole JSON line.
pub fn end_json(out: &mut Vec<u8>, draft: &Draft, ended: &Ended) {
    let ending = ended.ending;
    out.extend_from_slice(&draft.text);
    number(out, ending.status.into());
    out.extend_from_slice(b",\"cause\":\"");
    out.extend_from_slice(ending.cause.as_str().as_bytes());
    out.extend_from_slice(b"\",\"phase\":\"");
    out.extend_from_slice(ending.phase.as_str().as_bytes());
    out.extend_from_slice(b"\",\"bytes_in\":");
    number(out, ending.bytes_in);
    out.extend_from_slice(b",\"bytes_out\":");
    number(out, ending.bytes_out);
    out.extend_from_slice(b",\"duration_us\":");
    number(out, ending.total_us);
    out.extend_from_slice(b",\"upstream_us\":");
    number(out, ending.upstream_us);
    if let Some(service) = ended.service {
        out.extend_from_slice(b",\"service\":\"");
        json(out, service.as_bytes());
        out.push(b'"');
    }
    if let Some(node) = ended.node {
        out.extend_from_slice(b",\"node\":\"");
        socket(out, node);
        out.push(b'"');
    }
    if let Some(tenant) = ended.tenant {
        out.extend_from_slice(b",\"tenant\":\"");
        json(out, tenant.as_bytes());
        out.push(b'"');
    }
    if ended.retried {
        out.extend_from_slice(b",\"retried\":true");
    }
    out.extend_from_slice(b"}\n");
}

/// Writes the request's part of a combined line, with gaps for the tenant and the ending.
pub fn begin_combined(draft: &mut Draft, time: &[u8], requested: &Requested) {
    let out = &mut draft.text;
    ip(out, requested.client.to_canonical());
    out.extend_from_slice(b" - ");
    draft.tenant_at = out.len();
    out.extend_from_slice(b" [");
    out.extend_from_slice(time);
    out.extend_from_slice(b"] \"");
    if let Some(asked) = &requested.asked {
        quoted(out, clip(asked.method.as_bytes(), METHOD_BYTES_MAX));
        out.push(b' ');
        quoted(out, clip(asked.target.as_bytes(), TARGET_BYTES_MAX));
        out.push(b' ');
        out.extend_from_slice(version(asked.version));
    } else {
        out.push(b'-');
    }
    out.extend_from_slice(b"\" ");
    draft.ending_at = out.len();
    let fields = requested.asked.map_or((None, None), |asked| (asked.referer, asked.user_agent));
    out.extend_from_slice(b" \"");
    quoted(out, clip(fields.0.unwrap_or(b"-"), REFERER_BYTES_MAX));
    out.extend_from_slice(b"\" \"");
    quoted(out, clip(fields.1.unwrap_or(b"-"), USER_AGENT_BYTES_MAX));
    out.extend_from_slice(b"\"\n");
}

/// Writes the whole combined line.
pub fn end_combined(out: &mut Vec<u8>, draft: &Draft, ended: &Ended) {
    out.extend_from_slice(&draft.text[..draft.tenant_at]);
    // A name of the configuration, so it has no space that would begin a field.
    quoted(out, ended.tenant.unwrap_or("-").as_bytes());
    out.extend_from_slice(&draft.text[draft.tenant_at..draft.ending_at]);
    match ended.ending.status {
        0 => out.extend_from_slice(b"000"),
        status => number(out, status.into()),
    }
    out.push(b' ');
    number(out, ended.body_bytes_out);
    out.extend_from_slice(&draft.text[draft.ending_at..]);
}

fn version(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::H2 => b"HTTP/2.0",
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// As `Display`, which is several times slower, would write it.
fn ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let (mut text, mut len) = ([0; 16], 0);
            for octet in ip.octets() {
                let (digits, count) = OCTETS[usize::from(octet)];
                text[len..len + 4].copy_from_slice(&digits);
                len += count;
            }
            // Less the last dot.
            out.extend_from_slice(&text[..len - 1]);
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}");
        }
    }
}

/// Each octet's digits with a dot after them, and how many bytes that are.
const OCTETS: [([u8; 4], usize); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut octet = 0_u8;
    loop {
        let digits = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        table[octet as usize] = match octet {
            0..=9 => ([digits[2], b'.', 0, 0], 2),
            10..=99 => ([digits[1], digits[2], b'.', 0], 3),
            100.. => ([digits[0], digits[1], digits[2], b'.'], 4),
        };
        if octet == u8::MAX {
            break table;
        }
        octet += 1;
    }
};

fn socket(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            ip(out, IpAddr::V4(*address.ip()));
            out.push(b':');
            number(out, address.port().into());
        }
        SocketAddr::V6(address) => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_does() {
        let written = |address: IpAddr| {
            let mut out = b"x".to_vec();
            ip(&mut out, address);
            String::from_utf8(out).unwrap()
        };
        for octet in 0..=u8::MAX {
            for address in [[octet, 0, 10, 255 - octet], [9, octet, octet, 99], [255, 255, 255, octet]] {
                assert_eq!(written(address.into()), format!("x{}", IpAddr::from(address)));
            }
        }
        for address in ["::1", "2001:db8::", "fe80::1:2"] {
            assert_eq!(written(address.parse().unwrap()), format!("x{address}"));
        }
        for address in ["10.0.0.1:80", "255.255.255.255:65535", "[2001:db8::1]:8080"] {
            let mut out = Vec::new();
            socket(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }
}
