//! HTTP/2: nothing panics; what a request becomes for a node is a head of HTTP/1.1 with one reading, and the same one;
//! what the guard sees of frames does not depend on how they were split.
#![no_main]

use std::mem::MaybeUninit;
use std::time::Instant;

use coregate_fuzz::http::body::BodyFraming;
use coregate_fuzz::http::h2::guard::Guard;
use coregate_fuzz::http::h2::request::{Asks, convert};
use coregate_fuzz::http::head::{FIELDS_MAX, HeadLimits, parse_request, request_meta};
use coregate_fuzz::http::headers::{Hop, RequestOut, Rules, write_request};
use http::{Request, Uri};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 4096, target_bytes_max: 1024, fields_max: 64 };
const WIDE: HeadLimits =
    HeadLimits { bytes_max: 64 << 10, target_bytes_max: 8 << 10, fields_max: FIELDS_MAX };

fuzz_target!(|data: &[u8]| {
    let [flags, bytes @ ..] = data else { return };
    guard(bytes, usize::from(*flags));
    // Lines: method, authority, path and query, then fields.
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let (Some(method), Some(authority), Some(path)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    let Ok(uri) = uri else { return };
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        request = request.header(&line[..colon], line.get(colon + 1..).unwrap_or_default());
    }
    let Ok(request) = request.body(()) else { return };
    let parts = request.into_parts().0;
    let asks = Asks {
        end_stream: flags & 1 == 1,
        protocol: (flags & 2 == 2).then_some("websocket"),
        websocket_key: "dGhlIHNhbXBsZSBub25jZQ==",
    };
    let (mut out, mut framing) = (Vec::new(), BodyFraming::None);
    let converted = convert(&parts, &asks, &LIMITS, |head, meta| {
        framing = meta.body;
        let to = RequestOut {
            path: meta.target.path(),
            query: meta.target.query(),
            body: meta.body,
            expect_continue: meta.expect_continue,
        };
        let peer = "192.0.2.1".parse().expect("an address");
        let hop = Hop {
            peer,
            trusted: flags & 4 == 4,
            https: false,
            host: meta.host,
            request_id: "id",
            tenant: None,
            subject: None,
        };
        write_request(&mut out, head, meta, &to, &Rules::default(), &hop);
        (meta.method, meta.upgrade)
    });
    let Ok((method, upgrade)) = converted else { return };
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let head = parse_request(&out, &WIDE, &mut slots).expect("a head").expect("all of it");
    let meta = request_meta(&head).expect("a head with a meaning");
    assert_eq!((head.len, meta.method, meta.upgrade), (out.len(), method, upgrade));
    assert!(framing == meta.body || (framing, meta.body) == (BodyFraming::None, BodyFraming::Length(0)));
});

fn guard(bytes: &[u8], at: usize) {
    #[allow(clippy::disallowed_methods, reason = "any time will do")]
    let now = Instant::now();
    let at = at.min(bytes.len());
    let seen = |pieces: &[&[u8]]| {
        let mut guard = Guard::new(now, 2);
        pieces.iter().for_each(|piece| guard.received(now, piece));
        (guard.abuse(), guard.block_since())
    };
    assert_eq!(seen(&[&bytes[..at], &bytes[at..]]), seen(&[bytes]));
}
