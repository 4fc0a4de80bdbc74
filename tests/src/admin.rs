//! An admin process under test: SQLite in a folder of its own, a free port, ended when the test ends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::client::Client;
use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};

/// A running admin.
#[derive(Debug)]
pub struct Admin {
    child: Child,
    port: Port,
    folder: TempDir,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Admin {
    /// One with nothing in it, not even an account.
    #[track_caller]
    pub fn start() -> Admin {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = Port::free();
        let mut command = Command::new(binary());
        command
            .args(["--database", &database(&folder)])
            .args(["--listen", &port.address().to_string()])
            .args(["--public-url", &format!("http://{}", port.address())])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        follow(child.stdout.take().expect("piped"), &lines);
        follow(child.stderr.take().expect("piped"), &lines);
        let mut admin = Admin { child, port, folder, lines };
        eventually("the admin listens", PATIENCE, || {
            let ended = admin.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "the admin ended: {}", admin.output());
            Client::try_connect(admin.port.address()).is_ok()
        });
        admin
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        self.lines.lock().expect("lines").join("\n")
    }

    /// The link that it prints while there is no account.
    #[track_caller]
    pub fn setup_link(&self) -> String {
        let mut found = None;
        eventually("the set-up link", PATIENCE, || {
            let output = self.output();
            found = output
                .split_once("set-up link: ")
                .and_then(|(_, rest)| rest.split_whitespace().next().map(str::to_owned));
            found.is_some()
        });
        found.expect("found")
    }

    /// A new token of that role, by the command line.
    #[track_caller]
    pub fn token(&self, role: &str, name: &str) -> String {
        let mut command = Command::new(binary());
        command.args(["token", "--role", role, "--name", name, "--database", &database(&self.folder)]);
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the admin's output:\n{}", self.output());
        }
    }
}

fn database(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("admin.db").display())
}

fn follow(out: impl std::io::Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            lines.lock().expect("lines").push(line);
        }
    });
}

/// The `coregate-admin` binary: `COREGATE_ADMIN_BIN`, or the one beside the test executables.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("COREGATE_ADMIN_BIN") {
        return named.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.ancestors().nth(2).expect("target/debug/deps/test");
    profile.join("coregate-admin")
}
