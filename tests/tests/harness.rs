//! The harness itself: the client, the origin and the load understand each other before a gateway stands between them.

use coregate_tests::{Client, Load, Origin, body, get, post, request};

#[test]
fn a_client_reads_what_an_origin_answers() {
    let origin = Origin::named("a");
    let mut client = Client::connect(origin.address());
    client.get("/one").expect(200, "a");
    client.ask(&post("/two").body("hello")).expect(200, "a");
    client.ask(&post("/three").chunks(&["he", "llo"], "x-sum: 1\r\n")).expect(200, "a");
    client.ask(&request("HEAD", "/four")).expect(200, "");
    let seen = origin.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line()).collect();
    assert_eq!(lines, ["GET /one", "POST /two", "POST /three", "HEAD /four"]);
    assert_eq!(seen[2].body.as_ref().expect("read").text(), "hello");
    assert_eq!(seen[2].trailers.get("x-sum"), Some("1"));
    assert_eq!((origin.accepted(), origin.open()), (1, 1));
}

#[test]
fn an_origin_stops_and_comes_back_on_its_port() {
    let mut origin = Origin::named("a");
    let mut client = Client::connect(origin.address());
    client.get("/").expect(200, "a");
    origin.stop();
    client.expect_close();
    assert!(Client::try_connect(origin.address()).is_err(), "it refuses");
    origin.restart();
    Client::connect(origin.address()).get("/").expect(200, "a");
}

#[test]
fn a_pattern_arrives_as_it_was_sent() {
    let origin = Origin::that(|x| x.answer_pattern(5_000_001));
    let answer = Client::connect(origin.address()).get("/");
    assert_eq!(answer.body.name(), body::pattern_name(5_000_001));
}

#[test]
fn a_load_counts_every_answer() {
    let origin = Origin::that(|x| {
        let status = if x.index() % 10 == 9 { 500 } else { 200 };
        x.answer(status, "a");
    });
    let tally = Load::on(origin.address()).request(get("/x")).requests(1_000).run();
    assert_eq!((tally.ok, tally.failed.len(), tally.closed_idle), (900, 100, 0));
    assert_eq!(tally.bodies["a"], 900);
}
