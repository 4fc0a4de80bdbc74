//! A gogate database becomes a configuration that does what gogate did: read out of a real MariaDB, imported as one revision,
//! exported, and served by a real engine.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};

use coregate_tests::gateway::{Tool, binary};
use coregate_tests::ports::Port;
use coregate_tests::{Client, MariaDb, Origin, PATIENCE, eventually, get};

/// The database of tests/data, and where its services are to listen and to go.
struct Sample {
    server: MariaDb,
    web: Port,
    tcp: Port,
    _grpc: Port,
    origins: [Origin; 2],
}

impl Sample {
    fn new() -> Self {
        let (web, tcp, grpc) = (Port::free(), Port::free(), Port::free());
        let origins = [Origin::named("one"), Origin::named("two")];
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gogate.sql");
        let mut sql = fs::read_to_string(script).expect("it is there");
        for (place, value) in [
            ("@HTTP@", origins[0].address().to_string()),
            ("@HTTP2@", origins[1].address().to_string()),
            ("@ECHO@", origins[0].address().to_string()),
            ("@TCP@", tcp.number().to_string()),
            ("@GRPC@", grpc.number().to_string()),
        ] {
            assert!(sql.contains(place), "{place}");
            sql = sql.replace(place, &value);
        }
        let server = MariaDb::start();
        server.execute("", "CREATE DATABASE gateway CHARACTER SET utf8");
        server.execute("gateway", &sql);
        Self { server, web, tcp, _grpc: grpc, origins }
    }

    fn url(&self) -> String {
        self.server.url_of("gateway")
    }

    /// `import gogate` of it, on the addresses of this test.
    fn import(&self, admin: &Admin, more: &[&str]) -> Output {
        let (url, web) = (self.url(), self.web.address().to_string());
        let flags = ["import", "gogate", "--mysql", &url, "--http-listener", &web, "--bind", "127.0.0.1"];
        admin.run(&[&flags[..], more].concat())
    }
}

/// coregate-admin with a database of its own.
struct Admin(tempfile::TempDir);

impl Admin {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(binary().with_file_name("coregate-admin"))
            .args(arguments)
            .env("COREGATE_ADMIN_DATABASE", format!("sqlite:{}", self.0.path().join("admin.db").display()))
            .output()
            .expect("coregate-admin runs")
    }

    /// Exports what is in force into a file with an ops address.
    fn export(&self, ops: SocketAddr) -> std::path::PathBuf {
        let file = self.0.path().join("export.toml");
        succeeded(&self.run(&["export", &file.display().to_string()]));
        let text = fs::read_to_string(&file).expect("it was written");
        fs::write(&file, format!("server.ops_address = \"{ops}\"\n{text}")).expect("a folder of the test");
        file
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}{err}", output.status);
    out.into_owned()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

struct Engine {
    web: SocketAddr,
    ops: Port,
    _tool: Tool,
}

impl Engine {
    fn start(sample: &Sample, admin: &Admin) -> Self {
        let ops = Port::free();
        let file = admin.export(ops.address());
        let tool = Tool::start(&["--config", &file.display().to_string()]);
        eventually("the engine is ready", PATIENCE, || {
            let Ok(mut client) = Client::try_connect(ops.address()) else { return false };
            client.try_send(get("/readyz").bytes()).is_ok()
                && client.try_read().is_ok_and(|answer| answer.status == 200)
        });
        Self { web: sample.web.address(), ops, _tool: tool }
    }

    fn ask(&self, target: &str) -> coregate_tests::Answer {
        Client::connect(self.web).get(target)
    }

    fn ask_with(&self, request: &coregate_tests::Request) -> coregate_tests::Answer {
        Client::connect(self.web).ask(request)
    }

    fn ask_from(&self, source: &str, request: &coregate_tests::Request) -> coregate_tests::Answer {
        let source: IpAddr = source.parse().expect("an address");
        Client::connect_from(source, self.web).expect("it connects").ask(request)
    }
}

#[test]
fn what_gogate_served_is_served_as_it_was() {
    let sample = Sample::new();
    let admin = Admin::new();
    succeeded(&sample.import(&admin, &[]));
    let engine = Engine::start(&sample, &admin);
    let [one, two] = &sample.origins;

    // Prefix, stripped and rewritten; two nodes by weight, the forbidden one never; header rules.
    for _ in 0..20 {
        let request = get("/test_http_1/old/a?q=1").field("x-secret", "s").field("x-gateway", "client's");
        assert_eq!(engine.ask_with(&request).status, 200);
    }
    assert!(one.count() > 0 && two.count() > 0);
    assert_eq!(one.count() + two.count(), 20, "the forbidden node got one");
    let seen = one.last();
    assert_eq!(seen.line(), "GET /new/a?q=1");
    assert_eq!((seen.field("x-gateway"), seen.field("x-secret")), (Some("gogate"), None));

    // By host, whose prefix is any; and the service with the empty prefix takes the rest.
    let by_host = get("/anything").field("host", "www.test.com");
    assert_eq!(engine.ask_with(&by_host).text(), "one");
    assert_eq!(engine.ask("/elsewhere").text(), "two");
    assert_eq!(engine.ask("/spaces").text(), "one", "the service whose name broke the rules");

    // A white list switches the black list off; lists without open_auth have no effect.
    let tenant = "Basic YXBwX2lkX2E6NDQ5NDQxZWI1ZTcyZGNhOWM0MmExMmYzOTI0ZWEzYTI=";
    let white = get("/test_white").field("authorization", tenant);
    assert_eq!(engine.ask_with(&white).status, 200);
    assert_eq!(engine.ask_from("127.0.0.2", &white).status, 200);
    engine.ask_from("127.0.0.3", &white).expect_error(403, "ip_denied");
    engine.ask("/test_black").expect_error(403, "ip_denied");
    assert_eq!(engine.ask("/test_lists_off").status, 200);

    // One request a second for each client, three at once.
    let answers: Vec<u16> = (0..10).map(|_| engine.ask("/test_limit").status).collect();
    assert_eq!(answers[..3], [200, 200, 200]);
    assert!(answers[3..].contains(&429), "{answers:?}");

    // open_auth asks for a tenant, who has the secret that it had and calls from where it may.
    engine.ask("/test_tenant").expect_error(401, "tenant_required");
    assert_eq!(engine.ask_with(&get("/test_tenant").field("authorization", tenant)).status, 200);
    let elsewhere = "Basic YXBwX2lkX2I6OGQ3YjExZWM5YmUwZTU5YTM2YjUyZjMyMzY2YzA5Y2I=";
    engine.ask_with(&get("/test_tenant").field("authorization", elsewhere)).expect_error(403, "ip_denied");

    // A TCP service on its own port.
    assert_eq!(Client::connect(sample.tcp.address()).get("/over/tcp").text(), "one");
    assert_eq!(one.last().line(), "GET /over/tcp");
    drop(engine.ops);
}

#[test]
fn an_import_tells_what_is_not_as_it_was_and_is_one_revision() {
    let sample = Sample::new();
    let admin = Admin::new();
    let dry = succeeded(&sample.import(&admin, &["--dry-run"]));
    assert!(dry.contains("dry run: 4 listeners, 12 services, 2 tenants would change"), "{dry}");
    for told in [
        "service \"test_http_1\": header_transfor has \"broken\"",
        "upstream_header_timeout = 3000 counts seconds and looks like milliseconds",
        "service \"name-with-spaces\": was \"name with spaces\" in gogate",
        "service \"test_tcp_again\": its port",
        "service \"test_empty\": its path prefix is empty",
        "service \"test_white\": black_list \"127.0.0.1\" did not apply",
        "service \"test_lists_off\": open_auth = 0",
        "gateway_service_info: 1 deleted rows",
        "gateway_service_http_rule: 1 rows are of services that are not there",
        "gogate: a burst of three times the rate",
    ] {
        assert!(dry.contains(told), "{told:?} is not in\n{dry}");
    }
    assert!(!dry.contains("449441eb5e72dca9c42a12f3924ea3a2"), "a secret was printed");
    let done = succeeded(&sample.import(&admin, &[]));
    assert!(done.contains("revision 1: 4 listeners, 12 services, 2 tenants changed"), "{done}");
    let again = succeeded(&sample.import(&admin, &[]));
    assert!(again.contains("nothing changed, 18 unchanged"), "{again}");

    // What is exported is what was imported, and nothing of the secrets.
    let text = succeeded(&admin.run(&["export"]));
    assert!(!text.contains("449441eb5e72dca9c42a12f3924ea3a2") && text.contains("secret_sha256"));
    let other = Admin::new();
    let file = other.0.path().join("gateway.toml");
    fs::write(&file, &text).expect("a folder of the test");
    let file = file.display().to_string();
    let imported = succeeded(&other.run(&["import", "file", &file]));
    assert!(imported.contains("revision 1: 4 listeners, 12 services, 2 tenants changed"), "{imported}");
    let same = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert_eq!(same(&succeeded(&other.run(&["export"]))), same(&text));
    let twice = succeeded(&admin.run(&["import", "file", &file]));
    assert!(twice.contains("nothing changed"), "{twice}");
}

#[test]
fn what_is_missing_in_a_database_is_named() {
    let sample = Sample::new();
    let admin = Admin::new();
    let server = &sample.server;
    server.execute(
        "gateway",
        "ALTER TABLE gateway_app CHANGE qps rate int; DROP TABLE gateway_service_tcp_rule",
    );
    let why = refused(&sample.import(&admin, &[]));
    assert!(why.contains("database gateway has no table gateway_service_tcp_rule"), "{why}");
    server.execute(
        "gateway",
        "CREATE TABLE gateway_service_tcp_rule (id int, service_id int, port varchar(9))",
    );
    let why = refused(&sample.import(&admin, &[]));
    assert!(why.contains("has no column gateway_app.qps"), "{why}");
    server.execute(
        "gateway",
        "ALTER TABLE gateway_app CHANGE rate qps int; INSERT INTO gateway_service_tcp_rule VALUES (7, 41, 'x')",
    );
    let why = refused(&sample.import(&admin, &[]));
    assert!(why.contains("gateway_service_tcp_rule.port of the row with id 7 is no whole number"), "{why}");

    let url = "mysql://coregate:wrong@127.0.0.1:1/gateway";
    let why = refused(&admin.run(&["import", "gogate", "--mysql", url]));
    assert!(why.contains("127.0.0.1:1/gateway cannot be connected to") && !why.contains("wrong"), "{why}");
    assert!(!admin.0.path().join("admin.db").exists(), "nothing was imported, no database was made for it");
}

#[test]
fn a_file_is_imported_whole_or_not_at_all() {
    let admin = Admin::new();
    let file = admin.0.path().join("gateway.toml");
    let import = |text: &str, more: &[&str]| {
        fs::write(&file, text).expect("a folder of the test");
        admin.run(&[&["import", "file", file.to_str().expect("text")], more].concat())
    };
    let service = |name: &str, prefix: &str| {
        format!(
            "[[services]]\nname = \"{name}\"\nroutes = [{{ path_prefix = \"{prefix}\" }}]\n\
             nodes = [{{ address = \"127.0.0.1:1\" }}]\n"
        )
    };
    succeeded(&import(&(service("a", "/a") + &service("b", "/b") + "[stats]\ntimezone = \"UTC\"\n"), &[]));
    let why = refused(&import(&(service("c", "/c") + "weigth = 1\n"), &[]));
    assert!(why.contains("gateway.toml:5") && why.contains("weigth"), "{why}");
    let why = refused(&import(&(service("c", "/c") + &service("d", "/a")), &[]));
    assert!(why.contains("nothing was imported") && why.contains("/a"), "{why}");
    let exported = || succeeded(&admin.run(&["export"]));
    assert!(!exported().contains("\"c\""));

    let replaced = succeeded(&import(&service("c", "/a"), &["--replace", "--message", "anew"]));
    assert!(
        replaced.contains("delete service \"a\"") && replaced.contains("create service \"c\""),
        "{replaced}"
    );
    let text = exported();
    assert!(text.contains("revision 2") && text.contains("\"c\"") && !text.contains("\"b\""), "{text}");
}
