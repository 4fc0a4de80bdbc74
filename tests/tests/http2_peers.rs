//! HTTP/2 with clients that others have made: curl, nghttp, h2load, and a WebSocket client of Python's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use coregate_tests::ports::Port;
use coregate_tests::{Client, Gateway, MIB, Origin, PATIENCE, body, eventually, service};

fn run(command: &mut Command) -> (Output, String) {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e} (scripts/install-test-deps.sh)"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[track_caller]
fn succeeded(command: &mut Command) -> String {
    let (output, text) = run(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    text
}

fn curl(gateway: &Gateway, target: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--http2-prior-knowledge", "--max-time", "20"]).args(arguments);
    succeeded(command.arg(format!("http://{}{target}", gateway.address())))
}

#[test]
fn curl_gets_posts_and_is_told_errors() {
    let origin = Origin::digesting();
    let gateway = Gateway::with(service("api").route("/api").node(&origin)).start();
    let format = ["-w", "\n%{http_version} %{http_code}"];
    assert!(curl(&gateway, "/api", &format).ends_with("\n2 200"));
    assert!(curl(&gateway, "/api", &["-I", "-w", "%{http_version}"]).starts_with("HTTP/2 200"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let mut bytes = Vec::new();
    body::pattern(5 * MIB, |piece| {
        bytes.extend_from_slice(piece);
        Ok::<_, ()>(())
    })
    .unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let upload = format!("@{}", path.display());
    for more in [&[][..], &["-H", "Expect: 100-continue"], &["-H", "Content-Length:"]] {
        let arguments = [&["--data-binary", upload.as_str()], more].concat();
        assert_eq!(curl(&gateway, "/api", &arguments), body::pattern_name(5 * MIB), "{more:?}");
    }
    let error = curl(&gateway, "/nowhere", &format);
    assert!(error.contains("\"no_route\"") && error.ends_with("\n2 404"), "{error}");
    // An upgrade from HTTP/1.1 (h2c, which RFC 9113 has dropped) is not taken up.
    let upgrade = ["--http2", "-w", "\n%{http_version} %{http_code}"];
    let mut command = Command::new("curl");
    let kept =
        succeeded(command.args(["-sS"]).args(upgrade).arg(format!("http://{}/api", gateway.address())));
    assert!(kept.ends_with("\n1.1 200"), "{kept}");
    assert_eq!(origin.malformed(), Vec::<String>::new());
}

#[test]
fn nghttp_gets_many_at_once_with_trailers_padding_and_continuations() {
    let origin = Origin::that(|x| {
        let cookie = x.head().fields.get("x-long").map_or(0, str::len).to_string();
        x.answer(200, &cookie);
    });
    let gateway = Gateway::before(&origin).listener("max_header_bytes = \"64KiB\"").start();
    let url = format!("http://{}/", gateway.address());
    let long = format!("x-long: {}", "v".repeat(30_000));
    let many = ["-v", "-m", "20", "-b", "64", "--continuation", "-H", &long, &url];
    let text = succeeded(Command::new("nghttp").args(many));
    assert_eq!(text.matches(":status: 200").count(), 20, "{text}");
    assert_eq!(text.matches("30000").count(), 20, "{text}");
    assert!(text.contains("send HEADERS frame <length=44") && !text.contains("RST_STREAM"), "{text}");
    let trailer = ["--trailer", "x-sum: 5", "-d", "/etc/hostname", "-v", "-H", ":method: POST", &url];
    let text = succeeded(Command::new("nghttp").args(trailer));
    assert!(text.contains(":status: 200"), "{text}");
    assert_eq!(origin.last().trailers.get("x-sum"), Some("5"));
}

#[test]
fn h2load_sees_every_request_answered() {
    let origin = Origin::that(|x| x.answer(200, &"x".repeat(3000)));
    let gateway = Gateway::before(&origin).start();
    let url = format!("http://{}/", gateway.address());
    for window in ["16", "10"] {
        let load = ["-n", "4000", "-c", "20", "-m", "16", "-w", window, "-W", window, &url];
        let text = succeeded(Command::new("h2load").args(load));
        assert!(text.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    }
    eventually("all are counted", PATIENCE, || {
        gateway.metric("coregate_endings_total", &["cause=\"done\""]) == 8000.0
    });
}

#[test]
fn over_tls_it_is_spoken_by_whom_asks_for_it_by_alpn() {
    let origin = Origin::digesting();
    let (folder, port) = (tempfile::tempdir().unwrap(), Port::free());
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test".split(' '),
    );
    succeeded(
        openssl
            .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&chain),
    );
    let listener = format!(
        "[[listeners]]\nname = \"secure\"\naddress = \"{}\"\nprotocol = \"https\"\n\
         certificates = [{{ chain = {chain:?}, key = {key:?} }}]\n",
        port.address()
    );
    let gateway = Gateway::before(&origin).text(&listener).start();
    let url = format!("https://localhost:{}/", port.address().port());
    let mut bytes = Vec::new();
    body::pattern(3 * MIB, |piece| {
        bytes.extend_from_slice(piece);
        Ok::<_, ()>(())
    })
    .unwrap();
    let upload = folder.path().join("body");
    std::fs::write(&upload, &bytes).unwrap();
    for (asked, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", asked, "-w", "\n%{http_version}", "--cacert"]).arg(&chain);
        curl.arg("--data-binary").arg(format!("@{}", upload.display())).arg(&url);
        assert_eq!(succeeded(&mut curl), format!("{}\n{version}", body::pattern_name(3 * MIB)));
        assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
    }
    let load = succeeded(Command::new("h2load").args(["-n", "2000", "-c", "10", "-m", "16", &url]));
    assert!(load.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{load}");
    drop(gateway);
}

#[test]
fn a_websocket_of_fragments_large_and_compressed_messages() {
    let port = Port::free();
    let _origin = websocket_origin(port.address());
    let gateway = Gateway::with(service("site").route("/").node_at(port.address())).start();
    succeeded(python("websocket_over_http2.py").arg(gateway.address().port().to_string()));
    eventually("each has ended well", PATIENCE, || {
        gateway.metric("coregate_endings_total", &["cause=\"done\"", "phase=\"complete\""]) == 2.0
    });
}

/// A process that ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn websocket_origin(address: SocketAddr) -> Peer {
    let child = python("websocket_origin.py").arg(address.port().to_string()).spawn().expect("Python");
    let peer = Peer(child);
    eventually("the origin listens", PATIENCE, || Client::try_connect(address).is_ok());
    peer
}

/// A script of `tests/peers`, by the Python that `scripts/install-test-deps.sh` has prepared.
fn python(script: &str) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = here.join("../target/tools/python/bin/python3");
    assert!(python.exists(), "{} is missing: run scripts/install-test-deps.sh", python.display());
    let mut command = Command::new(python);
    command.arg(here.join("peers").join(script));
    command
}
