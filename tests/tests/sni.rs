//! TLS passthrough: connections go to a service by the name that the client asks for, and stay encrypted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use coregate_tests::ports::Port;
use coregate_tests::{Client, Gateway, PATIENCE, eventually, service, tcp_listener};
use tempfile::TempDir;

/// `openssl s_server` with a certificate of that name.
struct Server {
    port: Port,
    child: Child,
    _folder: TempDir,
}

impl Server {
    fn named(name: &str) -> Server {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), Port::free());
        let run = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(arguments.split(' ')).current_dir(folder.path()).stdout(Stdio::null());
            openssl.stderr(Stdio::null()).stdin(Stdio::null());
            openssl
        };
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2";
        let made = run(&format!("{request} -subj /CN={name}")).status().expect("openssl runs");
        assert!(made.success());
        let serve = format!("s_server -accept {} -cert cert.pem -key key.pem -www -quiet", port.address());
        let child = run(&serve).spawn().expect("openssl runs");
        eventually("openssl listens", PATIENCE, || TcpStream::connect(port.address()).is_ok());
        Server { port, child, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The subject of the certificate that a client sees who asks for that name.
fn subject(address: SocketAddr, arguments: &[&str]) -> Option<String> {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address.to_string()]).args(arguments);
    let output = client.stdin(Stdio::null()).output().expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("subject="))?;
    Some(line.replace(' ', "").trim_start_matches("CN=").to_owned())
}

fn listener(port: &Port, fallback: &str) -> String {
    let keys = format!(
        "header_timeout = \"500ms\"\n{fallback}\n\
         [[listeners.sni_routes]]\nhosts = [\"a.example.com\"]\nservice = \"a\"\n\
         [[listeners.sni_routes]]\nhosts = [\"*.example.com\"]\nservice = \"b\""
    );
    tcp_listener(port, &keys)
}

#[test]
fn a_name_leads_to_its_service() {
    let (a, b) = (Server::named("server-a"), Server::named("server-b"));
    let port = Port::free();
    let services =
        || Gateway::with(service("a").node_at(a.port.address())).and(service("b").node_at(b.port.address()));
    let gateway = services().text(&listener(&port, "")).start();
    let ask = |arguments: &[&str]| subject(port.address(), arguments);
    assert_eq!(ask(&["-servername", "a.example.com"]).as_deref(), Some("server-a"));
    assert_eq!(ask(&["-servername", "A.Example.COM", "-tls1_2"]).as_deref(), Some("server-a"));
    assert_eq!(ask(&["-servername", "x.y.example.com"]).as_deref(), Some("server-b"));
    assert_eq!(ask(&["-servername", "example.org"]), None);
    assert_eq!(ask(&["-noservername"]), None);
    gateway.reload(&services().text(&listener(&port, "service = \"b\"")));
    eventually("what fits no name goes to the listener's service", PATIENCE, || {
        ask(&["-servername", "example.org"]).as_deref() == Some("server-b")
    });
    assert_eq!(ask(&["-noservername"]).as_deref(), Some("server-b"));
    assert_eq!(ask(&["-servername", "a.example.com"]).as_deref(), Some("server-a"));
}

/// A ClientHello for a.example.com, in records of so many bytes.
fn hello(record: usize) -> Vec<u8> {
    let framed = |bytes: usize, content: &[u8]| {
        let length = (content.len() as u64).to_be_bytes();
        [&length[8 - bytes..], content].concat()
    };
    let name = [&[0][..], &framed(2, b"a.example.com")].concat();
    let extension = [&[0, 0][..], &framed(2, &framed(2, &name))].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0]);
    body.extend(framed(2, &[0x13, 0x01]));
    body.extend(framed(1, &[0]));
    body.extend(framed(2, &extension));
    let message = [&[1][..], &framed(3, &body)].concat();
    message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &framed(2, part)].concat()).collect()
}

#[test]
fn a_client_hello_in_pieces_is_read_and_passed_on_as_it_came() {
    let node = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = Port::free();
    let address = node.local_addr().expect("an address");
    let gateway = Gateway::with(service("a").node_at(address)).and(service("b"));
    let _gateway = gateway.text(&listener(&port, "")).start();
    for record in [1000, 7] {
        let mut client = TcpStream::connect(port.address()).expect("connect");
        client.set_nodelay(true).expect("no delay");
        let sent = hello(record);
        for byte in &sent {
            client.write_all(&[*byte]).expect("send");
        }
        let (mut stream, _) = node.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut got = vec![0; sent.len()];
        stream.read_exact(&mut got).expect("all of it");
        assert_eq!(got, sent);
    }
}

#[test]
fn what_never_becomes_a_client_hello_is_closed() {
    let port = Port::free();
    let node = TcpListener::bind("127.0.0.1:0").expect("a port");
    node.set_nonblocking(true).expect("nonblocking");
    let address = node.local_addr().expect("an address");
    let gateway = Gateway::with(service("a").node_at(address)).and(service("b").node_at(address));
    let _gateway = gateway.text(&listener(&port, "")).start();
    let endless: Vec<u8> = [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc][..], &[0; 20_000]].concat();
    let whole = hello(1000);
    for bytes in [&b"SSH-2.0-x\r\n"[..], &hello(1), &endless, b"", &whole[..whole.len() - 1]] {
        let mut client = Client::connect(port.address());
        let _ = client.try_send(bytes);
        client.expect_close();
    }
    assert!(node.accept().is_err(), "nothing reached a node");
}
