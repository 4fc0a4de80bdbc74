//! A request's line of the access log on its shard: begun, ended, handed over with its buffer.

use coregate::access_log::{AccessLog, Asked, Ended, Requested, Writer};
use coregate::account::{Cause, Ending, LimitSet, Phase};
use coregate::clock;
use coregate::http::head::Version;
use coregate_config::checked::{self, AccessLogFormat, AccessLogPath};
use criterion::Criterion;
use std::hint::black_box;

/// Benchmarks both formats, and a request that is not in the sample.
pub fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("access_log");
    for (name, format, sample) in [
        ("json", AccessLogFormat::Json, 1.0),
        ("combined", AccessLogFormat::Combined, 1.0),
        ("not_sampled", AccessLogFormat::Json, 1e-9),
    ] {
        let path = AccessLogPath::File("/dev/null".into());
        let writer = Writer::start(&checked::AccessLog { path, format, sample }, 1).unwrap().unwrap();
        let log = AccessLog::new(Some(writer.seed()));
        let (now, ending) = (clock::read(), ending());
        group.bench_function(name, |b| {
            b.iter(|| {
                if let Some(draft) = log.draft(&black_box(requested(now))) {
                    log.write(draft, &black_box(ended(&ending)));
                }
            });
        });
    }
    group.finish();
}

fn requested(now: std::time::Instant) -> Requested<'static> {
    Requested {
        now,
        client: [203, 0, 113, 7].into(),
        peer: [203, 0, 113, 7].into(),
        asked: Some(Asked {
            method: "GET",
            target: "/api/v1/orders/4711?expand=items&lang=en",
            version: Version::Http11,
            referer: Some(b"https://shop.example.com/orders"),
            user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        }),
        host: "api.example.com",
        request_id: "0123456789abcdef0123456789abcdef",
    }
}

fn ended(ending: &Ending) -> Ended<'_> {
    let node = Some(([10, 0, 0, 12], 8080).into());
    let (service, tenant) = (Some("orders"), Some("shop"));
    Ended { ending, body_bytes_out: 5120, service, node, tenant, retried: false }
}

fn ending() -> Ending {
    Ending {
        cause: Cause::Done,
        phase: Phase::Complete,
        status: 200,
        bytes_in: 412,
        bytes_out: 5310,
        total_us: 1234,
        upstream_us: 1180,
        limited: None,
        observed: LimitSet::default(),
    }
}
