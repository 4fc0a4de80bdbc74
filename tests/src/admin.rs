//! An admin process under test: SQLite in a folder of its own or a MariaDB of its own, a free port, ended when the test ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::admin_client::AdminClient;
use crate::client::Client;
use crate::mariadb::MariaDb;
use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};

/// The first account's name.
pub const FIRST_NAME: &str = "alice";
/// The first account's password.
pub const FIRST_PASSWORD: &str = "correct horse battery";

/// Makes two tests of each scenario, an `fn(Builder)`: on SQLite and on a real MariaDB.
#[macro_export]
macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => {
        mod on_sqlite {
            $( #[test]
            fn $scenario() { super::$scenario($crate::Admin::builder()); } )*
        }
        mod on_mariadb {
            $( #[test]
            fn $scenario() { super::$scenario($crate::Admin::builder().on_mariadb()); } )*
        }
    };
}

/// A running admin.
#[derive(Debug)]
pub struct Admin {
    child: Child,
    port: Port,
    folder: TempDir,
    lines: Arc<Mutex<Vec<String>>>,
    builder: Builder,
}

impl Admin {
    /// One with nothing in it, not even an account.
    #[track_caller]
    pub fn start() -> Admin {
        Admin::builder().start()
    }

    /// One that is told more.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its folder: the database, the key.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the first account by the link that it prints: `alice`, an admin.
    #[track_caller]
    pub fn set_up(&self) -> AdminClient {
        self.client().set_up(&self.setup_link())
    }

    /// Somebody who has not logged in.
    pub fn client(&self) -> AdminClient {
        AdminClient::new(self.address())
    }

    /// A program with a new token of that role.
    #[track_caller]
    pub fn program(&self, role: &str) -> AdminClient {
        self.client().with_token(&self.token(role, &format!("test-{role}")))
    }

    /// Ends it by SIGTERM, which it must obey, and starts it again with the same database.
    #[track_caller]
    pub fn restart(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("a signal");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "SIGTERM: {status}\n{}", self.output());
        self.spawn();
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill the admin");
        self.child.wait().expect("its end");
    }

    /// Starts it again after [`Admin::kill`], on the same port with the same database.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn();
    }

    #[track_caller]
    fn spawn(&mut self) {
        let mut command = self.builder.command(&self.folder, &self.port);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        follow(child.stdout.take().expect("piped"), &self.lines);
        follow(child.stderr.take().expect("piped"), &self.lines);
        self.child = child;
        self.listens();
    }

    #[track_caller]
    fn listens(&mut self) {
        eventually("the admin listens", PATIENCE, || {
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "the admin ended: {}", self.output());
            Client::try_connect(self.port.address()).is_ok()
        });
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
        let output = self.run(&["token", "--role", role, "--name", name]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A command on its database.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .args(["--database", &self.builder.url(&self.folder)])
            .envs(self.builder.environment.iter().cloned());
        command
    }

    /// Runs a command on its database.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Its server, if it has one.
    #[track_caller]
    pub fn server(&self) -> MutexGuard<'_, MariaDb> {
        self.builder.server.as_ref().expect("it is on MariaDB").lock().expect("nobody panicked")
    }

    /// What it is started with from the next start on.
    pub fn change(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.builder = change(std::mem::take(&mut self.builder));
    }
}

/// What an admin is started with.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    database: Option<String>,
    server: Option<Arc<Mutex<MariaDb>>>,
}

impl Builder {
    /// Another argument.
    pub fn argument(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.into());
        self
    }

    /// A variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Another database than SQLite in its folder.
    pub fn database(mut self, url: &str) -> Builder {
        self.database = Some(url.into());
        self
    }

    /// On a MariaDB that goes away with it.
    #[track_caller]
    pub fn on_mariadb(mut self) -> Builder {
        self.server = Some(Arc::new(Mutex::new(MariaDb::start())));
        self.variable("COREGATE_ADMIN_KEY", &"5a".repeat(32))
    }

    fn url(&self, folder: &TempDir) -> String {
        match (&self.database, &self.server) {
            (Some(url), _) => url.clone(),
            (None, Some(server)) => server.lock().expect("nobody panicked").url(),
            (None, None) => format!("sqlite:{}", folder.path().join("admin.db").display()),
        }
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Admin {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = Port::free();
        let mut command = self.command(&folder, &port);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        follow(child.stdout.take().expect("piped"), &lines);
        follow(child.stderr.take().expect("piped"), &lines);
        let mut admin = Admin { child, port, folder, lines, builder: self };
        admin.listens();
        admin
    }

    fn command(&self, folder: &TempDir, port: &Port) -> Command {
        let mut command = Command::new(binary());
        let scheme = if self.arguments.iter().any(|it| it == "--tls-key") { "https" } else { "http" };
        command
            .args(["--database", &self.url(folder)])
            .args(["--listen", &port.address().to_string()])
            .args(["--public-url", &format!("{scheme}://{}", port.address())])
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
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

fn follow(out: impl std::io::Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            lines.lock().expect("lines").push(line);
        }
    });
}

/// The `coregate-admin` binary: `COREGATE_ADMIN_BIN`, or the one beside the test executables.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("COREGATE_ADMIN_BIN") {
        return named.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.ancestors().nth(2).expect("target/debug/deps/test");
    profile.join("coregate-admin")
}
