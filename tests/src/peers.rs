//! Peers that others have made, as processes: the scripts in `tests/peers`, run by the Python that
//! `scripts/install-test-deps.sh` has prepared.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};

/// A script of `tests/peers`.
pub fn python(script: &str) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = here.join("../target/tools/python/bin/python3");
    assert!(python.exists(), "{} is missing: run scripts/install-test-deps.sh", python.display());
    let mut command = Command::new(python);
    command.arg(here.join("peers").join(script));
    command
}

/// Runs it to its end; it must succeed.
#[track_caller]
pub fn succeeded(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that ends with the test.
pub struct Peer {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Starts it, and follows what it writes.
    pub fn start(mut command: Command) -> Peer {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (out, lines) = (child.stdout.take().expect("piped"), Arc::<Mutex<Vec<String>>>::default());
        let log = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                log.lock().expect("lines").push(line);
            }
        });
        Peer { child, lines }
    }

    /// Writes it a line.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("it reads");
    }

    /// Ends its input, upon which it must end with success.
    #[track_caller]
    pub fn finish(mut self) {
        self.child.stdin.take();
        eventually("the end of the peer", PATIENCE, || self.child.try_wait().expect("its status").is_some());
        let status = self.child.wait().expect("its status");
        assert!(status.success(), "the peer ended with {status}");
    }

    /// Waits until it has written that line.
    #[track_caller]
    pub fn expect_line(&self, line: &str) {
        eventually(&format!("{line:?} from the peer"), PATIENCE, || {
            self.lines.lock().expect("lines").iter().any(|written| written == line)
        });
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A server that ends with the test.
pub struct Running(Child);

impl Running {
    /// Starts it and waits until it listens there. Its standard input stays open, for those that end with it.
    #[track_caller]
    pub fn start(command: &mut Command, port: &Port) -> Running {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let running = Running(child.expect("it runs"));
        eventually("it listens", PATIENCE, || TcpStream::connect(port.address()).is_ok());
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
