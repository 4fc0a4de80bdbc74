//! `make run`: two origins, an admin with the quick start's configuration and a gateway that follows it, from one script.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use coregate_tests::gateway::{self, Tool};
use coregate_tests::message::Answer;
use coregate_tests::ports::Port;
use coregate_tests::{AdminClient, Client, PATIENCE, admin, eventually, get, process};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// What the script starts, by the part of its command line that tells one from the other.
const PARTS: [&str; 4] =
    ["origin --listen", "origin --listen", "coregate-admin --database", "coregate --config"];

struct Ports {
    web: Port,
    ops: Port,
    admin: Port,
    origins: [Port; 2],
}

impl Ports {
    fn free() -> Ports {
        let port = Port::free;
        Ports { web: port(), ops: port(), admin: port(), origins: [port(), port()] }
    }

    /// Starts the script; its folder is made in `folder`.
    fn run(&self, folder: &Path) -> Tool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/run.sh");
        let mut command = Command::new(script);
        let [first, second] = &self.origins;
        command
            .args(["--listen", &self.web.address().to_string(), "--ops", &self.ops.address().to_string()])
            .args(["--origins", &format!("{},{}", first.number(), second.number())])
            .args(["--admin", &self.admin.address().to_string()])
            .env("COREGATE_BIN", gateway::binary())
            .env("COREGATE_ADMIN_BIN", admin::binary())
            .env("COREGATE_ADMIN_DATABASE", "mysql://somebody@else.invalid/s")
            .env("TMPDIR", folder);
        Tool::run(command)
    }

    fn ask(&self, target: &str) -> Option<Answer> {
        let mut client = Client::try_connect(self.web.address()).ok()?;
        client.try_send(get(target).bytes()).ok()?;
        client.try_read().ok()
    }

    /// Waits until the script says that all is ready; the set-up link that it says.
    #[track_caller]
    fn expect_ready(&self, run: &Tool) -> String {
        eventually("it says how to stop", PATIENCE, || run.output().contains("stop "));
        let output = run.output();
        for told in [
            format!("http://{}\n", self.web.address()),
            format!("http://{}  http://{}\n", self.origins[0].address(), self.origins[1].address()),
            format!("http://{}/metrics\n", self.ops.address()),
            format!("curl http://{}/test_http_1/test\n", self.web.address()),
        ] {
            assert!(output.contains(&told), "{told:?} is not in {output}");
        }
        let start = format!("http://{}/#/setup?token=", self.admin.address());
        let link = output.split_whitespace().find(|word| word.starts_with(&start));
        link.unwrap_or_else(|| panic!("no {start}... in {output}")).to_owned()
    }
}

/// Process ids of all that it has started.
#[track_caller]
fn parts(run: &Tool) -> Vec<u32> {
    // What it runs itself, the one moment that takes, is not of them.
    let mut children = process::children(run.pid());
    children.retain(|(_, line)| PARTS.iter().any(|part| line.contains(part)));
    for part in PARTS {
        assert!(children.iter().any(|(_, line)| line.contains(part)), "no {part} in {children:?}");
    }
    assert_eq!(children.len(), PARTS.len(), "{children:?}");
    children.into_iter().map(|(pid, _)| pid).collect()
}

#[track_caller]
fn expect_gone(pids: &[u32], folder: &Path) {
    let left: Vec<&u32> = pids.iter().filter(|&&pid| process::runs(pid)).collect();
    assert!(left.is_empty(), "still there: {left:?}");
    assert_eq!(std::fs::read_dir(folder).expect("the folder").count(), 0, "its own folder is removed");
}

#[test]
fn both_origins_are_served_and_what_is_saved_at_the_admin_is_in_force_at_once() {
    let (ports, folder) = (Ports::free(), tempfile::tempdir().expect("a folder"));
    let run = ports.run(folder.path());
    let link = ports.expect_ready(&run);
    let texts: BTreeSet<String> =
        (0..20).filter_map(|_| ports.ask("/test_http_1/test")).map(|answer| answer.text()).collect();
    let expected = ports.origins.each_ref().map(|it| format!("GET /test answered by {}\n", it.address()));
    assert_eq!(texts, BTreeSet::from(expected));

    let alice = AdminClient::new(ports.admin.address()).set_up(&link);
    let service = alice.get("/services/test_http_1").expect(200).json()["item"].clone();
    let mut body = service["body"].clone();
    body["routes"][0]["path_prefix"] = json!("/moved");
    alice.put("/services/test_http_1", &json!({ "body": body, "version": service["version"] })).expect(200);
    eventually("the gateway serves what was saved", PATIENCE, || {
        ports.ask("/moved/test").is_some_and(|answer| answer.status == 200)
    });
    // Another shard may be a moment behind.
    eventually("nothing is served where it was", PATIENCE, || {
        ports.ask("/test_http_1/test").is_some_and(|answer| answer.status == 404)
    });
    eventually("the admin shows the gateway", PATIENCE, || {
        alice.get("/instances").expect(200).json()[0]["revision_applied"] == 2
    });
}

#[test]
fn a_signal_ends_everything_and_it_can_be_started_again() {
    let (ports, folder) = (Ports::free(), tempfile::tempdir().expect("a folder"));
    for signal in [Signal::INT, Signal::TERM] {
        let run = ports.run(folder.path());
        ports.expect_ready(&run);
        let pids = parts(&run);
        assert_eq!(run.end(signal).code(), Some(0), "{signal:?}");
        expect_gone(&pids, folder.path());
    }
}

#[test]
fn when_one_part_ends_the_others_do_and_the_reason_is_said() {
    let (ports, folder) = (Ports::free(), tempfile::tempdir().expect("a folder"));
    let run = ports.run(folder.path());
    ports.expect_ready(&run);
    let pids = parts(&run);
    let admin = process::children(run.pid()).into_iter().find(|(_, line)| line.contains(PARTS[2]));
    let (admin, _) = admin.expect("the admin");
    let admin = i32::try_from(admin).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(admin, Signal::KILL).expect("a signal");
    let finished = run.finish();
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    assert!(finished.output.contains("admin has ended with code 137"), "{}", finished.output);
    expect_gone(&pids, folder.path());
}

#[test]
fn nothing_is_left_when_the_script_is_killed() {
    let (ports, folder) = (Ports::free(), tempfile::tempdir().expect("a folder"));
    let run = ports.run(folder.path());
    ports.expect_ready(&run);
    let pids = parts(&run);
    run.end(Signal::KILL);
    eventually("all have ended", PATIENCE, || !pids.iter().any(|&pid| process::runs(pid)));
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_chooses_another() {
    let (ports, folder) = (Ports::free(), tempfile::tempdir().expect("a folder"));
    let _web = TcpListener::bind(ports.web.address()).expect("bind");
    let _second = TcpListener::bind(ports.origins[1].address()).expect("bind");
    let finished = ports.run(folder.path()).finish();
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    for (what, port, flag) in
        [("gateway", &ports.web, "--listen"), ("second origin", &ports.origins[1], "--origins")]
    {
        let told =
            format!("port {} is taken ({what}, {}); choose another by {flag}", port.number(), port.address());
        assert!(finished.output.contains(&told), "{told:?} is not in {}", finished.output);
    }
    assert!(!finished.output.contains(&ports.ops.number().to_string()), "{}", finished.output);
    assert!(finished.output.contains("make run RUN_FLAGS="), "{}", finished.output);
}
