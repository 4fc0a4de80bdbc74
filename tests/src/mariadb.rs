//! A real MariaDB under test: on a port and in a folder of its own, killed, paused and started again as the test says.
//!
//! A fresh data folder takes some seconds to make, so one is made once, kept in target/tools and copied. The client of the tests is the
//! `mariadb` command, as root over the socket; what is under test connects over TCP as `coregate`, who has a password.
//!
//! With `COREGATE_TEST_MYSQLD` in the environment, the path of a `mysqld` of MySQL 8 or later, it is that one.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certs::Pair;
use crate::ports::Port;
use crate::wait::{PATIENCE, eventually};

/// What the user `coregate` says to get in.
const PASSWORD: &str = "a/b c";
/// The same in a URL.
const PASSWORD_IN_URL: &str = "a%2Fb%20c";
/// Names the server of MySQL that is taken instead of MariaDB's.
const MYSQLD: &str = "COREGATE_TEST_MYSQLD";
/// Small, as it is copied.
const LOG_SIZE: &str = "--innodb-log-file-size=8M";
/// The same, and no second protocol on a port that everybody would take.
const MYSQL_OPTIONS: [&str; 2] = ["--innodb-redo-log-capacity=8M", "--mysqlx=OFF"];

/// A server, running or not.
#[derive(Debug)]
pub struct MariaDb {
    port: Port,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl MariaDb {
    /// A server with the empty database `coregate`.
    #[track_caller]
    pub fn start() -> MariaDb {
        MariaDb::start_with(Vec::new())
    }

    /// The same, which takes connections over TCP by TLS alone.
    #[track_caller]
    pub fn with_tls(pair: &Pair) -> MariaDb {
        MariaDb::start_with(vec![
            format!("--ssl-cert={}", pair.chain.display()),
            format!("--ssl-key={}", pair.key.display()),
            "--require-secure-transport=ON".to_owned(),
        ])
    }

    /// The same, with further options of its own.
    #[track_caller]
    pub fn start_with(arguments: Vec<String>) -> MariaDb {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copied = Command::new("cp").arg("-r").arg(template()).arg(folder.path().join("data")).status();
        assert!(copied.is_ok_and(|status| status.success()), "the data folder is copied");
        let mut server = MariaDb { port: Port::free(), folder, arguments, child: None };
        server.restart();
        server.execute(
            "",
            &format!(
                "CREATE DATABASE coregate; CREATE USER coregate@'%' IDENTIFIED BY '{PASSWORD}'; \
                 GRANT ALL ON *.* TO coregate@'%'"
            ),
        );
        server
    }

    /// As `--database`, of the database `coregate`.
    pub fn url(&self) -> String {
        self.url_of("coregate")
    }

    /// As `--database`, of another database.
    pub fn url_of(&self, database: &str) -> String {
        format!("mysql://coregate:{PASSWORD_IN_URL}@{}/{database}", self.port.address())
    }

    /// Runs statements as root; what they select comes back in lines, values apart by tabs.
    #[track_caller]
    pub fn execute(&self, database: &str, sql: &str) -> String {
        let mut client = Command::new("mariadb")
            .args([
                "--no-defaults",
                "-uroot",
                "--batch",
                "--skip-column-names",
                "--default-character-set=utf8mb4",
            ])
            .arg(format!("--socket={}", self.socket().display()))
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mariadb runs (Debian package mariadb-client)");
        client.stdin.take().expect("piped").write_all(sql.as_bytes()).expect("it reads");
        let output = client.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Starts it (again) with what it had kept, and waits until it answers.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = daemon();
        command
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--port={}", self.port.number()))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"])
            .args(["--skip-log-bin", "--max-connections=50"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log);
        self.child = Some(command.spawn().expect("mariadbd runs (Debian package mariadb-server)"));
        eventually("mariadbd answers", PATIENCE, || self.is_ready());
    }

    /// Stops its process without ending it: it takes connections and does not answer.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn is_ready(&self) -> bool {
        let ping = Command::new("mariadb-admin")
            .args(["--no-defaults", "-uroot", "ping"])
            .arg(format!("--socket={}", self.socket().display()))
            .output();
        ping.is_ok_and(|output| output.status.success())
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is running");
        kill_process(Pid::from_child(child), signal).expect("it takes signals");
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- mariadbd\n{}---", self.log());
        }
    }
}

/// The server itself.
fn daemon() -> Command {
    match env::var_os(MYSQLD) {
        Some(mysqld) => server(Path::new(&mysqld), &MYSQL_OPTIONS),
        None => server(Path::new("mariadbd"), &[LOG_SIZE]),
    }
}

/// A command of the server, which stands in sbin on Debian; as whoever runs the tests.
fn server(name: &Path, options: &[&str]) -> Command {
    let in_sbin = Path::new("/usr/sbin").join(name);
    let mut command = Command::new(if in_sbin.exists() { &in_sbin } else { name });
    command.arg("--no-defaults");
    if rustix::process::getuid().is_root() {
        command.arg("--user=root");
    }
    command.args(options);
    command
}

/// A fresh data folder, made once and kept in target/tools.
fn template() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    fs::create_dir_all(&tools).expect("target/tools");
    let lock = fs::File::create(tools.join("mariadb.lock")).expect("a lock file");
    lock.lock().expect("nobody holds it for long");
    let is_mysql = env::var_os(MYSQLD).is_some();
    let template = tools.join(if is_mysql { "mysql-data" } else { "mariadb-data" });
    if !template.exists() {
        let unfinished = template.with_extension("new");
        // Of a run that was ended.
        fs::remove_dir_all(&unfinished).ok();
        let mut command = if is_mysql {
            let mut command = daemon();
            command.arg("--initialize-insecure");
            command
        } else {
            let mut command = server(Path::new("mariadb-install-db"), &[LOG_SIZE]);
            command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
            command
        };
        let output = command.arg(format!("--datadir={}", unfinished.display())).output();
        let output = output.expect("mariadb-install-db runs (Debian package mariadb-server)");
        assert!(output.status.success(), "{output:?}");
        fs::rename(unfinished, &template).expect("the folder is made");
    }
    template
}
