use coregate_config::checked::HealthCheckKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::probe::{Approach, Security, probe};
use super::*;
use crate::clock;

const DEADLINE: Duration = Duration::from_secs(10);
const IN_CLEAR: Approach = Approach { proxy_header: None, security: Security::Clear };

fn http(expected: &[u16]) -> HealthCheckKind {
    HealthCheckKind::Http {
        path: "/health?x=1".into(),
        host: Some("node.test".into()),
        expect_status: expected.iter().copied().collect(),
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that refuses connections.
async fn refusing() -> SocketAddr {
    listener().await.1
}

/// Checks a node that sends `answer` and closes. Gives back what it was asked, too.
async fn ask(answer: &[u8], expected: &[u16]) -> (Result<(), String>, String) {
    let (listener, address) = listener().await;
    let node = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let mut got = 0;
        while !request[..got].ends_with(b"\r\n\r\n") {
            got += stream.read(&mut request[got..]).await.unwrap();
        }
        // The check may have had enough before all is sent.
        let _ = stream.write_all(answer).await;
        request.truncate(got);
        String::from_utf8(request).unwrap()
    };
    let kind = http(expected);
    tokio::join!(probe(&kind, address, &IN_CLEAR, DEADLINE), node)
}

#[tokio::test]
async fn tcp_needs_a_connection_only() {
    let (_listener, address) = listener().await;
    assert_eq!(probe(&HealthCheckKind::Tcp, address, &IN_CLEAR, DEADLINE).await, Ok(()));
    let error = probe(&HealthCheckKind::Tcp, refusing().await, &IN_CLEAR, DEADLINE).await.unwrap_err();
    assert!(error.starts_with("connect: "), "{error}");
}

#[tokio::test]
async fn http_asks_for_the_path_and_takes_an_expected_status() {
    let (result, request) = ask(b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", &[200, 204]).await;
    assert_eq!(result, Ok(()));
    assert!(request.starts_with("GET /health?x=1 HTTP/1.1\r\nHost: node.test\r\n"), "{request}");
}

#[tokio::test]
async fn http_tells_what_is_wrong() {
    for (answer, wrong) in [
        (&b"HTTP/1.1 500 Oh\r\n\r\n"[..], "status 500, not 200 or 204"),
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nx: ", "within the head"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP/1"),
    ] {
        let (result, _) = ask(answer, &[200, 204]).await;
        let error = result.unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn http_passes_over_interim_answers() {
    let (result, _) =
        ask(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &[200]).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn http_bounds_the_head() {
    let mut endless = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    endless.resize(64 << 10, b'a');
    let (result, _) = ask(&endless, &[200]).await;
    assert!(result.unwrap_err().contains("longer than 16384 bytes"));
}

#[tokio::test]
async fn a_silent_node_has_failed_when_the_time_is_up() {
    let (_listener, address) = listener().await;
    let error = probe(&http(&[200]), address, &IN_CLEAR, Duration::from_millis(20)).await.unwrap_err();
    assert!(error.contains("no answer within 20ms"), "{error}");
}

struct Rig {
    checker: Checker,
    events: mpsc::Receiver<Event>,
}

impl Rig {
    fn new(nodes: &[SocketAddr]) -> Self {
        let (events_to, events) = mpsc::channel(64);
        let mut rig = Self { checker: Checker::new(events_to, 1), events };
        rig.reconfigure(nodes);
        rig
    }

    fn reconfigure(&mut self, nodes: &[SocketAddr]) {
        let check = HealthCheck {
            kind: HealthCheckKind::Tcp,
            interval: Duration::from_millis(20),
            timeout: Duration::from_millis(20),
            unhealthy_after: 2,
            healthy_after: 1,
        };
        let subject = Subject {
            service: "a".into(),
            check: Some(check),
            nodes: nodes.iter().map(|&node| (node, IN_CLEAR)).collect(),
        };
        self.checker.reconfigure([subject], [], clock::read());
    }

    /// Runs the checker as the loop does, until the set of live nodes changes.
    async fn next_change(&mut self) -> NodesChanged {
        let changed = async {
            loop {
                let due = self.checker.next_due().expect("something is always due");
                tokio::select! {
                    Some(Event::Checked(result)) = self.events.recv() => {
                        if let Some(changed) = self.checker.on_result(&result, clock::read()) {
                            return changed;
                        }
                    }
                    () = tokio::time::sleep_until(due.into()) => self.checker.start_due(clock::read()),
                }
            }
        };
        tokio::time::timeout(DEADLINE, changed).await.expect("a change within the deadline")
    }
}

#[tokio::test]
async fn a_node_goes_down_and_comes_back() {
    let (_up, up) = listener().await;
    let (socket, flapping) = listener().await;
    drop(socket);
    let mut rig = Rig::new(&[up, flapping]);
    assert!(rig.checker.is_live("a", flapping), "live until shown otherwise");
    assert_eq!(rig.next_change().await.live, [(up, true), (flapping, false)]);
    assert!(!rig.checker.is_live("a", flapping));
    let why = rig.checker.node("a", flapping).unwrap().last_error.clone().unwrap().1;
    assert!(why.contains("connect"), "{why}");
    let _back = TcpListener::bind(flapping).await.unwrap();
    assert_eq!(rig.next_change().await.live, [(up, true), (flapping, true)]);
}

#[tokio::test]
async fn a_failure_of_traffic_takes_a_node_out_at_once_and_a_check_brings_it_back() {
    let (_up, up) = listener().await;
    let mut rig = Rig::new(&[up]);
    let changed = rig.checker.on_passive_failure("a", up, clock::read()).unwrap();
    assert_eq!(changed.live, [(up, false)]);
    assert_eq!(rig.checker.on_passive_failure("a", up, clock::read()), None);
    assert_eq!(rig.next_change().await.live, [(up, true)]);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known() {
    let (_one, one) = listener().await;
    let (_two, two) = listener().await;
    let mut rig = Rig::new(&[one]);
    rig.checker.on_passive_failure("a", one, clock::read()).unwrap();
    rig.reconfigure(&[two, one]);
    assert!(!rig.checker.is_live("a", one));
    assert!(rig.checker.is_live("a", two));
    rig.checker.reconfigure([], ["a".into()], clock::read());
    assert_eq!(rig.checker.next_due(), None);
    assert_eq!(rig.checker.on_passive_failure("a", one, clock::read()), None);
}

#[tokio::test]
async fn what_is_not_known_is_ignored() {
    let (_one, one) = listener().await;
    let mut rig = Rig::new(&[]);
    assert_eq!(rig.checker.on_passive_failure("other", one, clock::read()), None);
    assert_eq!(rig.checker.on_passive_failure("a", one, clock::read()), None);
    assert!(rig.checker.is_live("other", one));
}
