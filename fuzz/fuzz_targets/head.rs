//! Heads: nothing panics; a split changes nothing; what is written is accepted and means what was read.
#![no_main]

use std::mem::MaybeUninit;
use std::net::IpAddr;

use coregate_fuzz::http::body::BodyFraming;
use coregate_fuzz::http::head::{
    FIELDS_MAX, FieldSlots, HeadLimits, Method, RequestHead, Version, has_head_end, parse_request,
    parse_response, request_meta, response_meta,
};
use coregate_fuzz::http::headers::{
    ConnectionOut, Hop, RequestOut, ResponseOut, Rules, real_client, write_request, write_response,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 16 << 10, target_bytes_max: 4 << 10, fields_max: 64 };
/// What the gateway adds must not make its own heads too large to read again.
const LIMITS_OVER: HeadLimits =
    HeadLimits { bytes_max: 64 << 10, target_bytes_max: 4 << 10, fields_max: 128 };

fuzz_target!(|data: &[u8]| {
    let [cut, flags, bytes @ ..] = data else { return };
    let cut = usize::from(*cut).min(bytes.len());
    request(bytes, cut, flags & 1 == 1);
    response(bytes, cut, if flags & 2 == 0 { Method::Get } else { Method::Head });
});

fn request(bytes: &[u8], cut: usize, trusted: bool) {
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let whole = parse_request(bytes, &LIMITS, &mut slots);
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let early = parse_request(&bytes[..cut], &LIMITS, &mut slots);
    let head = match whole {
        Ok(Some(head)) => head,
        Ok(None) => return assert!(matches!(early, Ok(None)), "refused early, waited for late"),
        Err(_) => return assert!(!matches!(early, Ok(Some(_))), "accepted early, refused late"),
    };
    match early {
        Ok(Some(early)) => assert_eq!(early.len, head.len),
        Ok(None) => assert!(cut < head.len && has_head_end(&bytes[..head.len], cut)),
        Err(error) => panic!("refused early ({error}), accepted late"),
    }
    assert!(!bytes[..head.len].windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n')));
    forward(&head, trusted);
    // The same head as HTTP/2 would bring it.
    let _ = request_meta(&RequestHead { version: Version::H2, ..head });
}

fn forward(head: &RequestHead, trusted: bool) {
    let Ok(meta) = request_meta(head) else { return };
    let peer = IpAddr::from([192, 0, 2, 1]);
    real_client(peer, |address| trusted && address.is_ipv4(), head.fields);
    let hop = Hop {
        peer,
        trusted,
        https: false,
        host: meta.host,
        request_id: meta.request_id.unwrap_or("made"),
        tenant: None,
        subject: None,
    };
    let to = RequestOut {
        path: meta.target.path(),
        query: meta.target.query(),
        body: meta.body,
        expect_continue: meta.expect_continue,
    };
    let mut out = Vec::new();
    write_request(&mut out, head, &meta, &to, &Rules::default(), &hop);
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let over = parse_request(&out, &LIMITS_OVER, &mut slots).expect("own head").expect("whole");
    let meta_over = request_meta(&over).expect("own head");
    assert_eq!(over.len, out.len());
    assert_eq!(over.method, head.method);
    assert_eq!(meta_over.host, meta.host);
    assert_eq!(meta_over.upgrade, meta.upgrade);
    assert_eq!(
        (meta_over.target.path(), meta_over.target.query()),
        (meta.target.path(), meta.target.query())
    );
    assert_eq!(content(meta_over.body), content(meta.body));
    assert!(meta_over.keep_alive);
}

fn response(bytes: &[u8], cut: usize, method: Method) {
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let Ok(Some(head)) = parse_response(bytes, &LIMITS, &mut slots) else { return };
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let early = parse_response(&bytes[..cut], &LIMITS, &mut slots).expect("accepted late");
    assert_eq!(early.is_some(), cut >= head.len);
    let Ok(meta) = response_meta(&head, method) else { return };
    let connection = if meta.upgrade { ConnectionOut::Upgrade } else { ConnectionOut::KeepAlive };
    let to = ResponseOut {
        connection,
        body: meta.body,
        client_version: Version::Http11,
        date: Some("now"),
        hsts: None,
    };
    let mut out = Vec::new();
    write_response(&mut out, &head, &meta, &to, &Rules::default());
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let over = parse_response(&out, &LIMITS_OVER, &mut slots).expect("own head").expect("whole");
    let meta_over = response_meta(&over, method).expect("own head");
    assert_eq!(over.len, out.len());
    assert_eq!((over.status, over.reason), (head.status, head.reason));
    assert_eq!((meta_over.body, meta_over.upgrade), (meta.body, meta.upgrade));
}

/// An empty body may be framed in either way.
fn content(body: BodyFraming) -> BodyFraming {
    if body == BodyFraming::Length(0) { BodyFraming::None } else { body }
}
