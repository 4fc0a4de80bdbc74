//! Live reload: a new configuration takes over without a dropped connection or a failed request; a bad one changes
//! nothing and says why.

use std::process::Command;

use coregate_tests::gateway::Builder;
use coregate_tests::ports::Port;
use coregate_tests::{Broken, Client, Gateway, Load, Origin, PATIENCE, eventually, get, service};
use rustix::process::Signal;

/// Waits until both shards answer with that text.
#[track_caller]
fn expect_everywhere(gateway: &Gateway, text: &str) {
    eventually(&format!("{text:?} on every shard"), PATIENCE, || {
        (0..20).all(|_| gateway.get("/").text().contains(text))
    });
}

#[test]
fn sighup_loads_the_file_again() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::before(&a).start();
    let mut before = gateway.client();
    before.get("/").expect(200, "a");
    gateway.reload(&Gateway::before(&b));
    expect_everywhere(&gateway, "b");
    before.get("/").expect(200, "b");
}

#[test]
fn a_changed_file_is_loaded_without_a_signal() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::before(&a).start();
    gateway.write_config(&Gateway::before(&b));
    expect_everywhere(&gateway, "b");
    // Once more, written in place as an editor might.
    let first = Gateway::before(&a).text("# written in place").config_for(&gateway);
    std::fs::write(gateway.config_path(), first).expect("write the configuration");
    expect_everywhere(&gateway, "a");
}

#[test]
fn reloads_under_load_fail_no_request_and_drop_no_connection() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::before(&a).start();
    let load = Load::on(gateway.address()).connections(16).start();
    for turn in 0..20 {
        let origin = if turn % 2 == 0 { &b } else { &a };
        let seen = origin.count();
        gateway.reload(&Gateway::before(origin));
        eventually("load on the new node", PATIENCE, || origin.count() > seen + 50);
    }
    let tally = load.stop();
    assert_eq!(tally.failed, Vec::<String>::new());
    assert_eq!((tally.closed_idle, tally.closed_by_word), (0, 0));
    assert!(tally.bodies.contains_key("a") && tally.bodies.contains_key("b"));
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let load = Load::on(gateway.address()).connections(4).start();
    for (bad, complaint) in [
        (Gateway::before(&origin).listener("max_header_byte = \"1KiB\""), "max_header_bytes"),
        (Gateway::before(&origin).text("this is not TOML"), "gateway.toml"),
        (Gateway::before(&origin).server("drain_timeout = \"soon\""), "drain_timeout"),
        (Gateway::before(&origin).and(service("twin").route("/").node(&origin)), "twin"),
    ] {
        gateway.reload(&bad);
        gateway.expect_output(complaint);
    }
    gateway.get("/").expect(200, "a");
    assert_eq!(gateway.ops("/readyz").status, 200);
    let tally = load.stop();
    assert_eq!((tally.failed.len(), tally.closed_idle), (0, 0));
}

#[test]
fn a_request_in_flight_ends_on_its_old_node() {
    let old = Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "old");
    });
    let new = Origin::named("new");
    let gateway = Gateway::before(&old).start();
    let mut client = gateway.client();
    client.send(get("/slow").bytes());
    old.expect_count(1);
    gateway.reload(&Gateway::before(&new));
    expect_everywhere(&gateway, "new");
    old.release();
    client.read().expect(200, "old");
    client.get("/").expect(200, "new");
}

#[test]
fn a_node_that_is_switched_off_finishes_what_it_has() {
    let a = Origin::named("a");
    let b = Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "b");
    });
    let both = |b_enabled: bool| {
        let keys = format!("enabled = {b_enabled}");
        Gateway::with(service("site").route("/").node(&a).node_with(b.address(), &keys).policy("round_robin"))
    };
    let gateway = both(true).start();
    let mut clients: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = gateway.client();
            client.send(get("/").bytes());
            client
        })
        .collect();
    b.expect_count(1);
    gateway.reload(&both(false));
    let seen = b.count();
    eventually("no more for the node that is off", PATIENCE, || {
        (0..20).all(|_| gateway.get("/").text() == "a")
    });
    assert!(b.count() <= seen + 8);
    b.release();
    let names: Vec<String> = clients.iter_mut().map(|client| client.read().text()).collect();
    assert!(names.iter().any(|name| name == "b"), "{names:?}");
}

#[test]
fn upstream_connections_of_nodes_that_stay_are_kept() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.get("/").expect(200, "a");
    let accepted = origin.accepted();
    let changed = service("site")
        .route("/")
        .node(&origin)
        .with("headers.response = [{ set = \"x-rev\", value = \"2\" }]");
    gateway.reload(&Gateway::with(changed));
    eventually("the new rules", PATIENCE, || client.get("/").field("x-rev") == Some("2"));
    assert_eq!(origin.accepted(), accepted, "no new upstream connection");
}

fn second_listener(port: &Port) -> String {
    format!("[[listeners]]\nname = \"second\"\naddress = \"{}\"\nprotocol = \"http\"\n", port.address())
}

#[test]
fn listeners_come_and_go() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut first = gateway.client();
    first.get("/").expect(200, "a");
    let port = Port::free();
    gateway.reload(&Gateway::before(&origin).text(&second_listener(&port)));
    eventually("the new listener takes connections", PATIENCE, || {
        Client::try_connect(port.address()).is_ok()
    });
    for _ in 0..20 {
        Client::connect(port.address()).get("/").expect(200, "a");
    }
    let mut second = Client::connect(port.address());
    second.get("/").expect(200, "a");
    gateway.reload(&Gateway::before(&origin));
    eventually("it is closed again", PATIENCE, || Client::try_connect(port.address()).is_err());
    // Its connections end well, now or after one more answer.
    if second.try_send(get("/").bytes()).is_ok() {
        match second.try_read() {
            Ok(answer) => {
                answer.expect(200, "a");
            }
            Err(broken) => assert!(matches!(broken, Broken::Closed | Broken::Failed(_, false)), "{broken:?}"),
        }
    }
    first.get("/").expect(200, "a");
}

#[test]
fn a_listener_whose_port_is_taken_changes_nothing() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let port = Port::free();
    let _taken = std::net::TcpListener::bind(port.address()).expect("bind");
    let rest = service("rest").route("/more").node(&origin);
    gateway.reload(&Gateway::before(&origin).and(rest).text(&second_listener(&port)));
    gateway.expect_output(&port.address().to_string());
    gateway.get("/").expect(200, "a");
}

#[test]
fn what_needs_a_restart_says_so() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    gateway.reload(&Gateway::before(&origin).server("max_connections = 77"));
    gateway.expect_output("restart");
    gateway.get("/").expect(200, "a");
}

#[test]
fn a_storm_of_signals_is_survived() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::before(&a).start();
    let load = Load::on(gateway.address()).connections(4).start();
    for _ in 0..200 {
        gateway.signal(Signal::HUP);
    }
    gateway.reload(&Gateway::before(&b));
    expect_everywhere(&gateway, "b");
    let tally = load.stop();
    assert_eq!((tally.failed, tally.closed_idle), (Vec::new(), 0));
}

/// Memory must not grow with every reload: what the shards no longer use goes.
#[test]
fn many_reloads_leave_nothing_behind() {
    let origin = Origin::named("a");
    let many = |revision: usize| -> Builder {
        let services =
            (0..200).map(|n| service(&format!("s{n}")).route(format!("/s{n}").as_str()).node(&origin));
        let rule = format!("headers.response = [{{ set = \"x-rev\", value = \"{revision}\" }}]");
        let site = service("site").route("/").node(&origin).with(&rule);
        services.fold(Gateway::with(site), Builder::and)
    };
    let gateway = many(0).start();
    let reload = |revision: usize| {
        gateway.reload(&many(revision));
        let wanted = revision.to_string();
        eventually("the revision", PATIENCE, || gateway.get("/").field("x-rev") == Some(wanted.as_str()));
    };
    (1..10).for_each(reload);
    let before = coregate_tests::process::rss_bytes(gateway.pid());
    (10..50).for_each(reload);
    let grown = coregate_tests::process::rss_bytes(gateway.pid()).saturating_sub(before);
    assert!(grown < 8 * coregate_tests::MIB, "memory grew by {} KiB over 40 reloads", grown / 1024);
}

#[test]
fn curl_sees_nothing_of_a_reload() {
    let origin = Origin::that(|x| x.answer_pattern(1_000_000));
    let gateway = Gateway::before(&origin).start();
    let url = format!("http://{}/", gateway.address());
    let mut curl = Command::new("curl")
        .args(["-sS", "--max-time", "30", "--fail", "--limit-rate", "2M", "-o", "/dev/null", &url])
        .spawn()
        .expect("curl runs (make test installs it)");
    origin.expect_count(1);
    for _ in 0..5 {
        gateway.reload(&Gateway::before(&origin).text("# again"));
    }
    assert!(curl.wait().expect("curl ends").success());
}
