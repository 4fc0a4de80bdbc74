use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::account::{Cause, LimitSet, Phase};
use crate::limits::TARGET_BYTES_MAX;

/// A shard's log whose queue the test reads.
fn rig(format: AccessLogFormat, sample: f64, queued_max: usize) -> (AccessLog, Receiver<Batch>, Arc<Tally>) {
    let (queue, batches) = sync_channel(queued_max);
    let tally = Arc::<Tally>::default();
    let seed = Seed { format, sample, queue, tally: Arc::clone(&tally), thread: std::thread::current() };
    (AccessLog { on: Some(On::new(seed, 7)) }, batches, tally)
}

fn asked() -> Asked<'static> {
    Asked {
        method: "GET",
        target: "/a?b=c",
        version: Version::Http11,
        referer: Some(b"http://a.example/"),
        user_agent: Some(b"curl/8.0"),
    }
}

fn requested(asked: Option<Asked>) -> Requested {
    Requested {
        now: crate::clock::read(),
        client: [192, 0, 2, 10].into(),
        peer: [192, 0, 2, 10].into(),
        asked,
        host: "a.example",
        request_id: "id-1",
    }
}

fn ending() -> Ending {
    Ending {
        cause: Cause::Done,
        phase: Phase::Complete,
        status: 200,
        bytes_in: 100,
        bytes_out: 250,
        total_us: 1500,
        upstream_us: 1200,
        limited: None,
        observed: LimitSet::default(),
    }
}

fn ended(ending: &Ending) -> Ended<'_> {
    Ended { ending, body_bytes_out: 42, service: None, node: None, tenant: None, retried: false }
}

/// The line of one request.
fn line(format: AccessLogFormat, requested: &Requested, ended: &Ended) -> String {
    let (log, batches, _) = rig(format, 1.0, 1);
    log.write(log.draft(requested).unwrap(), ended);
    log.flush();
    let line = String::from_utf8(batches.try_recv().unwrap().text).unwrap();
    assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
    line
}

#[test]
fn a_json_line_has_all_that_is_known() {
    let requested = Requested { peer: "2001:db8::1".parse().unwrap(), ..requested(Some(asked())) };
    let ending = ending();
    let ended = Ended {
        service: Some("api"),
        node: Some("[2001:db8::2]:80".parse().unwrap()),
        tenant: Some("app"),
        retried: true,
        ..ended(&ending)
    };
    let mut line: Value = serde_json::from_str(&line(AccessLogFormat::Json, &requested, &ended)).unwrap();
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    let age = jiff::Timestamp::now().duration_since(time.as_str().unwrap().parse().unwrap());
    assert!(age.as_secs().abs() < 60, "{time}");
    assert_eq!(
        line,
        json!({
            "client": "192.0.2.10", "peer": "2001:db8::1", "method": "GET", "target": "/a?b=c",
            "version": "HTTP/1.1", "host": "a.example", "request_id": "id-1", "referer": "http://a.example/",
            "user_agent": "curl/8.0", "status": 200, "cause": "done", "phase": "complete", "bytes_in": 100,
            "bytes_out": 250, "duration_us": 1500, "upstream_us": 1200, "service": "api",
            "node": "[2001:db8::2]:80", "tenant": "app", "retried": true,
        })
    );
}

#[test]
fn a_json_line_leaves_out_what_is_not_known() {
    let requested = Requested { host: "", request_id: "", ..requested(None) };
    let ending = Ending { status: 0, cause: Cause::ClientGone, phase: Phase::RequestHead, ..ending() };
    let line: Value =
        serde_json::from_str(&line(AccessLogFormat::Json, &requested, &ended(&ending))).unwrap();
    let fields: Vec<&String> = line.as_object().unwrap().keys().collect();
    let expected =
        ["bytes_in", "bytes_out", "cause", "client", "duration_us", "phase", "status", "time", "upstream_us"];
    assert_eq!(fields, expected);
    assert_eq!(line["status"], 0);
}

#[test]
fn a_combined_line_is_that_of_nginx() {
    let ending = ending();
    let ended = Ended { service: Some("api"), tenant: Some("app"), ..ended(&ending) };
    let line = line(AccessLogFormat::Combined, &requested(Some(asked())), &ended);
    let (before, rest) = line.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    assert_eq!(before, "192.0.2.10 - app ");
    assert_eq!(after, " \"GET /a?b=c HTTP/1.1\" 200 42 \"http://a.example/\" \"curl/8.0\"\n");
    jiff::Zoned::strptime("%d/%b/%Y:%H:%M:%S %z", time).unwrap();
}

#[test]
fn a_combined_line_has_dashes_for_what_is_not_known() {
    let ending = Ending { status: 0, ..ending() };
    let line = line(AccessLogFormat::Combined, &requested(None), &ended(&ending));
    assert!(line.starts_with("192.0.2.10 - - ["), "{line}");
    assert!(line.ends_with("] \"-\" 000 42 \"-\" \"-\"\n"), "{line}");
}

#[test]
fn the_fields_of_a_head_are_found_in_any_case() {
    let mut slots = [const { std::mem::MaybeUninit::uninit() }; crate::http::head::FIELDS_MAX];
    let text = b"GET / HTTP/1.0\r\nhost: a\r\nREFERER: b\r\nuser-Agent: c\r\nreferee: d\r\n\r\n";
    let limits = crate::http::head::HeadLimits { bytes_max: 1000, target_bytes_max: 100, fields_max: 100 };
    let head = crate::http::head::parse_request(text, &limits, &mut slots).unwrap().unwrap();
    let asked = Asked::of(&head);
    assert_eq!((asked.referer, asked.user_agent), (Some(&b"b"[..]), Some(&b"c"[..])));
    assert_eq!((asked.method, asked.target, asked.version), ("GET", "/", Version::Http10));
}

#[test]
fn values_are_clipped() {
    let long = "x".repeat(100_000);
    let asked = Asked {
        method: &long,
        target: &long,
        version: Version::Http11,
        referer: Some(long.as_bytes()),
        user_agent: Some(long.as_bytes()),
    };
    let requested = Requested { host: &long, request_id: &long, ..requested(Some(asked)) };
    for format in [AccessLogFormat::Json, AccessLogFormat::Combined] {
        let line = line(format, &requested, &ended(&ending()));
        assert!((TARGET_BYTES_MAX..TARGET_BYTES_MAX + 4096).contains(&line.len()), "{}", line.len());
    }
}

#[test]
fn a_sample_is_about_the_share_that_was_asked_for() {
    for (share, expected) in [(0.0, 0..=0), (0.1, 9_500..=10_500), (0.5, 49_000..=51_000)] {
        let sampler = Sampler::new(share, 12345);
        let taken = (0..100_000).filter(|_| sampler.takes()).count();
        assert!(expected.contains(&taken), "{share}: {taken}");
    }
    assert!((0..1000).all(|_| Sampler::new(1.0, 0).takes()));
}

#[test]
fn without_a_log_there_is_no_draft() {
    let log = AccessLog::new(None);
    assert!(log.draft(&requested(Some(asked()))).is_none());
    log.flush();
}

#[test]
fn drafts_are_used_again_and_those_that_grew_large_are_not() {
    let (log, _batches, _) = rig(AccessLogFormat::Json, 1.0, 1);
    let pool = || log.on.as_ref().unwrap().drafts.borrow().len();
    let two = [log.draft(&requested(None)).unwrap(), log.draft(&requested(None)).unwrap()];
    two.into_iter().for_each(|draft| log.write(draft, &ended(&ending())));
    assert_eq!(pool(), 2);
    let long = "x".repeat(TARGET_BYTES_MAX);
    let large = log.draft(&requested(Some(Asked { target: &long, ..asked() }))).unwrap();
    assert_eq!(pool(), 1);
    log.write(large, &ended(&ending()));
    assert_eq!(pool(), 1);
    drop(log.draft(&requested(None)));
    assert_eq!(pool(), 0, "a draft that nobody ends is only memory");
}

#[test]
fn a_full_buffer_is_handed_over_and_an_empty_one_never() {
    let (log, batches, tally) = rig(AccessLogFormat::Json, 1.0, 100);
    log.flush();
    assert!(batches.try_recv().is_err());
    let lines = 1000;
    for _ in 0..lines {
        log.write(log.draft(&requested(Some(asked()))).unwrap(), &ended(&ending()));
    }
    log.flush();
    log.flush();
    drop(log);
    let mut seen = 0;
    let batches: Vec<Batch> = batches.try_iter().collect();
    for batch in &batches {
        assert!(batch.text.len() <= BUFFER_BYTES, "{}", batch.text.len());
        let text = std::str::from_utf8(&batch.text).unwrap();
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
        assert_eq!(text.lines().count() as u64, batch.lines);
        seen += batch.lines;
    }
    assert_eq!(seen, lines);
    let full = &batches[..batches.len() - 1];
    assert!(full.len() > 5 && full.iter().all(|batch| batch.text.len() > BUFFER_BYTES - 2048));
    assert_eq!(tally.dropped_queue_full.load(Ordering::Relaxed), 0);
}

#[test]
fn a_full_queue_drops_the_buffer_in_hand_and_counts_its_lines() {
    let (log, batches, tally) = rig(AccessLogFormat::Json, 1.0, 2);
    let write = |count| {
        for _ in 0..count {
            log.write(log.draft(&requested(None)).unwrap(), &ended(&ending()));
        }
        log.flush();
    };
    (1..=4).for_each(write);
    assert_eq!(tally.dropped_queue_full.load(Ordering::Relaxed), 3 + 4);
    assert_eq!(batches.try_iter().map(|batch| batch.lines).collect::<Vec<_>>(), [1, 2]);
    write(5);
    assert_eq!(batches.try_recv().unwrap().lines, 5, "with room it goes on");
    assert_eq!(tally.dropped_queue_full.load(Ordering::Relaxed), 7);
}

#[test]
fn buffers_come_back() {
    let (log, batches, _) = rig(AccessLogFormat::Json, 1.0, 2);
    let mut at = Vec::new();
    for _ in 0..6 {
        log.write(log.draft(&requested(None)).unwrap(), &ended(&ending()));
        log.flush();
        let batch = batches.try_recv().unwrap();
        at.push(batch.text.as_ptr() as usize);
        let mut text = batch.text;
        text.clear();
        batch.back.try_send(text).unwrap();
    }
    at.sort_unstable();
    at.dedup();
    assert!(at.len() <= 3, "{at:?}");
}

#[test]
fn what_is_left_is_handed_over_when_a_shard_ends() {
    let (log, batches, _) = rig(AccessLogFormat::Json, 1.0, 2);
    log.write(log.draft(&requested(None)).unwrap(), &ended(&ending()));
    drop(log);
    assert_eq!(batches.recv_timeout(Duration::from_secs(10)).unwrap().lines, 1);
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'\n'), Just(b'a')], 0..60),
    ]
}

proptest! {
    #[test]
    fn whatever_a_client_sends_a_line_keeps_its_form(
        target in any::<String>(), method in any::<String>(), host in any::<String>(),
        referer in bytes(), user_agent in bytes(), id in any::<String>(), tenant in any::<String>(),
    ) {
        let asked = Asked {
            method: &method, target: &target, version: Version::Http11,
            referer: Some(&referer), user_agent: Some(&user_agent),
        };
        let requested = Requested { host: &host, request_id: &id, ..requested(Some(asked)) };
        let ending = ending();
        let ended = Ended { tenant: Some(&tenant), ..ended(&ending) };

        let json = line(AccessLogFormat::Json, &requested, &ended);
        let read: Value = serde_json::from_str(&json).unwrap();
        let expected = |value: &[u8], max| String::from_utf8_lossy(escape::clip(value, max)).into_owned();
        prop_assert_eq!(&read["target"], &Value::from(expected(target.as_bytes(), TARGET_BYTES_MAX)));
        prop_assert_eq!(&read["method"], &Value::from(expected(method.as_bytes(), 64)));
        prop_assert_eq!(&read["referer"], &Value::from(expected(&referer, 1024)));
        prop_assert_eq!(&read["user_agent"], &Value::from(expected(&user_agent, 1024)));
        prop_assert_eq!(&read["tenant"], &Value::from(tenant.clone()));
        prop_assert_eq!(&read["status"], &Value::from(200));

        let combined = line(AccessLogFormat::Combined, &requested, &ended);
        let combined = combined.trim_end_matches('\n');
        prop_assert!(combined.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", combined);
        prop_assert_eq!(combined.matches('"').count(), 6, "{}", combined);
        prop_assert!(combined.contains("\" 200 42 \""), "{}", combined);
    }
}
