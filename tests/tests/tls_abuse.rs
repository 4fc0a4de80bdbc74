//! What strangers do to a TLS port, and what comes of it: an alert, an answer or an end; never a hang, never a crash.

use std::time::Duration;

use coregate_tests::certs::{Authority, certificates, s_client};
use coregate_tests::ports::Port;
use coregate_tests::process::{descriptors, rss_bytes};
use coregate_tests::{Client, Gateway, MIB, Origin, PATIENCE, eventually};

struct Site {
    authority: Authority,
    gateway: Gateway,
    port: Port,
    _origin: Origin,
}

impl Site {
    fn with(keys: &str) -> Site {
        let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
        let pair = authority.sign("one", &["one.test"]);
        let listener = format!(
            "[[listeners]]\nname = \"https\"\naddress = \"{}\"\nprotocol = \"https\"\n{}\n[listeners.tls]\n{keys}",
            port.address(),
            certificates(&[&pair])
        );
        let gateway = Gateway::before(&origin).text(&listener).start();
        Site { authority, gateway, port, _origin: origin }
    }

    fn client(&self) -> Client {
        Client::connect(self.port.address())
    }

    #[track_caller]
    fn still_serves(&self) {
        self.authority.curl("one.test", self.port.address(), "/", &[]).expect(200, "a");
    }

    fn handshakes(&self, result: &str) -> f64 {
        self.gateway.metric("coregate_tls_handshakes_total", &[&format!("result=\"{result}\"")])
    }
}

/// The fatal alert that a connection got before its end.
#[track_caller]
fn alert(client: &mut Client) -> u8 {
    let got = client.read_until_gone();
    assert!(got.len() >= 7 && got[0] == 21 && got[5] == 2, "an alert: {got:?}");
    got[6]
}

#[test]
fn garbage_gets_an_alert_and_ends() {
    let site = Site::with("");
    let cases: [(&[u8], u8); 4] = [
        (b"SSH-2.0-OpenSSH_9.6\r\n", 50),
        (&[0; 64], 50),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 50),
        (b"\x17\x03\x03\x00\x05hello", 10),
    ];
    for (garbage, description) in cases {
        // A request line begins with a letter, and so does SSH; both are taken for HTTP, see below.
        if garbage[0].is_ascii_uppercase() {
            continue;
        }
        let mut client = site.client();
        client.send(garbage);
        assert_eq!(alert(&mut client), description, "{garbage:?}");
    }
    site.still_serves();
}

#[test]
fn a_record_that_is_too_long_gets_an_alert() {
    let site = Site::with("");
    let mut client = site.client();
    client.send(b"\x16\x03\x01\x48\x01");
    assert_eq!(alert(&mut client), 50);
    site.still_serves();
}

#[test]
fn http_in_clear_is_told_that_this_port_speaks_https() {
    let site = Site::with("");
    let mut client = site.client();
    client.get("/").expect_error(400, "https_required");
    client.expect_close();
    eventually("it is counted", PATIENCE, || site.handshakes("in_clear") > 0.5);
}

#[test]
fn a_slow_handshake_ends_in_time() {
    let site = Site::with("handshake_timeout = \"300ms\"");
    let (mut silent, mut half) = (site.client(), site.client());
    half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    silent.expect_close();
    half.expect_close();
    eventually("both are counted", PATIENCE, || site.handshakes("timeout") > 1.5);
    site.still_serves();
}

#[test]
fn only_so_many_handshakes_are_under_way_at_once() {
    let site = Site::with("max_handshakes = 4\nhandshake_timeout = \"1h\"");
    let held: Vec<Client> = (0..12).map(|_| site.client()).collect();
    let under_way = || site.gateway.metric("coregate_tls_handshakes_under_way", &[]);
    eventually("the others are closed", PATIENCE, || site.handshakes("limited") + under_way() > 11.5);
    assert!(under_way() <= 4.0);
    drop(held);
    eventually("they have ended", PATIENCE, || under_way() < 0.5);
    site.still_serves();
}

#[test]
fn a_client_cannot_renegotiate() {
    let site = Site::with("");
    let output = s_client(site.port.address(), &["-tls1_2"], b"R\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(output.contains("RENEGOTIATING") && output.contains("no renegotiation"), "{output}");
    site.still_serves();
}

#[test]
fn handshakes_that_are_given_up_leave_nothing_behind() {
    let site = Site::with("handshake_timeout = \"300ms\"");
    site.still_serves();
    let (before, memory) = (descriptors(site.gateway.pid()), rss_bytes(site.gateway.pid()));
    for round in 0..300u32 {
        let mut client = site.client();
        // A ClientHello that promises to be long, in parts.
        let _ = client.try_send(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03");
        let _ = client.try_send(vec![0; round as usize * 50]);
        if round % 2 == 0 {
            client.reset();
        }
    }
    eventually("all are closed", PATIENCE, || descriptors(site.gateway.pid()) <= before);
    assert!(rss_bytes(site.gateway.pid()) < memory + 32 * MIB);
    site.still_serves();
}

#[test]
fn a_drain_finishes_what_is_in_flight_and_says_goodbye() {
    let (authority, port) = (Authority::new(), Port::free());
    let origin = Origin::that(|x| {
        x.stall();
        x.answer(200, "late");
    });
    let pair = authority.sign("one", &["one.test"]);
    let listener = format!(
        "[[listeners]]\nname = \"https\"\naddress = \"{}\"\nprotocol = \"https\"\n{}",
        port.address(),
        certificates(&[&pair])
    );
    let mut gateway = Gateway::before(&origin).text(&listener).start();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| authority.curl("one.test", port.address(), "/", &["--http1.1", "-v"]));
        origin.expect_count(1);
        gateway.signal(rustix::process::Signal::TERM);
        eventually("nobody is let in", PATIENCE, || Client::try_connect(port.address()).is_err());
        origin.release();
        let answer = asked.join().expect("curl");
        answer.expect(200, "late");
        assert!(answer.has_line("connection: close"), "{answer:?}");
        // OpenSSL would complain about an end without it.
        assert!(
            answer.told.contains("close notify") && !answer.told.contains("unexpected eof"),
            "{answer:?}"
        );
    });
    assert!(gateway.wait_exit(PATIENCE + Duration::from_secs(1)).success());
}
