//! Bodies: every framing, every split, every limit; what smugglers send; random splits against a naive decoder.

use proptest::prelude::*;

use super::*;

/// What came of a body: its content, its trailer lines, and how many bytes it took; `None` while it goes on.
type Outcome = Result<(Vec<u8>, Vec<u8>, Option<usize>), BodyError>;

/// Feeds `pieces` one after the other, the rest of a piece again after each step, as a connection does.
fn decode<'a>(framing: BodyFraming, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = BodyDecoder::from(framing);
    let (mut content, mut trailers, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        loop {
            match decoder.next(rest, &mut trailers)? {
                Step::Data(range) => {
                    assert!(!range.is_empty() && range.end <= rest.len());
                    content.extend_from_slice(&rest[range.clone()]);
                    taken += range.end;
                    rest = &rest[range.end..];
                }
                Step::NeedMore { consumed } => {
                    assert_eq!(consumed, rest.len());
                    assert!(!decoder.is_done());
                    taken += consumed;
                    break;
                }
                Step::End { consumed } => {
                    assert!(decoder.is_done() && decoder.on_eof().is_ok());
                    return Ok((content, trailers, Some(taken + consumed)));
                }
            }
        }
    }
    Ok((content, trailers, None))
}

fn chunked(bytes: &[u8]) -> Outcome {
    decode(BodyFraming::Chunked, [bytes])
}

fn assert_malformed(bytes: &[u8]) {
    let outcome = chunked(bytes);
    assert!(matches!(outcome, Err(BodyError::Malformed(_))), "{outcome:?}: {}", bytes.escape_ascii());
}

#[test]
fn a_length_is_kept_to() {
    let length =
        |bytes, pieces: &[&[u8]]| decode(BodyFraming::Length(bytes), pieces.iter().copied()).unwrap();
    assert_eq!(length(0, &[b"next"]), (vec![], vec![], Some(0)));
    assert_eq!(length(3, &[b"abcnext"]), (b"abc".to_vec(), vec![], Some(3)));
    assert_eq!(length(3, &[b"a", b"", b"bcnext"]), (b"abc".to_vec(), vec![], Some(3)));
    assert_eq!(length(3, &[b"ab"]), (b"ab".to_vec(), vec![], None));
    assert_eq!(length(u64::MAX, &[b"ab"]), (b"ab".to_vec(), vec![], None));
    assert_eq!(decode(BodyFraming::None, [&b"next"[..]]), Ok((vec![], vec![], Some(0))));
    assert_eq!(
        decode(BodyFraming::UntilClose, [&b"all"[..], b"", b"of"]),
        Ok((b"allof".to_vec(), vec![], None))
    );
}

#[test]
fn an_early_end_of_the_connection_is_told_from_a_late_one() {
    let eof_after = |framing, bytes: &[u8]| {
        let mut decoder = BodyDecoder::from(framing);
        let mut at = 0;
        while let Ok(Step::Data(range)) = decoder.next(&bytes[at..], &mut Vec::new()) {
            at += range.end;
        }
        decoder.on_eof()
    };
    assert_eq!(eof_after(BodyFraming::None, b""), Ok(()));
    assert_eq!(eof_after(BodyFraming::UntilClose, b"a"), Ok(()));
    assert_eq!(eof_after(BodyFraming::Length(1), b""), Err(BodyError::Truncated));
    assert_eq!(eof_after(BodyFraming::Length(1), b"a"), Ok(()));
    let whole = b"1\r\na\r\n0\r\nX: y\r\n\r\n";
    for len in 0..whole.len() {
        assert_eq!(eof_after(BodyFraming::Chunked, &whole[..len]), Err(BodyError::Truncated), "{len}");
    }
    assert_eq!(eof_after(BodyFraming::Chunked, whole), Ok(()));
}

const WHOLE: &[(&[u8], &[u8], &[u8])] = &[
    (b"0\r\n\r\n", b"", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
    (b"5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", b"hello world", b""),
    (b"A\r\n0123456789\r\n00a\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789", b""),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", b""),
    (b"1;a\r\nx\r\n1;a=b;c=\"d;e\"\r\ny\r\n1 ;a\r\nz\r\n0; \ta\r\n\r\n", b"xyz", b""),
    (b"0\r\nGrpc-Status:0\r\nx: \t y \t\r\nz:\r\n\r\n", b"", b"Grpc-Status: 0\r\nx: y\r\nz: \r\n"),
    (
        b"0\r\nHost: a\r\na: b\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\nset-cookie: c\r\n\r\n",
        b"",
        b"a: b\r\n",
    ),
];

#[test]
fn chunked_bodies_are_the_same_however_split() {
    for &(bytes, content, trailers) in WHOLE {
        let expected = Ok((content.to_vec(), trailers.to_vec(), Some(bytes.len())));
        assert_eq!(chunked(bytes), expected, "{}", bytes.escape_ascii());
        assert_eq!(decode(BodyFraming::Chunked, bytes.chunks(1)), expected);
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(decode(BodyFraming::Chunked, [a, b]), expected, "{} at {cut}", bytes.escape_ascii());
            assert_eq!(decode(BodyFraming::Chunked, [a, &[][..], b]), expected);
        }
        let with_next = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(chunked(&with_next), expected, "the next message is left alone");
        for len in 0..bytes.len() {
            assert_eq!(chunked(&bytes[..len]).unwrap().2, None);
        }
    }
}

#[test]
fn malformed_chunks_are_refused_wherever_they_are_split() {
    let table: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b" 5\r\nhello\r\n",
        b"\t5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"x5\r\nhello\r\n",
        b"5h\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b"5,5\r\nhello\r\n",
        b"5.\r\nhello\r\n",
        b"5\0\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\rhello\r\n",
        b"5\r\rhello\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\n\n0\r\n\r\n",
        b"5\r\nhello\r\r0\r\n\r\n",
        b"5\n\nhello\r\n0\r\n\r\n",
        b"0\r\na: b\n\n\r\n",
        b"0\r\n\n\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n",
        b"5; \r\nhello\r\n",
        b"5;=a\r\nhello\r\n",
        b"5;;a\r\nhello\r\n",
        b"5;a\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;a\0\r\nhello\r\n",
        b"5;\na\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"g\r\n",
        b"\xef\xbc\x95\r\nhello\r\n",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\n\r\r",
        b"0\r\n a: b\r\n\r\n",
        b"0\r\na: b\r\n c\r\n\r\n",
        b"0\r\na : b\r\n\r\n",
        b"0\r\na\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\na: b\n\r\n",
        b"0\r\na: b\rc\r\n\r\n",
        b"0\r\na: \0\r\n\r\n",
        b"0\r\na(b): c\r\n\r\n",
        b"0\r\n\xc3\xa9: c\r\n\r\n",
        b"0\r\na\xff: c\r\n\r\n",
    ];
    for bytes in table {
        assert_malformed(bytes);
        let whole = chunked(bytes).unwrap_err();
        assert_eq!(decode(BodyFraming::Chunked, bytes.chunks(1)).unwrap_err(), whole);
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(decode(BodyFraming::Chunked, [a, b]).unwrap_err(), whole);
        }
    }
}

#[test]
fn chunk_sizes_are_limited() {
    assert!(chunked(b"fffffffffffffff\r\n").is_ok());
    assert!(chunked(b"1000000000000000\r\n").is_ok());
    assert_malformed(b"1000000000000001\r\n");
    assert_malformed(b"2000000000000000\r\n");
    assert_malformed(b"ffffffffffffffff\r\n");
    assert_malformed(b"10000000000000000\r\n");
    assert_malformed(b"fffffffffffffffff\r\n");
    assert_malformed(b"10000000000000005\r\nhello\r\n");
    assert!(chunked(b"0000000000000005\r\nhello\r\n").is_ok());
    assert_malformed(b"00000000000000005\r\nhello\r\n");
}

#[test]
fn extensions_are_limited_over_the_whole_body() {
    let body = |bytes: usize| {
        let half = bytes / 2;
        let extension = |bytes: usize| format!("1;{}\r\nx\r\n", "a".repeat(bytes - 1));
        extension(half) + &extension(bytes - half) + "0\r\n\r\n"
    };
    let max = usize::from(EXTENSION_BYTES_MAX);
    assert!(chunked(body(max - 1).as_bytes()).is_ok());
    assert!(chunked(body(max).as_bytes()).is_ok());
    assert_eq!(chunked(body(max + 1).as_bytes()), Err(BodyError::ExtensionsTooLarge));
    assert_eq!(chunked(&[b"1".as_slice(), &[b' '; 5000]].concat()), Err(BodyError::ExtensionsTooLarge));
}

#[test]
fn trailers_are_limited() {
    let body = |bytes: usize| format!("0\r\na: {}\r\nhost: \r\n\r\n", "b".repeat(bytes - 15));
    let max = usize::from(TRAILER_BYTES_MAX);
    assert!(chunked(body(max - 1).as_bytes()).is_ok());
    assert!(chunked(body(max).as_bytes()).is_ok());
    assert_eq!(chunked(body(max + 1).as_bytes()), Err(BodyError::TrailersTooLarge));
    let dropped = "host: a\r\n".repeat(1000);
    assert_eq!(chunked(format!("0\r\n{dropped}").as_bytes()), Err(BodyError::TrailersTooLarge));
}

#[test]
fn trailers_are_appended_to_what_the_vector_holds() {
    let mut trailers = b"held: before\r\n".to_vec();
    let mut decoder = ChunkedDecoder::default();
    decoder.next(b"0\r\nhost: x\r\na: b\r\n\r\n", &mut trailers).unwrap();
    assert_eq!(trailers, b"held: before\r\na: b\r\n");
}

#[test]
fn what_is_written_is_read_again() {
    let size = |bytes| {
        let mut out = Vec::new();
        write_chunk_size(&mut out, bytes);
        String::from_utf8(out).unwrap()
    };
    for bytes in [1, 9, 10, 15, 16, 255, 256, 65_535, 65_536, usize::MAX] {
        assert_eq!(size(bytes), format!("{bytes:x}\r\n"));
    }
    let mut out = Vec::new();
    write_chunk_size(&mut out, 26);
    out.extend_from_slice(&[b'x'; 26]);
    out.extend_from_slice(CHUNK_END);
    write_last_chunk(&mut out, b"a: b\r\n");
    assert_eq!(chunked(&out), Ok((vec![b'x'; 26], b"a: b\r\n".to_vec(), Some(out.len()))));
}

#[test]
fn a_decoder_is_small() {
    assert!(size_of::<BodyDecoder>() <= 24, "{}", size_of::<BodyDecoder>());
}

/// Reads whole chunked bodies without extensions and trailers, line by line. `None` for anything else.
fn naive(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let hex = (1..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let size = hex.then(|| usize::from_str_radix(digits, 16).ok()).flatten()?;
        at += line + 2;
        let data = bytes.get(at..at.checked_add(size)?)?;
        content.extend_from_slice(data);
        at += size;
        (bytes.get(at..at + 2)? == b"\r\n").then_some(())?;
        at += 2;
        if size == 0 {
            return Some((content, at));
        }
    }
}

fn body_like() -> impl Strategy<Value = Vec<u8>> {
    let chunk = proptest::collection::vec(any::<u8>(), 1..40)
        .prop_map(|data| [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat());
    let noise = prop_oneof![
        Just(b"5\n".to_vec()),
        Just(b"0\r\n".to_vec()),
        Just(b"1;a=b\r\nx\r\n".to_vec()),
        Just(b"a: b\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..3),
    ];
    let piece = prop_oneof![20 => chunk, 1 => noise];
    (proptest::collection::vec(piece, 0..8), any::<bool>()).prop_map(|(mut pieces, ends)| {
        if ends {
            pieces.push(b"0\r\n\r\n".to_vec());
        }
        pieces.concat()
    })
}

proptest! {
    #[test]
    fn random_splits_agree_with_the_naive_decoder(
        bytes in body_like(),
        cuts in proptest::collection::vec(1usize..50, 1..20),
    ) {
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let split = decode(BodyFraming::Chunked, pieces);
        prop_assert_eq!(&split, &chunked(&bytes));
        if let Some((content, taken)) = naive(&bytes) {
            prop_assert_eq!(split, Ok((content, Vec::new(), Some(taken))));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = chunked(&bytes);
    }
}
