//! The fields of a request and of an answer on their way through: what is added, replaced, removed and kept.

use coregate_tests::{Gateway, Origin, get, service};

/// The fields that tell an origin about the client, as a client might forge them.
const FORGED: [(&str, &str); 4] = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "forged.example"),
    ("Forwarded", "for=203.0.113.7;proto=https"),
];

#[test]
fn an_origin_is_told_about_the_client() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    gateway.client().ask(&get("/").field("Host", "www.example:8080")).expect(200, "a");
    let seen = origin.only();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("www.example:8080"));
    let forwarded = seen.field("forwarded").expect("a Forwarded field").to_ascii_lowercase();
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
    assert!(forwarded.contains("host=\"www.example:8080\""), "{forwarded}");
    assert_eq!(seen.field("host"), Some("www.example:8080"), "the client's Host goes on");
}

#[test]
fn a_stranger_is_not_believed() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).server("trusted_proxies = [\"10.0.0.0/8\"]").start();
    let forged = FORGED.iter().fold(get("/"), |request, (name, value)| request.field(name, value));
    gateway.client().ask(&forged).expect(200, "a");
    let seen = origin.only();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("test"));
    assert!(!seen.field("forwarded").expect("a Forwarded field").contains("203.0.113.7"));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).server("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let relayed = FORGED.iter().fold(get("/"), |request, (name, value)| request.field(name, value));
    gateway.client().ask(&relayed).expect(200, "a");
    let seen = origin.only();
    let addresses: Vec<&str> =
        seen.head.fields.all("x-forwarded-for").flat_map(|line| line.split(',')).map(str::trim).collect();
    assert_eq!(addresses, ["203.0.113.7", "127.0.0.1"]);
    let elements: Vec<&str> = seen.head.fields.all("forwarded").flat_map(|line| line.split(',')).collect();
    assert_eq!(elements.len(), 2, "{elements:?}");
    assert!(elements[0].contains("203.0.113.7") && elements[1].contains("127.0.0.1"), "{elements:?}");
}

#[test]
fn via_is_added_both_ways_and_kept() {
    let origin = Origin::that(|x| x.answer_with(200, "Via: 1.1 cache\r\n", "a"));
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.client().ask(&get("/").field("Via", "1.0 edge"));
    let vias = |values: Vec<&str>| -> Vec<String> {
        values.iter().flat_map(|line| line.split(',')).map(|member| member.trim().to_owned()).collect()
    };
    let there = vias(origin.only().head.fields.all("via").collect());
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(there[0] == "1.0 edge" && there[1].starts_with("1.1 "), "{there:?}");
    let back = vias(answer.fields.all("via").collect());
    assert!(back.len() == 2 && back[0] == "1.1 cache" && back[1].starts_with("1.1 "), "{back:?}");
}

#[test]
fn a_request_id_is_made_and_differs() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.get("/1");
    client.get("/2");
    let ids: Vec<String> =
        origin.seen().iter().map(|seen| seen.field("x-request-id").expect("an id").to_owned()).collect();
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.len() >= 16), "{ids:?}");
}

#[test]
fn a_request_id_that_came_is_kept() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).server("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    gateway.client().ask(&get("/").field("X-Request-Id", id)).expect(200, "a");
    assert_eq!(origin.only().field("x-request-id"), Some(id));
}

#[test]
fn an_error_answer_names_the_request_id_that_came() {
    let gateway = Gateway::empty().server("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let answer = gateway.client().ask(&get("/").field("X-Request-Id", "abc-123"));
    answer.expect_error(404, "no_route");
    assert_eq!(answer.json()["error"]["request_id"], "abc-123");
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let origin = Origin::that(|x| {
        let fields = "Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
                      Proxy-Authenticate: Basic\r\nX-Other: 2\r\n";
        x.answer_with(200, fields, "a");
    });
    let gateway = Gateway::before(&origin).start();
    let asked = get("/")
        .field("Connection", "X-Secret, Keep-Alive")
        .field("X-Secret", "1")
        .field("Keep-Alive", "timeout=9")
        .field("Proxy-Connection", "keep-alive")
        .field("Proxy-Authorization", "Basic eDp5")
        .field("TE", "trailers, gzip")
        .field("Upgrade", "h2c")
        .field("X-Kept", "yes");
    let answer = gateway.client().ask(&asked);
    let seen = origin.only();
    let gone = ["x-secret", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"];
    for name in gone {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert!(!seen.head.fields.lists("te", "gzip"), "{seen:?}");
    assert_eq!(seen.field("x-kept"), Some("yes"));
    for name in ["x-mine", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_eq!(answer.field("x-other"), Some("2"));
}

#[test]
fn connection_cannot_name_fields_away_that_the_gateway_sets() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    gateway.client().ask(&get("/").field("Connection", "X-Forwarded-For, Host, close"));
    let seen = origin.only();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("host"), Some("test"));
}

#[test]
fn header_rules_add_set_and_remove() {
    let origin = Origin::that(|x| {
        x.answer_with(200, "Server: origin/1\r\nX-Env: theirs\r\nX-Add: 1\r\nX-Plain: p\r\n", "a");
    });
    let site = service("site")
        .route("/")
        .node(&origin)
        .with(
            "headers.request = [{ add = \"x-add\", value = \"2\" }, { set = \"x-env\", value = \"test\" }, \
             { remove = \"x-secret\" }]",
        )
        .with(
            "headers.response = [{ remove = \"server\" }, { set = \"x-env\", value = \"ours\" }, \
             { add = \"x-add\", value = \"2\" }]",
        );
    let gateway = Gateway::with(site).start();
    let asked = get("/").field("X-Add", "1").field("X-Env", "a").field("x-env", "b").field("X-Secret", "s");
    let answer = gateway.client().ask(&asked);
    let seen = origin.only();
    assert_eq!(seen.head.fields.all("x-add").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen.field("x-env"), Some("test"));
    assert_eq!(seen.field("x-secret"), None);
    assert_eq!(answer.field("server"), None);
    assert_eq!(answer.field("x-env"), Some("ours"));
    assert_eq!(answer.fields.all("x-add").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(answer.field("x-plain"), Some("p"));
}

#[test]
fn other_fields_go_through_as_they_are() {
    let origin = Origin::that(|x| {
        x.answer_with(200, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\nETag: \"e\"\r\n", "a");
    });
    let gateway = Gateway::before(&origin).start();
    let asked =
        get("/").field("Cookie", "a=1; b=2").field("X-Twice", "1").field("X-Twice", "2").field("X-Empty", "");
    let answer = gateway.client().ask(&asked);
    let seen = origin.only();
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.head.fields.all("x-twice").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen.field("x-empty"), Some(""));
    assert_eq!(answer.fields.all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(answer.field("x-empty"), Some(""));
    assert_eq!(answer.field("etag"), Some("\"e\""));
}
