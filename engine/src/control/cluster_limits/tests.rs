//! The script in a real redis-server against its model, over which the simulation runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coregate_config::checked::Rate;

use super::*;
use crate::limit::cluster::model::Key;

/// A server on a socket of its own. Ends with the test.
struct Server {
    child: Child,
    connection: BufReader<UnixStream>,
    folder: std::path::PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Null,
    Error(String),
}

impl Server {
    fn start() -> Server {
        // Tests of one process run at the same time.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("coregate-lease-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("redis.sock");
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is installed: scripts/install-test-deps.sh does it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("at /")), "it listens on its socket");
        // Its log is read to the end, so that it never waits for room.
        std::thread::spawn(move || lines.for_each(drop));
        let connection = BufReader::new(UnixStream::connect(&socket).unwrap());
        connection.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Server { child, connection, folder }
    }

    fn command(&mut self, words: &[&str]) -> Value {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.connection.get_mut().write_all(text.as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match (kind, rest.parse::<i64>()) {
            (":", Ok(number)) => Value::Number(number),
            ("$" | "*", Ok(-1)) => Value::Null,
            ("$", Ok(length)) => {
                let mut text = vec![0; usize::try_from(length).unwrap() + 2];
                self.connection.read_exact(&mut text).unwrap();
                text.truncate(text.len() - 2);
                Value::Text(String::from_utf8(text).unwrap())
            }
            ("*", Ok(length)) => Value::List((0..length).map(|_| self.answer()).collect()),
            ("+", _) => Value::Text(rest.to_owned()),
            _ => Value::Error(rest.to_owned()),
        }
    }

    fn lease(&mut self, me: &str, ask: &Ask) -> Answer {
        let arguments = ask.arguments();
        let mut words = vec!["EVAL", SCRIPT, "1", "key", me];
        words.extend(arguments.iter().map(String::as_str));
        let Value::List(numbers) = self.command(&words) else { panic!("{:?}", self.command(&words)) };
        let numbers: Vec<i64> = numbers
            .into_iter()
            .map(|it| match it {
                Value::Number(number) => number,
                other => panic!("{other:?}"),
            })
            .collect();
        Answer::from_numbers(numbers.try_into().unwrap()).unwrap()
    }

    fn field(&mut self, name: &str) -> String {
        match self.command(&["HGET", "key", name]) {
            Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_script_does_what_its_model_does() {
    let seed = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()) | 1;
    println!("seed {seed}");
    let mut state = seed;
    let mut below = |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % end
    };
    let mut server = Server::start();
    let (mut expired, mut granted) = (0, 0);
    for (per_second, burst) in
        [(0.7, 1.0), (100.0, 100.0), (5_000.0, 250.5), (1e9, 1e9), (1e-9, 3.0), (50_000.0, 1.0)]
    {
        server.command(&["DEL", "key"]);
        let mut model = Key::default();
        let mut rate = Rate { requests_per_second: per_second, burst };
        for step in 0..1_000 {
            let me = ["p:a", "p:b", "p:c", "p:d"][usize::try_from(below(4)).unwrap()];
            let had = model.processes.get(me).map_or(0, |(held, ..)| *held);
            if below(50) == 0 {
                rate.burst = burst * [0.5, 1.0, 2.0][usize::try_from(below(3)).unwrap()];
            }
            if below(40) == 0 && model.tokens.is_some() {
                // As if the clock had been set back, or the server had been still for a while.
                let moved = if below(2) == 0 { model.at + 1_000_000 } else { model.at - below(2_000_000) };
                model.at = moved;
                server.command(&["HSET", "key", "at", &moved.to_string()]);
            }
            let stock = if below(10) == 0 { had + below(5) } else { had - below(had + 1) };
            let ask = Ask {
                stock,
                returned: if below(4) == 0 { below(had + 3) } else { 0 },
                need: below(3) * below(300),
                short: below(3) == 0,
                valid: Duration::from_micros([0, 300, 3_000, 10_000_000][usize::try_from(below(4)).unwrap()]),
                owed: if below(8) == 0 { below(100) } else { 0 },
                most: if below(8) == 0 { below(100) as f64 / 3.0 } else { 2e9 },
                rate,
            };
            let processes = model.processes.len();
            let answer = server.lease(me, &ask);
            let now = server.field("at").parse().unwrap();
            let expected = model.lease(me, &ask, now);
            assert_eq!(answer, expected, "seed {seed}, step {step}: {ask:?}");
            let tokens: f64 = server.field("tokens").parse().unwrap();
            assert_eq!(Some(tokens), model.tokens, "seed {seed}, step {step}: {ask:?}");
            let fields = server.command(&["HLEN", "key"]);
            assert_eq!(
                fields,
                Value::Number(2 + i64::try_from(model.processes.len()).unwrap()),
                "seed {seed}"
            );
            expired += usize::from(model.processes.len() + 1 < processes);
            granted += answer.granted;
        }
        let Value::Number(left) = server.command(&["PTTL", "key"]) else { panic!() };
        assert!(left > 60_000 - 5_000, "{left}");
    }
    assert!(expired > 10 && granted > 0, "seed {seed}: leases ended and tokens were granted");
}

#[test]
fn a_field_that_is_not_a_process_and_a_key_of_another_kind_do_no_harm() {
    let mut server = Server::start();
    let rate = Rate { requests_per_second: 10.0, burst: 10.0 };
    let valid = Duration::from_secs(10);
    let ask = Ask { stock: 0, returned: 0, need: 3, short: false, valid, owed: 0, most: 11.0, rate };
    server.command(&["HSET", "key", "p:x", "nonsense", "tokens", "5"]);
    let answer = server.lease("p:a", &ask);
    assert_eq!((answer.granted, answer.processes), (5 - 1, 1), "the share, but for the slack");
    server.command(&["DEL", "key"]);
    server.command(&["SET", "key", "1"]);
    let mut words = vec!["EVAL", SCRIPT, "1", "key", "p:a"];
    let arguments = ask.arguments();
    words.extend(arguments.iter().map(String::as_str));
    let refused = server.command(&words);
    assert!(matches!(&refused, Value::Error(words) if words.contains("WRONGTYPE")), "{refused:?}");
}
