//! PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt): who a proxy in front of a connection
//! speaks for.
//!
//! Input: the first bytes of a connection. Output: the length of the header and the addresses in it, or that more is
//! needed; the other way round, the bytes of a header. Invariants: the result does not depend on how the bytes were
//! split; a header longer than [`HEADER_BYTES_MAX`] is refused before it is there. Sans-io. Whether the peer may say any
//! of it is for the caller to know.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use coregate_config::checked::ProxyVersion;

/// Longest header that is read: addresses and what a proxy adds to them (TLVs), which is skipped.
pub const HEADER_BYTES_MAX: usize = V2_FIXED + 4096;

/// Longest line of version 1, with CR LF.
const V1_BYTES_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// The two ends of a connection to the first proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What it has connected to.
    pub destination: SocketAddr,
}

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The beginning of a header.
    Partial,
    /// A header.
    Whole {
        /// Its bytes.
        len: usize,
        /// `None`: the proxy speaks for itself (LOCAL), or for somebody without an IP address (UNKNOWN).
        ends: Option<Ends>,
    },
}

/// No PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads a header off the first bytes of a connection.
///
/// # Errors
/// Whatever follows, it will be none.
pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
    if starts_alike(bytes, V2_SIGNATURE) {
        parse_v2(bytes)
    } else if starts_alike(bytes, V1_START) {
        parse_v1(bytes)
    } else {
        Err(Malformed("the connection does not begin with a PROXY header"))
    }
}

/// Whether one is the beginning of the other.
fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Header, Malformed> {
    let seen = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if bytes.len() < V1_BYTES_MAX {
            Ok(Header::Partial)
        } else {
            Err(Malformed("the line is too long"))
        };
    };
    let line = seen.get(V1_START.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(Malformed("the line does not end with CR LF"))?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed("the line is not ASCII"))?;
    let len = end + 1;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Header::Whole { len, ends: None });
    }
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Malformed("the line does not have two addresses and two ports"));
    };
    let end = |address: &str, port: &str| {
        let ip = match family {
            "TCP4" => IpAddr::V4(address.parse().map_err(|_| Malformed("an address is no IPv4 address"))?),
            "TCP6" => IpAddr::V6(address.parse().map_err(|_| Malformed("an address is no IPv6 address"))?),
            _ => return Err(Malformed("the family is none of TCP4, TCP6 and UNKNOWN")),
        };
        Ok(SocketAddr::new(ip, port_number(port)?))
    };
    let ends = Ends { source: end(source, source_port)?, destination: end(destination, destination_port)? };
    Ok(Header::Whole { len, ends: Some(ends) })
}

/// Digits without a sign and without leading zeros.
fn port_number(text: &str) -> Result<u16, Malformed> {
    let plain = text == "0" || text.bytes().next().is_some_and(|b| b.is_ascii_digit() && b != b'0');
    text.parse().ok().filter(|_| plain).ok_or(Malformed("a port is no number from 0 to 65535"))
}

fn parse_v2(bytes: &[u8]) -> Result<Header, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Header::Partial);
    };
    let [.., command, family, high, low] = *fixed;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed("the version or the command is unknown")),
    };
    let following = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED + following;
    if len > HEADER_BYTES_MAX {
        return Err(Malformed("the header is too long"));
    }
    let Some(rest) = rest.get(..following) else {
        return Ok(Header::Partial);
    };
    let ends = match family {
        _ if is_local => None,
        0x11 => Some(ends_v4(rest).ok_or(TOO_SHORT)?),
        0x21 => Some(ends_v6(rest).ok_or(TOO_SHORT)?),
        // Unspecified, datagrams, Unix sockets: no address of a TCP client.
        _ => None,
    };
    Ok(Header::Whole { len, ends })
}

const TOO_SHORT: Malformed = Malformed("the header is too short for its addresses");

fn ends_v4(bytes: &[u8]) -> Option<Ends> {
    let (source, bytes) = bytes.split_first_chunk::<4>()?;
    let (destination, bytes) = bytes.split_first_chunk::<4>()?;
    let (source_port, destination_port) = ports(bytes)?;
    Some(Ends {
        source: SocketAddr::from((Ipv4Addr::from(*source), source_port)),
        destination: SocketAddr::from((Ipv4Addr::from(*destination), destination_port)),
    })
}

fn ends_v6(bytes: &[u8]) -> Option<Ends> {
    let (source, bytes) = bytes.split_first_chunk::<16>()?;
    let (destination, bytes) = bytes.split_first_chunk::<16>()?;
    let (source_port, destination_port) = ports(bytes)?;
    Some(Ends {
        source: SocketAddr::from((Ipv6Addr::from(*source), source_port)),
        destination: SocketAddr::from((Ipv6Addr::from(*destination), destination_port)),
    })
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *bytes.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// The header of a connection that is made for nobody else, such as a health check's.
pub fn own(version: ProxyVersion) -> &'static [u8] {
    match version {
        ProxyVersion::V1 => b"PROXY UNKNOWN\r\n",
        // LOCAL, without addresses.
        ProxyVersion::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

/// Appends a header that speaks for these ends.
pub fn write(out: &mut Vec<u8>, version: ProxyVersion, ends: Ends) {
    let (source, destination) = (ends.source, ends.destination);
    let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let ports = (source.port(), destination.port());
    match (version, from, to) {
        // Writing to a Vec cannot fail.
        (ProxyVersion::V1, IpAddr::V4(from), IpAddr::V4(to)) => {
            let _ = write!(out, "PROXY TCP4 {from} {to} {} {}\r\n", ports.0, ports.1);
        }
        (ProxyVersion::V1, from, to) => {
            let _ = write!(out, "PROXY TCP6 {} {} {} {}\r\n", v6(from), v6(to), ports.0, ports.1);
        }
        (ProxyVersion::V2, IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(V2_SIGNATURE);
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            out.extend_from_slice(&ports.0.to_be_bytes());
            out.extend_from_slice(&ports.1.to_be_bytes());
        }
        (ProxyVersion::V2, from, to) => {
            out.extend_from_slice(V2_SIGNATURE);
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&v6(from).octets());
            out.extend_from_slice(&v6(to).octets());
            out.extend_from_slice(&ports.0.to_be_bytes());
            out.extend_from_slice(&ports.1.to_be_bytes());
        }
    }
}

/// Both addresses of a header are of one family.
fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn whole(bytes: &[u8]) -> (usize, Option<Ends>) {
        match parse(bytes) {
            Ok(Header::Whole { len, ends }) => (len, ends),
            other => panic!("{other:?}"),
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn lines_of_version_1() {
        let line = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\nGET";
        assert_eq!(whole(line), (line.len() - 3, Some(ends("203.0.113.7:4711", "10.0.0.1:443"))));
        let line = b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n";
        assert_eq!(whole(line), (line.len(), Some(ends("[2001:db8::7]:1", "[::1]:65535"))));
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), (15, None));
        assert_eq!(whole(b"PROXY UNKNOWN whatever it says\r\n").1, None);
    }

    #[test]
    fn what_is_no_line_of_version_1() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443 x\r\n",
            "PROXY TCP4  203.0.113.7 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 4711 65536\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 +471 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 0471 443\r\n",
            "PROXY TCP4 203.0.113.007 10.0.0.1 471 443\r\n",
            "PROXY TCP4 ::1 ::1 4711 443\r\n",
            "PROXY TCP6 10.0.0.1 10.0.0.1 4711 443\r\n",
            "PROXY UDP4 10.0.0.1 10.0.0.1 4711 443\r\n",
            "PROXY \r\n",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_line_may_have_107_bytes() {
        let line = |bytes: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(bytes - 16));
        assert_eq!(whole(line(107).as_bytes()).0, 107);
        assert!(parse(line(108).as_bytes()).is_err());
        assert_eq!(parse(&line(108).as_bytes()[..106]), Ok(Header::Partial));
        assert!(parse(&line(108).as_bytes()[..107]).is_err(), "more cannot make it right");
    }

    #[test]
    fn headers_of_version_2() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187];
        let expected = Some(ends("203.0.113.7:4711", "10.0.0.1:443"));
        assert_eq!(whole(&v2(0x21, 0x11, &v4)), (28, expected));
        let with_tlv = [&v4[..], &[4, 0, 1, 0]].concat();
        assert_eq!(whole(&v2(0x21, 0x11, &with_tlv)), (32, expected), "what is added is skipped");
        assert_eq!(whole(&v2(0x20, 0x11, &v4)), (28, None), "LOCAL");
        assert_eq!(whole(&v2(0x20, 0, &[])), (16, None));
        assert_eq!(whole(&v2(0x21, 0, &[1, 2])), (18, None), "unspecified");
        assert_eq!(whole(&v2(0x21, 0x31, &[0; 216])).1, None, "Unix");
        assert!(parse(&v2(0x21, 0x11, &v4[..11])).is_err());
        assert!(parse(&v2(0x21, 0x21, &[0; 35])).is_err());
        assert!(parse(&v2(0x11, 0x11, &v4)).is_err(), "no version 2");
        assert!(parse(&v2(0x22, 0x11, &v4)).is_err(), "no such command");
    }

    #[test]
    fn a_header_of_our_own_speaks_for_the_peer_itself() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let own = own(version);
            assert_eq!(whole(own), (own.len(), None));
        }
    }

    #[test]
    fn a_header_of_version_2_has_its_length() {
        let most = HEADER_BYTES_MAX - V2_FIXED;
        assert_eq!(whole(&v2(0x20, 0, &vec![0; most])).0, HEADER_BYTES_MAX);
        assert!(parse(&v2(0x20, 0, &vec![0; most + 1])[..16]).is_err(), "before it is there");
    }

    fn any_ends() -> impl Strategy<Value = Ends> {
        let v4 = any::<([u8; 4], [u8; 4], u16, u16)>()
            .prop_map(|(a, b, c, d)| Ends { source: (a, c).into(), destination: (b, d).into() });
        let v6 = any::<([u16; 8], [u16; 8], u16, u16)>()
            .prop_map(|(a, b, c, d)| Ends { source: (a, c).into(), destination: (b, d).into() });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ends in any_ends(), binary: bool, tail: Vec<u8>) {
            let version = if binary { ProxyVersion::V2 } else { ProxyVersion::V1 };
            let mut bytes = Vec::new();
            write(&mut bytes, version, ends);
            let len = bytes.len();
            for cut in 0..len {
                prop_assert_eq!(parse(&bytes[..cut]), Ok(Header::Partial));
            }
            bytes.extend_from_slice(&tail);
            let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
            let Ok(Header::Whole { len: read, ends: Some(got) }) = parse(&bytes) else {
                return Err(TestCaseError::fail("not read"));
            };
            prop_assert_eq!(read, len);
            prop_assert_eq!(canonical(got.source), canonical(ends.source));
            prop_assert_eq!(canonical(got.destination), canonical(ends.destination));
        }

        #[test]
        fn more_bytes_never_change_a_verdict(
            start in prop_oneof![Just(V1_START.to_vec()), Just(V2_SIGNATURE.to_vec()), Just(Vec::new())],
            rest: Vec<u8>,
        ) {
            let bytes = [start, rest].concat();
            let mut before = Ok(Header::Partial);
            for end in 0..=bytes.len() {
                let now = parse(&bytes[..end]);
                prop_assert!(before == Ok(Header::Partial) || now == before);
                before = now;
            }
        }
    }
}
