//! Values that somebody else chose, made fit to stand in a line.
//!
//! Input: any bytes. Output: appended to a line. Invariant: what is appended has no quote, no control character and no
//! line end that the format did not put there. Bytes that need nothing, nearly all, are found eight at a time and copied
//! as they are.

/// Appends the inside of a JSON string (RFC 8259 7). What is not UTF-8 becomes U+FFFD; control characters beyond ASCII
/// and DEL are escaped too, as terminals obey them.
#[inline]
pub fn json(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) { out.extend_from_slice(value) } else { json_slowly(out, value) }
}

/// Appends what stands between quotes in the combined format: `"`, `\`, control characters and bytes beyond ASCII as
/// `\xHH`, as nginx does.
#[inline]
pub fn quoted(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) { out.extend_from_slice(value) } else { quoted_slowly(out, value) }
}

/// The start of a value that has too many bytes. A character of UTF-8 is not cut in two.
#[inline]
pub fn clip(value: &[u8], bytes_max: usize) -> &[u8] {
    if value.len() <= bytes_max { value } else { clip_long(value, bytes_max) }
}

#[cold]
fn clip_long(value: &[u8], bytes_max: usize) -> &[u8] {
    const CHARACTER_BYTES_MAX: usize = 4;
    let is_boundary = |&at: &usize| value[at] & 0b1100_0000 != 0b1000_0000;
    let lowest = bytes_max.saturating_sub(CHARACTER_BYTES_MAX - 1);
    let end = (lowest..=bytes_max).rev().find(is_boundary).unwrap_or(bytes_max);
    &value[..end]
}

/// Whether all of it is ASCII without controls, quotes and backslashes.
#[inline]
fn is_plain(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks::<8>();
    let mut odd = 0;
    for word in words {
        odd |= odd_bytes(*word);
    }
    match value.last_chunk::<8>() {
        // Some bytes are looked at twice, which is cheaper than one by one.
        Some(last) => (odd | odd_bytes(*last)) & HIGH == 0,
        None => rest.iter().all(|&byte| is_plain_byte(byte)),
    }
}

fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

const ONES: u64 = u64::MAX / 0xff;
const HIGH: u64 = ONES << 7;

/// The high bits are zero if no byte is odd. Borrows run on only from a byte that is.
#[inline]
fn odd_bytes(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let is = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    word | word.wrapping_sub(ONES * 0x20) | is(b'"') | is(b'\\') | is(0x7f)
}

#[cold]
fn json_slowly(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                control if control.is_control() => {
                    // Control characters end at U+009F.
                    let code = u32::from(control).to_le_bytes()[0];
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&hex(code, b"0123456789abcdef"));
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cold]
fn quoted_slowly(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        if is_plain_byte(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(&hex(byte, b"0123456789ABCDEF"));
        }
    }
}

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 0xf)]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_plain_or_not_wherever_it_stands() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut value = vec![b'a'; len];
                    value[at] = byte;
                    assert_eq!(is_plain(&value), is_plain_byte(byte), "{value:?}");
                }
            }
        }
    }

    #[test]
    fn a_clipped_value_ends_with_a_whole_character() {
        assert_eq!(clip(b"abc", 3), b"abc");
        assert_eq!(clip(b"abcd", 3), b"abc");
        assert_eq!(clip("aé".as_bytes(), 2), b"a");
        assert_eq!(clip("a𝄞b".as_bytes(), 4), b"a");
        assert_eq!(clip("a𝄞b".as_bytes(), 5), "a𝄞".as_bytes());
        assert_eq!(clip(&[0x80; 9], 5), &[0x80; 5], "what is no UTF-8 is cut anywhere");
        assert_eq!(clip("é".as_bytes(), 0), b"");
    }

    #[test]
    fn escapes_as_nginx_does() {
        let mut out = Vec::new();
        quoted(&mut out, b"a\"b\\c\n\x7f\xe9 ~");
        assert_eq!(String::from_utf8(out).unwrap(), r"a\x22b\x5Cc\x0A\x7F\xE9 ~");
    }

    proptest! {
        #[test]
        fn what_json_gets_is_what_a_reader_gets(value in any::<String>()) {
            let mut out = b"\"".to_vec();
            json(&mut out, value.as_bytes());
            out.push(b'"');
            prop_assert!(!out.iter().any(u8::is_ascii_control));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
        }

        #[test]
        fn any_bytes_make_a_string_of_json(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = b"\"".to_vec();
            json(&mut out, &value);
            out.push(b'"');
            let read: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&value));
        }

        #[test]
        fn any_bytes_between_quotes_stay_there(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            quoted(&mut out, &value);
            prop_assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'"'));
            prop_assert_eq!(unescape(&out), value);
        }
    }

    fn unescape(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            if first == b'\\' {
                let digits = std::str::from_utf8(&after[1..3]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[3..];
            } else {
                bytes.push(first);
                rest = after;
            }
        }
        bytes
    }
}
