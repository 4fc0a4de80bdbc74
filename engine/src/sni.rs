//! SNI: the name that a TLS client asks for, read off its ClientHello, and where a name leads.
//!
//! Input: the first bytes of a connection; nothing is answered and nothing is changed, so that the node gets them as they
//! came. Output: the name, or that there is none, or that more is needed. Invariants: the result does not depend on how
//! the bytes were split, nor on how the ClientHello is split into records; at most [`HELLO_BYTES_MAX`] are looked at.
//! Formats: RFC 8446 4.1.2 and 5.1 (the same in TLS 1.0 to 1.2), RFC 6066 3. Sans-io.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher;

use coregate_config::checked::HostPattern;
use foldhash::fast::RandomState;

/// Longest ClientHello with its records' headers. Real ones have some hundred bytes, 2 KiB with post-quantum key shares.
pub const HELLO_BYTES_MAX: usize = 16 << 10;
/// Most records that it comes in.
const RECORDS_MAX: usize = 64;

/// What the bytes so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello.
    Partial,
    /// A ClientHello with this name, in lower case.
    Named(String),
    /// A ClientHello without a name, or no TLS at all.
    Nameless,
}

/// Looks for the name in the first bytes of a connection.
pub fn peek(bytes: &[u8]) -> Hello {
    match name(bytes) {
        Ok(Some(name)) => Hello::Named(name),
        Ok(None) | Err(Wrong::Malformed) => Hello::Nameless,
        Err(Wrong::Short) if bytes.len() < HELLO_BYTES_MAX => Hello::Partial,
        Err(Wrong::Short) => Hello::Nameless,
    }
}

enum Wrong {
    /// More bytes are needed.
    Short,
    Malformed,
}

fn name(bytes: &[u8]) -> Result<Option<String>, Wrong> {
    let message = handshake(bytes)?;
    let mut hello = Reader(&message);
    hello.take(4 + 2 + 32)?; // type and length, version, random
    hello.list::<1>()?; // session id
    hello.list::<2>()?; // cipher suites
    hello.list::<1>()?; // compression methods
    if hello.0.is_empty() {
        return Ok(None);
    }
    let mut extensions = hello.list::<2>()?;
    while !extensions.0.is_empty() {
        let kind = extensions.number::<2>()?;
        let content = extensions.list::<2>()?;
        if kind == 0 {
            return server_name(content);
        }
    }
    Ok(None)
}

/// The first handshake message, whole, without the records that it came in.
fn handshake(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Wrong> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let mut message: Cow<[u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    for _ in 0..RECORDS_MAX {
        let header = rest.get(..5).unwrap_or(rest);
        if header.first().is_some_and(|kind| *kind != HANDSHAKE)
            || header.get(1).is_some_and(|major| *major != 3)
        {
            return Err(Wrong::Malformed);
        }
        let [_, _, _, high, low] = *header else { return Err(Wrong::Short) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > HELLO_BYTES_MAX {
            return Err(Wrong::Malformed);
        }
        let content = rest.get(5..).unwrap_or_default();
        let present = content.get(..length).unwrap_or(content);
        if message.is_empty() {
            message = Cow::Borrowed(present);
        } else {
            message.to_mut().extend_from_slice(present);
        }
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Wrong::Malformed);
        }
        if let Some([_, a, b, c]) = message.get(..4) {
            let whole = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if whole > HELLO_BYTES_MAX {
                return Err(Wrong::Malformed);
            }
            if message.len() >= whole {
                match &mut message {
                    Cow::Borrowed(bytes) => *bytes = bytes.get(..whole).unwrap_or_default(),
                    Cow::Owned(bytes) => bytes.truncate(whole),
                }
                return Ok(message);
            }
        }
        if present.len() < length {
            return Err(Wrong::Short);
        }
        rest = content.get(length..).unwrap_or_default();
    }
    Err(Wrong::Malformed)
}

fn server_name(mut extension: Reader) -> Result<Option<String>, Wrong> {
    const HOST_NAME: usize = 0;
    let mut names = extension.list::<2>()?;
    while !names.0.is_empty() {
        let kind = names.number::<1>()?;
        let name = names.list::<2>()?;
        if kind == HOST_NAME {
            return Ok(host_name(name.0));
        }
    }
    Ok(None)
}

/// Names that no configuration can have count as none.
fn host_name(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    if name.is_empty() || name.len() > 253 || !name.iter().all(fits) {
        return None;
    }
    String::from_utf8(name.to_ascii_lowercase()).ok()
}

/// Reads a whole message: what is missing in it is wrong, not late.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Wrong::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const BYTES: usize>(&mut self) -> Result<usize, Wrong> {
        Ok(self.take(BYTES)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Something whose length stands in front of it in so many bytes.
    fn list<const BYTES: usize>(&mut self) -> Result<Reader<'a>, Wrong> {
        let len = self.number::<BYTES>()?;
        self.take(len).map(Reader)
    }
}

/// Where names lead: an exact name first, then the longest wildcard.
#[derive(Debug, Clone, Default)]
pub struct Names<S = RandomState> {
    exact: HashMap<String, usize, S>,
    wildcard: HashMap<String, usize, S>,
}

impl<S: BuildHasher + Default> Names<S> {
    /// Each pattern leads to a number.
    pub fn build<'a>(patterns: impl IntoIterator<Item = (&'a HostPattern, usize)>) -> Self {
        let mut names = Self { exact: HashMap::default(), wildcard: HashMap::default() };
        for (pattern, to) in patterns {
            match pattern {
                HostPattern::Exact(name) => names.exact.insert(name.clone(), to),
                HostPattern::Wildcard(parent) => names.wildcard.insert(parent.clone(), to),
            };
        }
        names
    }

    /// Whether no name leads anywhere.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty()
    }

    /// Where a name in lower case leads.
    pub fn get(&self, name: &str) -> Option<usize> {
        let mut parents = std::iter::successors(name.split_once('.'), |(_, parent)| parent.split_once('.'));
        self.exact.get(name).or_else(|| parents.find_map(|(_, parent)| self.wildcard.get(parent))).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(bytes: usize, content: &[u8]) -> Vec<u8> {
        [&(content.len() as u64).to_be_bytes()[8 - bytes..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &framed(2, content)].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        extension(0, &framed(2, &[&[0][..], &framed(2, name)].concat()))
    }

    /// A ClientHello with these extensions; `None` = without the list of them.
    fn hello(extensions: Option<&[u8]>) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(framed(1, &[9; 32]));
        body.extend(framed(2, &[0x13, 0x01, 0x13, 0x02]));
        body.extend(framed(1, &[0]));
        body.extend(extensions.map(|list| framed(2, list)).unwrap_or_default());
        [&[1][..], &framed(3, &body)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &framed(2, part)].concat()).collect()
    }

    fn named(name: &str) -> Hello {
        Hello::Named(name.to_owned())
    }

    #[test]
    fn the_name_is_found_however_it_is_split() {
        let list =
            [extension(10, &[0, 2, 0, 29]), sni(b"DB.Example.com"), extension(43, &[2, 3, 4])].concat();
        let hello = hello(Some(&list));
        for size in [hello.len(), hello.len() - 1, 64, 8, 3] {
            let bytes = [records(&hello, size), b"more".to_vec()].concat();
            let whole = bytes.len() - 4;
            for end in 0..whole {
                assert_eq!(peek(&bytes[..end]), Hello::Partial, "records of {size}, {end} bytes");
            }
            assert_eq!(peek(&bytes[..whole]), named("db.example.com"));
            assert_eq!(peek(&bytes), named("db.example.com"));
        }
        assert_eq!(peek(&records(&hello, 1)), Hello::Nameless, "too many records");
    }

    #[test]
    fn what_has_no_name_is_nameless() {
        assert_eq!(peek(&records(&hello(None), 512)), Hello::Nameless);
        assert_eq!(peek(&records(&hello(Some(&[])), 512)), Hello::Nameless);
        assert_eq!(peek(&records(&hello(Some(&sni(b""))), 512)), Hello::Nameless);
        assert_eq!(peek(&records(&hello(Some(&sni(b"a b"))), 512)), Hello::Nameless);
        assert_eq!(peek(&records(&hello(Some(&sni(&[b'a'; 254]))), 512)), Hello::Nameless);
        assert_eq!(peek(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Hello::Nameless);
        assert_eq!(peek(&[22, 2]), Hello::Nameless);
        assert_eq!(peek(&[22, 3, 1, 0, 0]), Hello::Nameless, "an empty record");
        assert_eq!(peek(&[22, 3, 1, 0, 4, 2]), Hello::Nameless, "no ClientHello");
        assert_eq!(peek(&[22, 3, 1, 0, 4, 1, 1, 0, 0]), Hello::Nameless, "longer than any");
        let mut cut = hello(Some(&sni(b"a.b")));
        cut[3] -= 1;
        assert_eq!(peek(&records(&cut, 512)), Hello::Nameless, "shorter than what is in it");
    }

    #[test]
    fn a_final_dot_is_not_part_of_the_name() {
        assert_eq!(peek(&records(&hello(Some(&sni(b"a.example."))), 512)), named("a.example"));
    }

    #[test]
    fn an_exact_name_wins_then_the_longest_wildcard() {
        let patterns = [
            (HostPattern::Exact("a.example.com".into()), 1),
            (HostPattern::Wildcard("example.com".into()), 2),
            (HostPattern::Wildcard("b.example.com".into()), 3),
        ];
        let names: Names = Names::build(patterns.iter().map(|(pattern, to)| (pattern, *to)));
        let get = |name| names.get(name);
        assert_eq!(
            (get("a.example.com"), get("c.example.com"), get("x.a.example.com")),
            (Some(1), Some(2), Some(2))
        );
        assert_eq!(
            (get("x.b.example.com"), get("y.x.b.example.com"), get("b.example.com")),
            (Some(3), Some(3), Some(2))
        );
        assert_eq!((get("example.com"), get("com"), get("badexample.com")), (None, None, None));
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_a_verdict(garbage: Vec<u8>, place: prop::sample::Index, size in 8_usize..600) {
            let mut bytes = records(&hello(Some(&sni(b"a.example"))), size);
            let at = place.index(bytes.len());
            bytes.splice(at..(at + garbage.len()).min(bytes.len()), garbage);
            let mut before = Hello::Partial;
            for end in 0..=bytes.len() {
                let now = peek(&bytes[..end]);
                prop_assert!(before == Hello::Partial || now == before);
                before = now;
            }
        }
    }
}
