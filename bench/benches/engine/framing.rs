//! Bodies: where they end, in pieces as they are received.

use std::hint::black_box;

use coregate::http::body::{BodyDecoder, BodyFraming, CHUNK_END, Step, write_chunk_size, write_last_chunk};
use criterion::{Criterion, Throughput};

/// Bytes of content.
const CONTENT: usize = 64 << 10;
/// Bytes of one receive buffer.
const PIECE: usize = 8 << 10;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    group.throughput(Throughput::Bytes(CONTENT as u64));
    let length = vec![b'x'; CONTENT];
    group.bench_function("length, 64 KiB", |bencher| {
        bencher.iter(|| decode(BodyFraming::Length(CONTENT as u64), black_box(&length)));
    });
    for chunk in [64, 1 << 10, 8 << 10] {
        let wire = chunked(chunk);
        group.bench_function(format!("chunked, 64 KiB in chunks of {chunk}"), |bencher| {
            bencher.iter(|| decode(BodyFraming::Chunked, black_box(&wire)));
        });
    }
}

/// Bytes of content found.
fn decode(framing: BodyFraming, wire: &[u8]) -> usize {
    let mut decoder = BodyDecoder::from(framing);
    let mut trailers = Vec::new();
    let mut content = 0;
    for piece in wire.chunks(PIECE) {
        let mut rest = piece;
        loop {
            match decoder.next(rest, &mut trailers).unwrap() {
                Step::Data(range) => {
                    content += range.len();
                    rest = &rest[range.end..];
                }
                Step::NeedMore { .. } => break,
                Step::End { .. } => return content,
            }
        }
    }
    assert_eq!(content, CONTENT);
    content
}

fn chunked(chunk: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for data in vec![b'x'; CONTENT].chunks(chunk) {
        write_chunk_size(&mut wire, data.len());
        wire.extend_from_slice(data);
        wire.extend_from_slice(CHUNK_END);
    }
    write_last_chunk(&mut wire, b"");
    wire
}
