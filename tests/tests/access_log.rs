//! The access log: one whole and true line for each request, in two formats, whatever becomes of its file.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coregate_tests::gateway::Builder;
use coregate_tests::ports::Port;
use coregate_tests::{
    Client, Gateway, Load, Origin, PATIENCE, eventually, get, post, request, service, tcp_listener, wait,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a file for the log.
struct Log {
    folder: TempDir,
}

impl Log {
    fn new() -> Log {
        Log { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self) -> PathBuf {
        self.file("access.log")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// All lines, once there are so many.
    #[track_caller]
    fn lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines"), PATIENCE, || self.text().lines().count() >= count);
        let lines: Vec<String> = self.text().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// The only line, as JSON.
    #[track_caller]
    fn json(&self) -> Value {
        parse(&self.lines(1)[0])
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// That gateway with a log in this file.
fn logging(gateway: Builder, path: &Path) -> Builder {
    gateway.server(&format!("access_log.path = {:?}", path.display().to_string()))
}

/// The fields of a line, sorted.
fn names(line: &Value) -> Vec<&str> {
    line.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_json_line_tells_all_of_a_request() {
    let (origin, log) = (Origin::named("hello"), Log::new());
    let gateway = logging(Gateway::before(&origin), &log.path()).start();
    let asked = post("/a/b?c=d")
        .field("Referer", "http://from.example/")
        .field("User-Agent", "tester/1.0")
        .field("X-Request-Id", "my-own-id")
        .body("12345");
    let bytes_in = asked.bytes().len();
    gateway.client().ask(&asked).expect(200, "hello");
    let line = log.json();
    let expected = [
        "bytes_in",
        "bytes_out",
        "cause",
        "client",
        "duration_us",
        "host",
        "method",
        "node",
        "phase",
        "referer",
        "request_id",
        "service",
        "status",
        "target",
        "time",
        "upstream_us",
        "user_agent",
        "version",
    ];
    assert_eq!(names(&line), expected, "{line}");
    for (name, value) in [
        ("client", "127.0.0.1"),
        ("method", "POST"),
        ("target", "/a/b?c=d"),
        ("version", "HTTP/1.1"),
        ("host", "test"),
        ("request_id", "my-own-id"),
        ("referer", "http://from.example/"),
        ("user_agent", "tester/1.0"),
        ("cause", "done"),
        ("phase", "complete"),
        ("service", "site"),
        ("node", &origin.address().to_string()),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_in"], bytes_in);
    assert!(line["bytes_out"].as_u64() > Some(5), "{line}");
    let (all, upstream) = (line["duration_us"].as_u64(), line["upstream_us"].as_u64());
    assert!(all.is_some() && upstream <= all, "{line}");
    let time = line["time"].as_str().unwrap_or_default();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
}

#[test]
fn a_combined_line_is_as_nginx_writes_it() {
    let (origin, log) = (Origin::named("hello"), Log::new());
    let combined = Gateway::before(&origin).server("access_log.format = \"combined\"");
    let gateway = logging(combined, &log.path()).start();
    gateway.client().ask(&get("/a?b").field("User-Agent", "x \"y\" \\z")).expect(200, "hello");
    gateway.client().ask(&request("HEAD", "/")).expect(200, "");
    let lines = log.lines(2);
    let strip = |line: &String| {
        let (before, rest) = line.split_once(" [").expect("a time");
        let (time, after) = rest.split_once("] ").expect("its end");
        assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
        format!("{before} {after}")
    };
    let mut stripped: Vec<String> = lines.iter().map(strip).collect();
    stripped.sort();
    assert_eq!(
        stripped,
        [
            r#"127.0.0.1 - - "GET /a?b HTTP/1.1" 200 5 "-" "x \x22y\x22 \x5Cz""#,
            r#"127.0.0.1 - - "HEAD / HTTP/1.1" 200 0 "-" "-""#,
        ]
    );
}

#[test]
fn what_the_gateway_answers_itself_has_a_line_too() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let api = service("api").route("/api").node(&origin).with("access.deny = [\"127.0.0.1\"]");
    let gateway = logging(Gateway::with(api), &log.path()).start();
    let mut client = gateway.client();
    assert_eq!(client.ask(&get("/nowhere")).status, 404);
    assert_eq!(client.ask(&get("/api/x")).status, 403);
    let refused = client.ask(&get("/").field("Transfer-Encoding", "gzip"));
    assert_eq!(refused.status, 501);
    let id = refused.json()["error"]["request_id"].clone();
    gateway.client().send("bad\r\n\r\n").read_until_gone();
    gateway.client().send("GET / HTTP/1.1\r\nHo").half_close();
    let lines: Vec<Value> = log.lines(5).iter().map(|line| parse(line)).collect();
    let with = |name: &str, value: Value| {
        lines.iter().find(|line| line[name] == value).unwrap_or_else(|| panic!("{name} {value}: {lines:#?}"))
    };
    let line = with("status", 404.into());
    assert_eq!(
        (&line["target"], &line["cause"], &line["phase"]),
        (&"/nowhere".into(), &"refused".into(), &"decide".into())
    );
    assert!(line["service"].is_null() && line["node"].is_null(), "{line}");
    let line = with("status", 403.into());
    assert_eq!((&line["service"], &line["node"]), (&"api".into(), &Value::Null));
    let line = with("status", 501.into());
    assert_eq!(
        (&line["method"], &line["request_id"]),
        (&"GET".into(), &id),
        "the id that the client was told"
    );
    let line = with("status", 400.into());
    assert_eq!((&line["method"], &line["cause"]), (&Value::Null, &"client_error".into()));
    let line = with("status", 0.into());
    assert_eq!((&line["cause"], &line["phase"]), (&"client_gone".into(), &"request_head".into()));
}

#[test]
fn a_client_cannot_forge_a_line() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let gateway = logging(Gateway::before(&origin), &log.path()).start();
    let mut head =
        b"GET /\"}{\" HTTP/1.1\r\nHost: test\r\nUser-Agent: a\"}\t{\"status\":999,\"x\":\"\xff\\".to_vec();
    head.extend_from_slice(b"\r\nReferer: \xc3\xa9\r\n\r\n");
    gateway.client().send(head).read();
    let line = log.json();
    assert_eq!(line["user_agent"], "a\"}\t{\"status\":999,\"x\":\"\u{fffd}\\");
    assert_eq!(line["referer"], "é");
    assert_ne!(line["status"], 999);
}

#[test]
fn the_real_client_is_told_behind_a_trusted_proxy() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let trusting = Gateway::before(&origin).server("trusted_proxies = [\"127.0.0.0/8\"]");
    let gateway = logging(trusting, &log.path()).start();
    gateway.client().ask(&get("/").field("X-Forwarded-For", "2001:db8::7")).expect(200, "a");
    let line = log.json();
    assert_eq!((&line["client"], &line["peer"]), (&"2001:db8::7".into(), &"127.0.0.1".into()));
}

#[test]
fn a_request_that_was_sent_again_says_so() {
    let log = Log::new();
    let origin = Origin::that(|x| if x.turn() == 0 { x.answer(200, "ok") } else { x.close() });
    let gateway = logging(Gateway::before(&origin), &log.path()).start();
    let mut client = gateway.client();
    client.get("/1").expect(200, "ok");
    client.get("/2").expect(200, "ok");
    let lines = log.lines(2);
    let retried: Vec<Value> = lines.iter().map(|line| parse(line)["retried"].clone()).collect();
    assert_eq!(retried, [Value::Null, true.into()]);
}

#[test]
fn a_tcp_session_has_a_line() {
    let (port, origin, log) = (Port::free(), Origin::named("a"), Log::new());
    let listener = tcp_listener(&port, "service = \"cache\"");
    let before = Gateway::with(service("cache").node(&origin)).text(&listener);
    let _gateway = logging(before, &log.path()).start();
    let mut client = Client::connect(port.address());
    client.get("/").expect(200, "a");
    client.get("/").expect(200, "a");
    drop(client);
    let line = log.json();
    assert_eq!((&line["service"], &line["cause"]), (&"cache".into(), &"done".into()));
    assert_eq!((&line["node"], &line["status"]), (&origin.address().to_string().into(), &0.into()));
    assert!(line["method"].is_null() && line["bytes_in"].as_u64() > Some(0), "{line}");
}

#[test]
fn without_a_path_lines_go_to_standard_output() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).server("access_log.path = \"stdout\"").start();
    gateway.get("/on-stdout").expect(200, "a");
    gateway.expect_output("\"target\":\"/on-stdout\"");
}

#[test]
fn a_sample_is_about_the_share_that_was_asked_for() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let sampled = Gateway::before(&origin).server("access_log.sample = 0.1");
    let mut gateway = logging(sampled, &log.path()).start();
    let tally = Load::on(gateway.address()).requests(10_000).run();
    assert_eq!((tally.ok, tally.failed), (10_000, Vec::new()));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    // 1000 are expected, with a standard deviation of 30.
    let lines = log.text().lines().count();
    assert!((800..1200).contains(&lines), "{lines}");
}

#[test]
fn renaming_the_file_and_sigusr1_lose_no_line() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let mut gateway = logging(Gateway::before(&origin), &log.path()).start();
    let load = Load::on(gateway.address()).start();
    let mut answered = 0;
    for round in 1..=5 {
        eventually("more answers", PATIENCE, || load.answered() > answered + 500);
        answered = load.answered();
        fs::rename(log.path(), log.file(&format!("access.log.{round}"))).expect("rename");
        gateway.signal(Signal::USR1);
        eventually("a new file", PATIENCE, || log.path().exists());
    }
    let tally = load.stop();
    assert_eq!(tally.failed, Vec::<String>::new());
    eventually("five reopenings are counted", PATIENCE, || {
        (gateway.metric("coregate_access_log_reopens_total", &["result=\"reopened\""]) - 5.0).abs() < 0.1
    });
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    let mut lines = log.text();
    for round in 1..=5 {
        lines += &fs::read_to_string(log.file(&format!("access.log.{round}"))).expect("a renamed file");
    }
    assert!(lines.lines().all(|line| parse(line)["status"] == 200));
    assert_eq!(lines.lines().count() as u64, tally.ok);
}

#[test]
fn a_reopen_that_fails_keeps_the_file_that_was_open() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let gateway = logging(Gateway::before(&origin), &log.path()).start();
    fs::rename(log.path(), log.file("old")).expect("rename");
    fs::create_dir(log.path()).expect("a folder in its place");
    gateway.signal(Signal::USR1);
    gateway.expect_output("that is a folder; name a file in it; the file that was open stays in use");
    gateway.get("/after").expect(200, "a");
    eventually("the line", PATIENCE, || {
        fs::read_to_string(log.file("old")).is_ok_and(|text| text.contains("/after"))
    });
}

/// A named pipe that somebody has open for reading.
fn pipe(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(nonblocking).open(path).expect("open the pipe")
}

#[test]
fn a_reader_that_does_not_read_holds_nothing_up() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let reader = pipe(&log.path());
    let mut gateway = logging(Gateway::before(&origin), &log.path()).start();
    // 8 KiB a line fill the queue soon.
    let target = format!("/{}", "x".repeat(8000));
    let load = Load::on(gateway.address()).request(get(&target)).start();
    let dropped = || gateway.metric("coregate_access_log_dropped_lines_total", &["reason=\"queue_full\""]);
    eventually("lines are dropped", PATIENCE * 3, || dropped() > 100.0);
    let answered = load.answered();
    eventually("it serves on", PATIENCE, || load.answered() > answered + 500);
    let tally = load.stop();
    assert_eq!(tally.failed, Vec::<String>::new());
    let written = gateway.metric("coregate_access_log_lines_total", &[]);
    assert!(written < 100.0, "{written} lines are more than a pipe holds");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0), "nor does it keep the process from ending");
    gateway.expect_output("not all lines could be written");
    drop(reader);
}

#[test]
fn a_reader_that_reads_again_gets_whole_lines() {
    let (origin, log) = (Origin::named("a"), Log::new());
    let mut reader = pipe(&log.path());
    let mut gateway = logging(Gateway::before(&origin), &log.path()).start();
    let tally = Load::on(gateway.address()).requests(2_000).run();
    assert_eq!(tally.ok, 2_000);
    let mut text = Vec::new();
    eventually("all lines", PATIENCE, || {
        let mut some = [0; 65536];
        while let Ok(count @ 1..) = reader.read(&mut some) {
            text.extend_from_slice(&some[..count]);
        }
        text.iter().filter(|&&byte| byte == b'\n').count() == 2_000
    });
    let text = String::from_utf8(text).expect("text");
    assert!(text.lines().all(|line| parse(line)["status"] == 200));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_full_disk_is_counted_and_warned_of_and_nothing_else() {
    let origin = Origin::named("a");
    let began = wait::now();
    let gateway = logging(Gateway::before(&origin), Path::new("/dev/full")).start();
    let lost = || gateway.metric("coregate_access_log_dropped_lines_total", &["reason=\"write_error\""]);
    for count in [10.0, 20.0] {
        for _ in 0..10 {
            gateway.get("/").expect(200, "a");
        }
        eventually("the lost lines are counted", PATIENCE, || (lost() - count).abs() < 0.1);
    }
    gateway.expect_output("access log: lines are lost");
    let warnings = gateway.output().matches("access log: lines are lost").count();
    assert!(
        warnings as u64 <= 1 + began.elapsed().as_secs() / 10,
        "{warnings}: one in ten seconds is enough"
    );
    assert!(gateway.metric("coregate_access_log_lines_total", &[]) < 0.5);
}

#[test]
fn a_file_that_cannot_be_written_is_told_at_the_start() {
    let (origin, log) = (Origin::named("a"), Log::new());
    for (path, right) in [
        (log.file("no/such/folder.log"), "No such file or directory (os error 2); create its folder"),
        (log.folder.path().to_owned(), "that is a folder; name a file in it"),
    ] {
        let finished = logging(Gateway::before(&origin), &path).start_and_finish();
        assert_eq!(finished.code, Some(1));
        let named = format!("server.access_log.path = \"{}\": cannot be opened", path.display());
        assert!(finished.output.contains(&named) && finished.output.contains(right), "{}", finished.output);
    }
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let log = Log::new();
    let origin = Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let mut gateway = logging(Gateway::before(&origin), &log.path()).start();
    gateway.get("/quick").expect(200, "a");
    let mut client = gateway.client();
    client.send(get("/slow").bytes());
    origin.expect_count(2);
    gateway.signal(Signal::TERM);
    eventually("no more connections", PATIENCE, || Client::try_connect(gateway.address()).is_err());
    origin.release();
    client.read().expect(200, "a");
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    let mut targets: Vec<String> =
        log.lines(2).iter().map(|line| parse(line)["target"].to_string()).collect();
    targets.sort();
    assert_eq!(targets, ["\"/quick\"", "\"/slow\""]);
}

#[test]
fn sigusr1_without_a_log_ends_nothing() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    gateway.signal(Signal::USR1);
    gateway.expect_output("there is no access log to reopen");
    gateway.get("/").expect(200, "a");
}
