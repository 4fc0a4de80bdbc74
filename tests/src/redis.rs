//! A real redis-server under test: on a port of its own, killed, paused and started again as the test says.
//!
//! What it was told it keeps (`appendonly yes`, `appendfsync always`), so that a killed server that comes back knows all
//! that it has ever confirmed. [`Redis::command`] speaks RESP over a plain connection. [`Cutter`] stands between a
//! gateway and a server and loses answers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};

/// For one answer of a server that is not paused.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// A server before its start.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    lines: Vec<String>,
    password: Option<String>,
    sentinel: bool,
}

/// A server, running or not.
#[derive(Debug)]
pub struct Redis {
    port: Port,
    builder: Builder,
    folder: TempDir,
    child: Option<Child>,
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A string.
    Text(String),
    /// A number.
    Number(i64),
    /// Several.
    List(Vec<Reply>),
    /// Nothing.
    Null,
    /// What was wrong, in the server's words.
    Error(String),
}

impl Reply {
    /// As a number; what is not there is 0.
    #[track_caller]
    pub fn number(&self) -> i64 {
        match self {
            Reply::Null => 0,
            Reply::Number(number) => *number,
            Reply::Text(text) => text.parse().unwrap_or_else(|_| panic!("{text:?} is no number")),
            other => panic!("{other:?} is no number"),
        }
    }

    /// As text.
    #[track_caller]
    pub fn text(&self) -> &str {
        match self {
            Reply::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }
}

impl Builder {
    /// With that line in its configuration.
    pub fn with(mut self, line: &str) -> Builder {
        self.lines.push(line.to_owned());
        self
    }

    /// That wants this password.
    pub fn password(mut self, password: &str) -> Builder {
        self.password = Some(password.to_owned());
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Redis {
        let mut redis = self.stopped();
        redis.restart();
        redis
    }

    /// Has a port, and is not started yet.
    pub fn stopped(self) -> Redis {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Redis { port: Port::free(), builder: self, folder, child: None }
    }
}

impl Redis {
    /// A server of default settings.
    #[track_caller]
    pub fn start() -> Redis {
        Redis::builder().start()
    }

    /// A server to be told more before its start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A Sentinel that watches `master` under the name `main`.
    #[track_caller]
    pub fn sentinel(master: &Redis) -> Redis {
        let monitor = format!("sentinel monitor main 127.0.0.1 {} 1", master.port.number());
        Builder { sentinel: true, ..Builder::default() }.with(&monitor).start()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// As `stats.redis_url`.
    pub fn url(&self) -> String {
        let password = self.builder.password.as_ref().map(|it| format!(":{it}@")).unwrap_or_default();
        format!("redis://{password}{}", self.address())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Starts it (again) with what it had kept.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let path = self.folder.path().join("redis.conf");
        fs::write(&path, self.config()).expect("write the configuration");
        let mut command = Command::new("redis-server");
        command.arg(&path);
        if self.builder.sentinel {
            command.arg("--sentinel");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server runs (Debian package redis-server)");
        self.child = Some(child);
        eventually("redis-server answers", PATIENCE, || {
            self.try_command(&["PING"]).is_some_and(|reply| reply == Reply::Text("PONG".into()))
        });
    }

    /// Stops its process without ending it: it takes connections and does not answer.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs a command.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Reply {
        self.try_command(words).unwrap_or_else(|| panic!("{words:?}: no answer; {}", self.log()))
    }

    /// All keys of that pattern.
    #[track_caller]
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let Reply::List(keys) = self.command(&["KEYS", pattern]) else { panic!("KEYS answers a list") };
        keys.iter().map(|key| key.text().to_owned()).collect()
    }

    /// The sum of all counters whose keys have that pattern.
    #[track_caller]
    pub fn sum(&self, pattern: &str) -> i64 {
        self.keys(pattern).iter().map(|key| self.command(&["GET", key]).number()).sum()
    }

    /// How often a command was called, as `INFO commandstats` says.
    #[track_caller]
    pub fn calls(&self, command: &str) -> i64 {
        let stats = self.command(&["INFO", "commandstats"]);
        let start = format!("cmdstat_{command}:calls=");
        let line = stats.text().lines().find_map(|line| line.strip_prefix(&start)?.split(',').next());
        line.map_or(0, |calls| calls.parse().expect("a number"))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }

    fn config(&self) -> String {
        let folder = self.folder.path().display();
        let mut config = format!(
            "port {}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/redis.log\ndaemonize no\n",
            self.port.number()
        );
        if !self.builder.sentinel {
            config += "appendonly yes\nappendfsync always\nsave \"\"\n";
        }
        if let Some(password) = &self.builder.password {
            config += &format!("requirepass {password}\n");
        }
        self.builder.lines.iter().for_each(|line| config += &format!("{line}\n"));
        config
    }

    fn try_command(&self, words: &[&str]) -> Option<Reply> {
        let stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE)).ok()?;
        let mut reader = BufReader::new(stream);
        if let Some(password) = &self.builder.password {
            ask(&mut reader, &["AUTH", password])?;
        }
        ask(&mut reader, words)
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is running");
        kill_process(Pid::from_child(child), signal).expect("redis-server takes signals");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- redis-server on {} wrote\n{}---", self.address(), self.log());
        }
    }
}

fn ask(reader: &mut BufReader<TcpStream>, words: &[&str]) -> Option<Reply> {
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    reader.get_mut().write_all(request.as_bytes()).ok()?;
    read_reply(reader)
}

fn read_reply(reader: &mut BufReader<TcpStream>) -> Option<Reply> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.strip_suffix("\r\n")?;
    let (kind, rest) = line.split_at_checked(1)?;
    Some(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(rest.parse().ok()?),
        "$" | "*" if rest == "-1" => Reply::Null,
        "$" => {
            let mut text = vec![0; rest.parse::<usize>().ok()? + 2];
            reader.read_exact(&mut text).ok()?;
            text.truncate(text.len() - 2);
            Reply::Text(String::from_utf8_lossy(&text).into_owned())
        }
        "*" => {
            let count: usize = rest.parse().ok()?;
            Reply::List((0..count).map(|_| read_reply(reader)).collect::<Option<_>>()?)
        }
        other => panic!("RESP has no {other:?}"),
    })
}

/// Stands between a client and a server, and cuts connections after a script was run and before its answer arrives.
pub struct Cutter {
    listener: TcpListener,
    cuts_left: Arc<AtomicUsize>,
    cut: Arc<AtomicUsize>,
}

impl Cutter {
    /// In front of that server; the answers of the first `cuts` scripts get lost.
    pub fn before(redis: &Redis, cuts: usize) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let cutter = Cutter { listener, cuts_left: Arc::new(cuts.into()), cut: Arc::default() };
        let accepting = cutter.listener.try_clone().expect("a second handle");
        let (left, cut, server) = (Arc::clone(&cutter.cuts_left), Arc::clone(&cutter.cut), redis.address());
        std::thread::spawn(move || {
            for client in accepting.incoming().map_while(Result::ok) {
                let (left, cut) = (Arc::clone(&left), Arc::clone(&cut));
                std::thread::spawn(move || relay(&client, server, &left, &cut));
            }
        });
        cutter
    }

    /// As `stats.redis_url`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.listener.local_addr().expect("it listens"))
    }

    /// How many answers got lost.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }

    /// Loses that many more.
    pub fn cut_more(&self, cuts: usize) {
        self.cuts_left.fetch_add(cuts, Ordering::SeqCst);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        // Shutting a listening socket down wakes its accept() with an error.
        socket2::SockRef::from(&self.listener).shutdown(Shutdown::Both).ok();
    }
}

fn relay(client: &TcpStream, server: SocketAddr, left: &AtomicUsize, cut: &AtomicUsize) {
    let Ok(server) = TcpStream::connect(server) else { return };
    let scripts = Arc::new(AtomicUsize::new(0));
    let (mut from, mut to) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    let seen = Arc::clone(&scripts);
    let upwards = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if buffer[..read].windows(4).any(|word| word == b"EVAL") {
                seen.store(1, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
    });
    let (mut from, mut to) = (&server, client);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        // An answer that is a list is that of a script that was run; an error is one that the server did not know.
        let was_run = scripts.swap(0, Ordering::SeqCst) == 1 && buffer[0] == b'*';
        let loses = |left: usize| left.checked_sub(1);
        if was_run && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, loses).is_ok() {
            cut.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
    upwards.join().ok();
}
