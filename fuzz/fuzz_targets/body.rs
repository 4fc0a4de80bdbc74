//! Bodies: nothing panics; a split changes nothing; content that is framed anew is the same content.
#![no_main]

use coregate_fuzz::http::body::{
    BodyDecoder, BodyError, BodyFraming, CHUNK_END, Step, write_chunk_size, write_last_chunk,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [framing, step, bytes @ ..] = data else { return };
    let framing = match framing % 8 {
        0 => BodyFraming::None,
        1 => BodyFraming::UntilClose,
        2 => BodyFraming::Length(u64::from(*step)),
        _ => BodyFraming::Chunked,
    };
    let whole = decode(framing, [bytes]);
    assert_eq!(decode(framing, bytes.chunks(1)), whole);
    assert_eq!(decode(framing, bytes.chunks(usize::from(*step).max(1))), whole);
    let Ok(Body { content, trailers, taken: Some(taken) }) = whole else { return };
    assert!(taken <= bytes.len());
    if framing == BodyFraming::Chunked {
        let mut again = Vec::new();
        for chunk in content.chunks(usize::from(*step).max(1)) {
            write_chunk_size(&mut again, chunk.len());
            again.extend_from_slice(chunk);
            again.extend_from_slice(CHUNK_END);
        }
        write_last_chunk(&mut again, &trailers);
        let expected = Body { content, trailers, taken: Some(again.len()) };
        assert_eq!(decode(framing, [&again[..]]), Ok(expected));
    }
});

#[derive(Debug, PartialEq)]
struct Body {
    content: Vec<u8>,
    trailers: Vec<u8>,
    /// `None` while it goes on.
    taken: Option<usize>,
}

fn decode<'a>(framing: BodyFraming, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Body, BodyError> {
    let mut decoder = BodyDecoder::from(framing);
    let mut body = Body { content: Vec::new(), trailers: Vec::new(), taken: None };
    let mut taken = 0;
    // A last, empty piece: a body without bytes ends too.
    for piece in pieces.into_iter().chain([&[][..]]) {
        let mut rest = piece;
        loop {
            match decoder.next(rest, &mut body.trailers)? {
                Step::Data(range) => {
                    assert!(!range.is_empty());
                    body.content.extend_from_slice(&rest[range.clone()]);
                    taken += range.end;
                    rest = &rest[range.end..];
                }
                Step::NeedMore { consumed } => {
                    assert_eq!(consumed, rest.len());
                    taken += consumed;
                    break;
                }
                Step::End { consumed } => {
                    assert!(decoder.is_done());
                    body.taken = Some(taken + consumed);
                    return Ok(body);
                }
            }
        }
    }
    assert!(!decoder.is_done());
    Ok(body)
}
