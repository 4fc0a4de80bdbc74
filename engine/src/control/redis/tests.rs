use std::time::Duration;

use super::address::Address;
use super::health::{Health, explain, is_refusal};

fn problem(url: &str) -> String {
    Address::parse(url).err().unwrap_or_else(|| panic!("{url} was read"))
}

#[test]
fn addresses_are_read() {
    for (url, shown) in [
        ("redis://localhost", "localhost:6379"),
        ("redis://user:p%40ss@10.0.0.1:7000/3", "10.0.0.1:7000"),
        ("redis://:secret@[::1]:7000", "[::1]:7000"),
        ("rediss://cache.example", "cache.example:6379 (TLS)"),
        ("redis-cluster://a:1?node=b:2&node=c:3", "cluster b:2, c:3, a:1"),
        ("rediss-cluster://a:1", "cluster a:1 (TLS)"),
        ("redis-sentinel://a?sentinelServiceName=main&node=b:2", "Sentinel b:2, a:26379"),
        (
            "rediss-sentinel://u:p@a:1/2?sentinelServiceName=main&sentinelUsername=s&sentinelPassword=t",
            "Sentinel a:1 (TLS)",
        ),
    ] {
        let address = Address::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
        assert_eq!(address.to_string(), shown);
        assert_eq!(address.is_cluster(), url.contains("cluster"));
    }
}

#[test]
fn what_is_wrong_with_an_address_is_said_and_no_secret_is() {
    for (url, said) in [
        ("http://localhost", "must begin with"),
        ("redis:/localhost", "must begin with"),
        ("redis://", "cannot be read"),
        ("redis://localhost:0", "port other than 0"),
        ("redis://user:secret@localhost:70000", "cannot be read"),
        ("redis://user:secret@localhost/x", "DB from 0 to 255"),
        ("redis://localhost/256", "DB from 0 to 255"),
        ("redis://localhost/1/2", "DB from 0 to 255"),
        ("redis://user:secret@localhost?tls=1", "unknown parameter \"tls\""),
        ("redis-cluster://a:1?nodes=b:2", "unknown parameter \"nodes\""),
        ("redis-cluster://user:secret@a:1?node=b", "cannot be read"),
        ("redis-cluster://a:1?node=b:x", "cannot be read"),
        ("redis-sentinel://user:secret@a:1", "?sentinelServiceName=NAME"),
        ("redis-sentinel://a:1?sentinelServiceName=", "?sentinelServiceName=NAME"),
        ("redis+unix:///run/redis.sock", "must begin with"),
    ] {
        let why = problem(url);
        assert!(why.contains(said), "{url}: {why}");
        assert!(!why.contains("secret"), "{url}: {why}");
    }
    let shown = format!("{:?}", Address::parse("redis://user:secret@localhost").unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_refusal_lasts_until_something_was_taken() {
    let mut health = Health::default();
    let now = crate::clock::read();
    assert!(!health.is_up(), "nothing is known yet");
    health.connected();
    assert!(health.is_up());
    assert!(health.fails(true, &"READONLY".into(), now));
    assert!(!health.is_up() && health.connected);
    health.connected();
    assert!(!health.is_up(), "a new connection is no proof that it writes");
    assert!(health.works());
    assert!(health.is_up());
    health.fails(false, &"reset".into(), now);
    health.connected();
    assert!(health.is_up(), "a lost connection is cured by a new one");
}

#[test]
fn the_same_trouble_is_logged_once_a_minute() {
    let mut health = Health::default();
    let now = crate::clock::read();
    assert!(health.fails(false, &"refused".into(), now));
    assert!(!health.fails(false, &"refused".into(), now + Duration::from_secs(59)));
    assert!(health.fails(false, &"no answer".into(), now + Duration::from_secs(59)));
    assert!(health.fails(false, &"no answer".into(), now + Duration::from_secs(119)));
    assert_eq!(health.trouble.as_ref().map(|trouble| trouble.since), Some(now));
}

#[test]
fn errors_say_what_would_be_right() {
    for (words, right) in [
        ("WRONGPASS invalid username-password pair or user is disabled.", "check user and password"),
        ("NOAUTH Authentication required.", "wants a password"),
        (
            "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
            "Connection refused; is",
        ),
        ("READONLY You can't write against a read only replica.", "name the master"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "raise its maxmemory"),
    ] {
        assert_eq!(is_refusal(words), !words.starts_with("Os"));
        assert!(explain(words).contains(right), "{}", explain(words));
    }
    assert!(!is_refusal("WRONGTYPE Operation against a key holding the wrong kind of value"));
}
