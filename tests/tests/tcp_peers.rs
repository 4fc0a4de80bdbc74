//! TCP services before real servers, used by their own clients: Redis and MariaDB.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use coregate_tests::ports::Port;
use coregate_tests::{Gateway, PATIENCE, Redis, eventually, service, tcp_listener};
use tempfile::TempDir;

fn before(node: SocketAddr, port: &Port) -> Gateway {
    let listener = tcp_listener(port, "service = \"db\"");
    Gateway::with(service("db").node_at(node).checked("tcp")).text(&listener).start()
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().expect("the client runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn redis_cli_finds_what_it_has_stored() {
    let (redis, port) = (Redis::start(), Port::free());
    let gateway = before(redis.address(), &port);
    let cli = |arguments: &[&str]| {
        let port = port.number().to_string();
        output(Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port]).args(arguments))
    };
    assert_eq!(cli(&["ping"]).trim(), "PONG");
    let large = "x".repeat(100_000);
    assert_eq!(cli(&["set", "key", &large]).trim(), "OK");
    assert_eq!(cli(&["get", "key"]).trim(), large);
    let counted = || gateway.metric("coregate_service_requests_total", &["service=\"db\""]);
    eventually("each connection is counted", PATIENCE, || counted() > 2.5);
    assert!(gateway.metric("coregate_service_received_bytes_total", &["service=\"db\""]) > 100_000.0);
}

/// A MariaDB server on a folder of its own, without passwords.
struct MariaDb {
    child: Child,
    port: Port,
    _folder: TempDir,
}

impl MariaDb {
    fn start() -> MariaDb {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), Port::free());
        let data = folder.path().join("data");
        let user = output(Command::new("id").arg("-un"));
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        output(install.arg(format!("--datadir={}", data.display())).arg(format!("--user={}", user.trim())));
        let mut server = Command::new("mariadbd");
        server
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["--no-defaults", "--bind-address=127.0.0.1"]);
        server.arg(format!("--user={}", user.trim())).arg(format!("--datadir={}", data.display()));
        server.arg(format!("--port={}", port.number()));
        server.arg(format!("--socket={}", folder.path().join("socket").display()));
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mariadbd runs");
        MariaDb { child, port, _folder: folder }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn mariadbs_client_finds_what_it_has_stored() {
    let (server, port) = (MariaDb::start(), Port::free());
    let _gateway = before(server.port.address(), &port);
    let client = |statements: &str| {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-u", "root", "-N", "-B"]);
        client.args(["-P", &port.number().to_string(), "-e", statements]);
        client
    };
    eventually("MariaDB answers through the gateway", PATIENCE, || {
        client("select 1").output().is_ok_and(|output| output.status.success())
    });
    output(&mut client(
        "create database d; create table d.t (n int, s longtext); insert into d.t values (7, repeat('x', 1000000))",
    ));
    assert_eq!(
        output(&mut client("select n, length(s), md5(s) from d.t")).trim(),
        output(&mut client("select 7, 1000000, md5(repeat('x', 1000000))"),).trim()
    );
    let text = output(&mut client("select s from d.t"));
    assert_eq!(text.trim().len(), 1_000_000);
}
