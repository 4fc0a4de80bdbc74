//! A gateway process under test: started on ports of its own, watched, signalled, and ended when the test ends.
//!
//! Each gateway holds a lock shared with all others; one that is started [`Builder::alone`] holds it exclusively, so
//! that what it measures (idle CPU, memory over thousands of connections) is not measured beside other tests.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;
use crate::config::{Config, Service, service};
use crate::message::Answer;
use crate::origin::Origin;
use crate::ports::{Port, lock_folder};
use crate::wait::{Deadline, PATIENCE, eventually};

/// A gateway before its start.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    config: Config,
    wrapper: Vec<String>,
    alone: bool,
    token: String,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    log: Log,
    web: Port,
    ops: Port,
    folder: TempDir,
    /// What it was started by.
    words: Vec<String>,
    _machine: File,
}

/// A process that has ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote on standard output and standard error.
    pub output: String,
}

impl Gateway {
    /// A gateway with that service.
    pub fn with(service: Service) -> Builder {
        Builder::default().and(service)
    }

    /// A gateway with one service `site`, whose route `/` leads to that origin.
    pub fn before(origin: &Origin) -> Builder {
        Gateway::with(service("site").route("/").node(origin))
    }

    /// A gateway with no service at all.
    pub fn empty() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.web.address()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// A new connection to it.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// New connections to a gateway of two shards: one on shard 0 and one on shard 1.
    pub fn client_on_each_shard(&self) -> [Client; 2] {
        let on = |shard: usize| self.metric("coregate_shard_connections", &[&format!("shard=\"{shard}\"")]);
        let mut found: [Option<Client>; 2] = [None, None];
        let mut spare = Vec::new();
        while found.iter().any(Option::is_none) {
            let before = [on(0), on(1)];
            let client = self.client();
            eventually("the connection is counted", PATIENCE, || on(0) + on(1) > before[0] + before[1]);
            let shard = usize::from(on(1) > before[1]);
            match &mut found[shard] {
                free @ None => *free = Some(client),
                Some(_) => spare.push(client),
            }
        }
        found.map(|client| client.expect("both are found"))
    }

    /// `GET target` on a new connection.
    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        self.client().get(target)
    }

    /// `GET target` on the ops address.
    #[track_caller]
    pub fn ops(&self, target: &str) -> Answer {
        Client::connect(self.ops.address()).get(target)
    }

    /// Where the ops endpoint is.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops.address()
    }

    /// Sum of all samples of that metric whose labels contain each of `labels` (like `code="200"`).
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.ops("/metrics").text();
        text.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the gateway takes signals");
    }

    /// Writes another configuration (same addresses) without a word to the process.
    pub fn write_config(&self, builder: &Builder) {
        self.write_text(&builder.config_for(self));
    }

    /// Writes that text as its configuration, all at once.
    pub fn write_text(&self, text: &str) {
        let fresh = self.folder.path().join("gateway.toml.new");
        fs::write(&fresh, text).expect("write the configuration");
        fs::rename(fresh, self.config_path()).expect("put the configuration in place");
    }

    /// Writes another configuration and tells the process with SIGHUP.
    pub fn reload(&self, builder: &Builder) {
        self.write_config(builder);
        self.signal(Signal::HUP);
    }

    /// Everything that it wrote so far, standard output and standard error.
    pub fn output(&self) -> String {
        self.log.text()
    }

    /// Waits until its output contains `text`.
    #[track_caller]
    pub fn expect_output(&self, text: &str) {
        eventually(&format!("{text:?} in the output"), PATIENCE, || self.output().contains(text));
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        wait_exit(&mut self.child, patience).unwrap_or_else(|| panic!("still running after {patience:?}"))
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for the gateway").is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted here.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let config = fs::read_to_string(self.config_path()).unwrap_or_default();
            eprintln!("--- configuration\n{config}--- the gateway wrote\n{}---", self.log.text());
        }
    }
}

impl Builder {
    /// And that service.
    pub fn and(mut self, service: Service) -> Builder {
        self.config.services.push(service);
        self
    }

    /// With that line in `[server]`.
    pub fn server(mut self, line: &str) -> Builder {
        self.config.server.push(line.into());
        self
    }

    /// With that line in its listener.
    pub fn listener(mut self, line: &str) -> Builder {
        self.config.listener.push(line.into());
        self
    }

    /// With that text at the end of its configuration.
    pub fn text(mut self, text: &str) -> Builder {
        self.config.rest.push(text.into());
        self
    }

    /// Without listeners and services of its own: it follows the admin at that URL, with that token.
    pub fn following(mut self, admin: &str, token: &str) -> Builder {
        self.config.admin = Some(admin.into());
        self.token = token.into();
        self
    }

    /// Started by a shell that first runs `command`, for example `ulimit -n 64`.
    pub fn after(mut self, command: &str) -> Builder {
        let script = format!("{command}; exec \"$0\" \"$@\"");
        self.wrapper = vec!["sh".into(), "-c".into(), script];
        self
    }

    /// Started by that command, which runs its arguments.
    pub fn under(mut self, command: &[&str]) -> Builder {
        self.wrapper = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// With no other gateway of any test running beside it.
    pub fn alone(mut self) -> Builder {
        self.alone = true;
        self
    }

    /// The text of this configuration for a gateway that runs already.
    pub fn config_for(&self, gateway: &Gateway) -> String {
        self.config.toml(gateway.web.address(), gateway.ops.address())
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(&self) -> Gateway {
        let mut gateway = self.spawn();
        eventually("the gateway is ready", PATIENCE, || {
            assert!(gateway.is_running(), "the gateway ended: {}", gateway.output());
            gateway.is_ready()
        });
        gateway
    }

    /// Starts it where it is expected to end by itself, and waits for that.
    #[track_caller]
    pub fn start_and_finish(&self) -> Finished {
        let mut gateway = self.spawn();
        let status = gateway.wait_exit(PATIENCE);
        eventually("the end of the output", PATIENCE, || gateway.log.is_complete());
        Finished { code: status.code(), output: gateway.output() }
    }

    fn spawn(&self) -> Gateway {
        let machine = lock_machine(self.alone);
        let (web, ops) = (Port::free(), Port::free());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("gateway.toml");
        fs::write(&path, self.config.toml(web.address(), ops.address())).expect("write the configuration");
        if self.config.admin.is_some() {
            fs::write(folder.path().join("token"), format!("{}\n", self.token)).expect("write the token");
        }
        let mut words = self.wrapper.clone();
        words.push(binary().display().to_string());
        let (child, log) = spawn(command(&words, &path));
        Gateway { child, log, web, ops, folder, words, _machine: machine }
    }

    /// Starts it and waits until its ops address answers, ready or not.
    #[track_caller]
    pub fn start_unready(&self) -> Gateway {
        let mut gateway = self.spawn();
        gateway.wait_alive();
        gateway
    }
}

fn command(words: &[String], config: &Path) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("--config").arg(config);
    command
}

impl Gateway {
    #[track_caller]
    fn wait_alive(&mut self) {
        eventually("the gateway is alive", PATIENCE, || {
            assert!(self.is_running(), "the gateway ended: {}", self.output());
            Client::try_connect(self.ops.address()).is_ok()
        });
    }

    /// Kills the process and starts it again in the same folder; waits until its ops address answers.
    #[track_caller]
    pub fn restart(&mut self) {
        self.child.kill().expect("kill the gateway");
        self.child.wait().expect("its end");
        (self.child, self.log) = spawn(command(&self.words, &self.config_path()));
        self.wait_alive();
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until /readyz says so.
    #[track_caller]
    pub fn expect_ready(&self) {
        eventually("the gateway is ready", PATIENCE, || self.is_ready());
    }

    /// Where a listener of that name listens; for those of an admin, whose ports are any free ones. Waits for it.
    #[track_caller]
    pub fn listener(&self, name: &str) -> SocketAddr {
        let mut found = None;
        eventually(&format!("the listener {name}"), PATIENCE, || {
            let nodes = self.ops("/api/v1/nodes").json();
            let listeners = nodes["listeners"].as_array().cloned().unwrap_or_default();
            let listener = listeners.iter().find(|it| it["name"] == name);
            found = listener.and_then(|it| it["address"].as_str()?.parse().ok());
            found.is_some()
        });
        found.expect("found")
    }
}

impl Gateway {
    fn is_ready(&self) -> bool {
        let Ok(mut ops) = Client::try_connect(self.ops.address()) else { return false };
        ops.try_send("GET /readyz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").is_ok()
            && ops.try_read().is_ok_and(|answer| answer.status == 200)
    }
}

/// A `coregate` process with any arguments, for its other commands.
#[derive(Debug)]
pub struct Tool {
    child: Child,
    log: Log,
}

impl Tool {
    /// Starts `coregate` with these arguments.
    pub fn start(arguments: &[&str]) -> Tool {
        let mut command = Command::new(binary());
        command.args(arguments);
        Tool::run(command)
    }

    /// Starts any other command, with its output followed.
    pub fn run(command: Command) -> Tool {
        let (child, log) = spawn(command);
        Tool { child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = wait_exit(&mut self.child, PATIENCE).expect("it ends");
        eventually("the end of the output", PATIENCE, || self.log.is_complete());
        Finished { code: status.code(), output: self.log.text() }
    }

    /// Everything that it wrote so far.
    pub fn output(&self) -> String {
        self.log.text()
    }

    /// Sends it a signal and waits for its end.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).expect("it takes signals");
        wait_exit(&mut self.child, PATIENCE).expect("it ends")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- it wrote\n{}---", self.log.text());
        }
    }
}

/// The `coregate` binary: `COREGATE_BIN`, or the one beside the test executables.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("COREGATE_BIN") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().expect("this executable has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let binary = profile.join("coregate");
    assert!(binary.exists(), "{} is missing: run `make build-for-tests`", binary.display());
    binary
}

/// What a process wrote, read by a thread for each of its two streams.
#[derive(Debug, Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn follow(&self, stream: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                log.lines.lock().expect("log").push(line);
            }
        });
    }

    fn text(&self) -> String {
        self.lines.lock().expect("log").iter().map(|line| format!("{line}\n")).collect()
    }

    /// Whether both streams have ended: their threads hold the lines, too.
    fn is_complete(&self) -> bool {
        Arc::strong_count(&self.lines) == 1
    }
}

fn spawn(mut command: Command) -> (Child, Log) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let log = Log::default();
    log.follow(child.stdout.take().expect("piped"));
    log.follow(child.stderr.take().expect("piped"));
    (child, log)
}

fn wait_exit(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Deadline::after(patience);
    while deadline.left().is_some() {
        if let Some(status) = child.try_wait().expect("wait for the process") {
            return Some(status);
        }
        crate::wait::pause(Duration::from_millis(5));
    }
    None
}

fn lock_machine(alone: bool) -> File {
    let file = File::create(lock_folder().join("machine")).expect("a lock file for the machine");
    let locked = if alone { file.lock() } else { file.lock_shared() };
    locked.expect("the machine's lock");
    file
}
