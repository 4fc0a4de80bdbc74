//! `coregate demo`: a gateway and two origins in one process, to try with curl.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use coregate_tests::gateway::Tool;
use coregate_tests::message::Answer;
use coregate_tests::ports::Port;
use coregate_tests::{Client, PATIENCE, eventually, get};
use rustix::process::Signal;

fn ask(address: SocketAddr, target: &str) -> Option<Answer> {
    let mut client = Client::try_connect(address).ok()?;
    client.try_send(get(target).bytes()).ok()?;
    client.try_read().ok()
}

#[test]
fn the_demo_serves_both_origins_behind_one_prefix() {
    let (web, ops, first, second) = (Port::free(), Port::free(), Port::free(), Port::free());
    let origins = format!("{},{}", first.number(), second.number());
    let demo = Tool::start(&[
        "demo",
        "--listen",
        &web.address().to_string(),
        "--origins",
        &origins,
        "--ops",
        &ops.address().to_string(),
    ]);
    eventually("the demo answers", PATIENCE, || {
        ask(web.address(), "/test_http_1/test").is_some_and(|answer| answer.status == 200)
    });
    let texts: BTreeSet<String> =
        (0..20).filter_map(|_| ask(web.address(), "/test_http_1/test")).map(|answer| answer.text()).collect();
    assert_eq!(texts.len(), 2, "two origins that name themselves: {texts:?}");
    for origin in [&first, &second] {
        let direct = ask(origin.address(), "/test").expect("the origin itself answers");
        assert!(texts.contains(&direct.text()), "{direct:?}");
    }
    ask(web.address(), "/elsewhere").expect("an answer").expect_error(404, "no_route");
    assert_eq!(ask(ops.address(), "/readyz").expect("an answer").status, 200);
    let hint = format!("curl http://{}/test_http_1/test", web.address());
    eventually("it says what to try", PATIENCE, || demo.output().contains(&hint));
    assert_eq!(demo.end(Signal::TERM).code(), Some(0));
}
