//! Every request is counted in Redis exactly once, whatever becomes of Redis meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coregate_tests::redis::Cutter;
use coregate_tests::wait::over;
use coregate_tests::{Gateway, Load, Origin, PATIENCE, Redis, eventually, route, service};
use rustix::process::Signal;

/// For a million requests on a machine that does other things too.
const LONG: Duration = Duration::from_secs(300);

fn stats(url: &str) -> String {
    format!("[stats]\ninterval = \"50ms\"\nredis_url = \"{url}\"\n")
}

/// All days and all hours of a subject: an hour, or a day, may end during a test.
fn counted(redis: &Redis, id: &str) -> [i64; 2] {
    [redis.sum(&format!("flow_day_*_{id}")), redis.sum(&format!("flow_hour_*_{id}"))]
}

/// Requests, many at once on each connection, as fast as the gateway answers; each answer is counted.
struct Flood {
    answered: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    const CONNECTIONS: u64 = 16;
    const AT_ONCE: u64 = 50;

    /// `requests` (a multiple of `CONNECTIONS * AT_ONCE * 2`), half of them to `/a`.
    fn start(to: SocketAddr, requests: u64) -> Flood {
        assert_eq!(requests % (Flood::CONNECTIONS * Flood::AT_ONCE * 2), 0);
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..Flood::CONNECTIONS).map(|_| {
            let (answered, each) = (Arc::clone(&answered), requests / Flood::CONNECTIONS);
            std::thread::spawn(move || flood(to, each, &answered))
        });
        Flood { threads: threads.collect(), answered }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn join(self) {
        self.threads.into_iter().for_each(|thread| thread.join().expect("every request is answered"));
    }
}

fn flood(to: SocketAddr, requests: u64, answered: &AtomicU64) {
    let mut stream = TcpStream::connect(to).expect("the gateway takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let batch: String = (0..Flood::AT_ONCE)
        .map(|number| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", if number % 2 == 0 { "a" } else { "b" }))
        .collect();
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..requests / Flood::AT_ONCE {
        stream.write_all(batch.as_bytes()).expect("the gateway reads");
        let (mut answers, mut held) = (0, Vec::new());
        while answers < Flood::AT_ONCE {
            let read = stream.read(&mut buffer).expect("the gateway answers");
            assert!(read > 0, "the gateway closed the connection");
            held.extend_from_slice(&buffer[..read]);
            let starts = held.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
            answers += starts as u64;
            // The beginning of a word may be there already, and is looked at again.
            held.drain(..held.len().saturating_sub(8));
        }
        answered.fetch_add(Flood::AT_ONCE, Ordering::Relaxed);
    }
}

#[test]
fn a_million_requests_with_redis_killed_paused_and_restarted_are_counted_exactly() {
    const REQUESTS: u64 = 1_000_000 - 1_000_000 % (Flood::CONNECTIONS * Flood::AT_ONCE * 2)
        + Flood::CONNECTIONS * Flood::AT_ONCE * 2;
    let mut redis = Redis::start();
    // No node is asked: what is counted is requests, however they end. Half are a service's.
    let denied = service("a").route(route("/a")).with("access.deny = [\"127.0.0.0/8\"]");
    let gateway = Gateway::with(denied).text(&stats(&redis.url())).start();
    let flood = Flood::start(gateway.address(), REQUESTS);
    let reaches = |part: u64| {
        eventually("requests are answered", LONG, || flood.answered() >= REQUESTS / 10 * part);
    };
    reaches(1);
    redis.kill();
    reaches(2);
    redis.restart();
    reaches(3);
    redis.pause();
    // Longer than a pipeline is waited for: it is sent again while the first is still unread.
    over(Duration::from_secs(4), || redis.resume());
    reaches(5);
    for _ in 0..3 {
        redis.kill();
        over(Duration::from_millis(200), || redis.restart());
        over(Duration::from_millis(500), || ());
    }
    reaches(7);
    redis.pause();
    over(Duration::from_millis(500), || ());
    redis.kill();
    redis.restart();
    flood.join();
    let (all, half) = (i64::try_from(REQUESTS).unwrap(), i64::try_from(REQUESTS / 2).unwrap());
    eventually("the last interval is written", PATIENCE, || {
        assert!(counted(&redis, "flow_total")[0] <= all, "counted twice");
        gateway.metric("coregate_flow_pending_keys", &[]) == 0.0 && counted(&redis, "flow_total") == [all; 2]
    });
    assert_eq!(counted(&redis, "flow_service_a"), [half; 2]);
    let shards = ["0", "1"].map(|shard| {
        gateway.metric("coregate_shard_accepted_connections_total", &[&format!("shard=\"{shard}\"")])
    });
    assert!(shards.iter().all(|accepted| *accepted > 0.0), "both shards had traffic: {shards:?}");
    assert!(gateway.metric("coregate_flow_flushes_total", &["failed"]) > 0.0, "Redis was away");
    assert_eq!(gateway.metric("coregate_flow_dropped_counts_total", &[]), 0.0);
}

#[test]
fn a_flush_whose_answer_is_lost_is_not_applied_again() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let cutter = Cutter::before(&redis, 5);
    let mut gateway = Gateway::before(&origin).text(&stats(&cutter.url())).start();
    let load = Load::on(gateway.address()).start();
    eventually("answers are lost", LONG, || cutter.cut() >= 5);
    cutter.cut_more(3);
    eventually("and again", LONG, || cutter.cut() >= 8);
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    let all = i64::try_from(tally.ok).unwrap();
    eventually("all is confirmed", PATIENCE, || {
        requests(&gateway) >= f64::from(u32::try_from(tally.ok).unwrap())
            && gateway.metric("coregate_flow_pending_keys", &[]) == 0.0
    });
    assert_eq!(counted(&redis, "flow_total"), [all; 2]);
    // The last one is lost as well, and repeated while the process ends.
    gateway.get("/").expect(200, "a");
    cutter.cut_more(1);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    assert_eq!(counted(&redis, "flow_total"), [all + 1; 2]);
    assert_eq!(cutter.cut(), 9);
}

#[test]
fn many_keys_make_several_parts_and_none_is_lost() {
    let (mut redis, origin) = (Redis::start(), Origin::named("a"));
    let names: Vec<String> = (0..600).map(|number| format!("s{number}")).collect();
    let builder = names.iter().fold(Gateway::empty(), |builder, name| {
        builder.and(service(name).route(format!("/{name}/").as_str()).node(&origin))
    });
    let cutter = Cutter::before(&redis, 1);
    let gateway = builder.text(&stats(&cutter.url()).replace("50ms", "1s")).start();
    let mut client = gateway.client();
    // Day and hour of each service: more keys than a part has.
    for name in &names {
        client.get(&format!("/{name}/")).expect(200, "a");
    }
    redis.kill();
    for name in &names {
        client.get(&format!("/{name}/")).expect(200, "a");
    }
    redis.restart();
    eventually("all is confirmed", PATIENCE, || {
        // The page of all metrics is a large one with so many services.
        let flow = gateway.ops("/api/v1/flow?service=s0").json();
        cutter.cut() == 1
            && flow["site"]["since_start"]["requests"] == 1200
            && flow["redis"]["pending_keys"] == 0
    });
    assert_eq!(counted(&redis, "flow_total"), [1200; 2]);
    assert_eq!(counted(&redis, "flow_service_s*"), [1200; 2]);
}

/// Requests that the control thread knows of.
fn requests(gateway: &Gateway) -> f64 {
    gateway.metric("coregate_requests_total", &[])
}
