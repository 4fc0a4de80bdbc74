//! Heads: parsed, understood, written.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};

use coregate::http::body::BodyFraming;
use coregate::http::head::{
    FIELDS_MAX, FieldSlots, HeadLimits, Method, Version, parse_request, parse_response, request_meta,
    response_meta,
};
use coregate::http::headers::{
    ConnectionOut, Hop, RequestOut, ResponseOut, Rules, write_request, write_response,
};
use coregate_config::checked::{HeaderRule, HeaderRules};
use criterion::{Criterion, Throughput};

const LIMITS: HeadLimits = HeadLimits { bytes_max: 32 << 10, target_bytes_max: 8 << 10, fields_max: 100 };

/// What wrk sends.
const WRK: &[u8] = b"GET /test_http_1/test HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a browser sends: 13 fields.
const BROWSER: &[u8] = b"GET /test_http_1/articles/2024/overview?page=2&sort=date HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://www.example.com/articles/2024/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n\r\n";

/// What an origin answers.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: origin\r\n\
    Date: Thu, 06 Jun 2024 12:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 5120\r\n\
    Cache-Control: private, max-age=60\r\n\
    ETag: \"5f3a-1400\"\r\n\
    Vary: Accept-Encoding\r\n\r\n";

const REQUESTS: [(&str, &[u8]); 2] = [("wrk GET", WRK), ("browser GET, 13 fields", BROWSER)];

pub fn bench(criterion: &mut Criterion) {
    parsing(criterion);
    writing(criterion);
}

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head parsing");
    for (name, bytes) in REQUESTS {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
                let head = parse_request(black_box(bytes), &LIMITS, &mut slots).unwrap().unwrap();
                request_meta(&head).unwrap().keep_alive
            });
        });
    }
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("answer, 7 fields", |bencher| {
        bencher.iter(|| {
            let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let head = parse_response(black_box(ANSWER), &LIMITS, &mut slots).unwrap().unwrap();
            response_meta(&head, Method::Get).unwrap().keep_alive
        });
    });
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header rewriting");
    let rules = HeaderRules {
        request: vec![
            HeaderRule::Set("x-gateway".into(), "coregate".into()),
            HeaderRule::Remove("cookie".into()),
            HeaderRule::Add("x-zone".into(), "a".into()),
        ],
        response: vec![
            HeaderRule::Set("server".into(), "coregate".into()),
            HeaderRule::Add("x-frame-options".into(), "DENY".into()),
        ],
    };
    for (kind, rules) in [("", Rules::default()), (", 3 rules", Rules::from(&rules))] {
        for (name, bytes) in REQUESTS {
            let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
            let head = parse_request(bytes, &LIMITS, &mut slots).unwrap().unwrap();
            let meta = request_meta(&head).unwrap();
            let to = RequestOut {
                path: "/test",
                query: meta.target.query(),
                body: meta.body,
                expect_continue: false,
            };
            let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 17));
            let request_id = "0123456789abcdef0123456789abcdef";
            let hop = Hop {
                peer,
                trusted: false,
                https: false,
                host: meta.host,
                request_id,
                tenant: None,
                subject: None,
            };
            let mut out = Vec::new();
            group.bench_function(format!("write_request, {name}{kind}"), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    write_request(&mut out, black_box(&head), &meta, &to, &rules, &hop);
                    out.len()
                });
            });
        }
        let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let head = parse_response(ANSWER, &LIMITS, &mut slots).unwrap().unwrap();
        let meta = response_meta(&head, Method::Get).unwrap();
        let to = ResponseOut {
            connection: ConnectionOut::KeepAlive,
            body: BodyFraming::Length(5120),
            client_version: Version::Http11,
            date: None,
            hsts: None,
        };
        let mut out = Vec::new();
        group.bench_function(format!("write_response{kind}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                write_response(&mut out, black_box(&head), &meta, &to, &rules);
                out.len()
            });
        });
    }
}
