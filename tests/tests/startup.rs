//! What goes wrong before the gateway serves: exit code 1, and a message that says what to do about it.

use std::fs;
use std::net::TcpListener;

use coregate_tests::gateway::{Builder, Tool};
use coregate_tests::ports::Port;
use coregate_tests::{Finished, Gateway, Origin, service};

/// Checks that it ended with code 1 and said all of these.
#[track_caller]
fn expect_refusal(finished: &Finished, said: &[&str]) {
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    for words in said {
        let (output, words) = (finished.output.to_lowercase(), words.to_lowercase());
        assert!(output.contains(&words), "{words:?} is not in {output}");
    }
    assert!(!finished.output.contains("panicked"), "{}", finished.output);
}

fn site() -> Builder {
    Gateway::with(service("site").route("/").node_at(([127, 0, 0, 1], 1).into()))
}

#[test]
fn a_port_in_use_is_named() {
    let port = Port::free();
    let _taken = TcpListener::bind(port.address()).expect("bind");
    let address = port.address().to_string();
    let listener = format!("[[listeners]]\nname = \"second\"\naddress = \"{address}\"\nprotocol = \"http\"");
    expect_refusal(&site().text(&listener).start_and_finish(), &[&address, "in use"]);
}

#[test]
fn an_ops_port_in_use_is_named() {
    let port = Port::free();
    let _taken = TcpListener::bind(port.address()).expect("bind");
    let address = port.address().to_string();
    let text = format!(
        "[server]\nops_address = \"{address}\"\n[[listeners]]\nname = \"web\"\naddress = \"{}\"\nprotocol = \"http\"\n",
        Port::free().address()
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gateway.toml");
    fs::write(&file, text).expect("write");
    expect_refusal(
        &Tool::start(&["--config", file.to_str().expect("UTF-8")]).finish(),
        &[&address, "in use"],
    );
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    let listener = "[[listeners]]\nname = \"second\"\naddress = \"192.0.2.1:18080\"\nprotocol = \"http\"";
    expect_refusal(&site().text(listener).start_and_finish(), &["192.0.2.1:18080"]);
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest_known_one() {
    expect_refusal(
        &site().server("drain_timeuot = \"1s\"").start_and_finish(),
        &["drain_timeuot", "drain_timeout"],
    );
    expect_refusal(&site().listener("max_header_byte = \"1KiB\"").start_and_finish(), &["max_header_bytes"]);
}

#[test]
fn a_wrong_value_is_told_with_file_line_and_what_would_be_right() {
    let finished = site().server("drain_timeout = \"soon\"").start_and_finish();
    expect_refusal(&finished, &["gateway.toml:", "drain_timeout", "soon"]);
}

#[test]
fn a_cpu_that_is_not_there_is_named() {
    expect_refusal(&site().server("cpus = [9999]").start_and_finish(), &["9999", "cpu"]);
}

#[test]
fn a_missing_file_is_named() {
    expect_refusal(&Tool::start(&["--config", "/nowhere/gateway.toml"]).finish(), &["/nowhere/gateway.toml"]);
}

/// Runs a command under a limit of locked memory, in KiB.
fn with_memlock(kib: u32) -> Vec<String> {
    // Without CAP_IPC_LOCK the limit counts for root as well.
    let wrapper = [
        "setpriv",
        "--inh-caps=-ipc_lock,-sys_resource",
        "--bounding-set=-ipc_lock,-sys_resource",
        "sh",
        "-c",
    ];
    let is_root = rustix::process::getuid().is_root();
    let words = wrapper.into_iter().skip(if is_root { 0 } else { 3 }).map(str::to_owned);
    words.chain([format!("ulimit -l {kib}; exec \"$0\" \"$@\"")]).collect()
}

#[test]
fn too_little_memlock_is_explained() {
    let words = with_memlock(64);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    expect_refusal(&site().under(&words).start_and_finish(), &["memlock"]);
}

#[test]
fn memlock_that_does_for_some_shards_and_not_for_all_is_explained() {
    let words = with_memlock(1024);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let finished = site().server("shards = 4").under(&words).start_and_finish();
    expect_refusal(&finished, &["memlock", "4 shard(s) need 2560 KiB"]);
}

fn check(text: &str) -> Finished {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gateway.toml");
    fs::write(&file, text).expect("write");
    Tool::start(&["check", "--config", file.to_str().expect("UTF-8")]).finish()
}

const GOOD: &str = r#"
[[listeners]]
name = "web"
address = "127.0.0.1:8080"
protocol = "http"

[[services]]
name = "site"
routes = [{ path_prefix = "/" }]
nodes = [{ address = "127.0.0.1:2003" }]
"#;

#[test]
fn check_accepts_a_good_file_and_opens_nothing() {
    let origin = Origin::named("a");
    let finished = check(&GOOD.replace("127.0.0.1:8080", &origin.address().to_string()));
    assert_eq!(finished.code, Some(0), "{}", finished.output);
}

#[test]
fn check_reports_every_error_at_once_with_its_line() {
    let bad = GOOD
        .replace("\"http\"", "\"gopher\"")
        .replace("path_prefix = \"/\"", "path_prefix = \"no-slash\"")
        .replace("127.0.0.1:2003", "127.0.0.1:99999");
    let finished = check(&bad);
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    for said in ["gopher", "no-slash", "99999", "gateway.toml:5", "gateway.toml:9", "gateway.toml:10"] {
        assert!(finished.output.contains(said), "{said:?} is not in {}", finished.output);
    }
}

#[test]
fn check_reports_what_is_wrong_beyond_the_file_at_once_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").expect("write");
    let tls = format!("protocol = \"https\"\ncertificates = [{{ chain = {empty:?}, key = {empty:?} }}]");
    let bad = GOOD.replace("protocol = \"http\"", &tls);
    let finished = check(&format!("{bad}\n[stats]\nredis_url = \"redis://localhost?cluster=1\"\n"));
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    for said in ["stats.redis_url", "empty.pem"] {
        assert!(finished.output.contains(said), "{said:?} is not in {}", finished.output);
    }
}

#[test]
fn check_ends_as_ever_when_nobody_reads_what_it_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (text, code) in [(GOOD, 0), ("nonsense", 1)] {
        let file = folder.path().join("gateway.toml");
        fs::write(&file, text).expect("write");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = std::process::Command::new(coregate_tests::gateway::binary());
        let ended = command.arg("check").arg("--config").arg(&file).stdout(writer).status().expect("start");
        assert_eq!(ended.code(), Some(code));
    }
}

#[test]
fn check_names_both_of_two_equal_routes() {
    let twin = "[[services]]\nname = \"twin\"\nroutes = [{ path_prefix = \"/\" }]\nnodes = [{ address = \"127.0.0.1:1\" }]";
    let finished = check(&format!("{GOOD}\n{twin}\n"));
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    assert!(finished.output.contains("site") && finished.output.contains("twin"), "{}", finished.output);
}

#[test]
fn version_and_help_say_what_it_is() {
    let version = Tool::start(&["--version"]).finish();
    assert_eq!(
        (version.code, version.output.starts_with("coregate ")),
        (Some(0), true),
        "{}",
        version.output
    );
    let help = Tool::start(&["--help"]).finish();
    assert!(help.code == Some(0) && help.output.contains("--config"), "{}", help.output);
}

#[test]
fn a_flag_that_does_not_exist_is_refused() {
    let finished = Tool::start(&["--confg", "x"]).finish();
    assert!(finished.code.is_some_and(|code| code != 0), "{}", finished.output);
    assert!(finished.output.contains("--config"), "{}", finished.output);
}
