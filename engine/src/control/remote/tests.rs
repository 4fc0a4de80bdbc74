use tokio::sync::oneshot;

use super::report::{Collector, Identity, NAMES_MAX, NodeState, Reporter, Want};
use super::*;
use crate::account::{Counters, Delta};
use crate::clock;
use crate::control::Event;
use crate::control::testing::Rig;
use crate::message::{FromShard, ToShard};

fn snapshot(revision: u64, configuration: &str) -> Snapshot {
    let text = format!("{{\"revision\":{revision},\"schema\":1,\"configuration\":{configuration}}}");
    Snapshot::new(text, Some(format!("\"{revision}\"").into())).unwrap()
}

/// Has the engine try it, as if the admin had sent it. Whether it took it.
async fn send(rig: &mut Rig, snapshot: Snapshot) -> bool {
    let (verdict, decided) = oneshot::channel();
    let news = News::Fetched(Fetched { snapshot, verdict });
    rig.engine.on_event(Event::Remote(Box::new(news)), clock::read());
    rig.next_event().await;
    decided.await.unwrap()
}

fn applied(rig: &mut Rig, revision: u64) {
    for shard in 0..2 {
        rig.engine.on_report(FromShard::Applied { shard, revision }, clock::read());
    }
}

fn remote(rig: &Rig) -> &Remote {
    rig.engine.remote.as_ref().unwrap()
}

fn collector() -> Collector {
    let started_at = Timestamp::UNIX_EPOCH;
    Collector::new(Identity { instance: "i".into(), boot: "b".into(), hostname: "h".into(), started_at })
}

#[tokio::test]
async fn without_a_configuration_it_is_not_ready_and_says_why() {
    let mut rig = Rig::start_with_admin("").await;
    rig.apply_first();
    assert!(rig.engine.not_ready().unwrap().contains("http://127.0.0.1:1 has sent none yet"));
    for (contact, why) in [
        (Contact::Down("no route".into()), "does not answer: no route"),
        (Contact::TokenRefused, "refuses the token"),
        (Contact::Up, "has sent none yet"),
    ] {
        rig.engine.on_event(Event::Remote(Box::new(News::Contact(contact))), clock::read());
        let told = rig.engine.not_ready().unwrap();
        assert!(told.contains(why), "{told}");
    }
    assert!(!send(&mut rig, snapshot(3, "{\"servces\": []}")).await);
    let told = rig.engine.not_ready().unwrap();
    assert!(
        told.contains("revision 3, which was refused: servces: unknown key; did you mean `services`?"),
        "{told}"
    );
    assert!(send(&mut rig, snapshot(4, "{\"services\": [{\"name\": \"a\"}]}")).await);
    assert!(rig.engine.not_ready().is_none(), "as before a reload, the shards need not have it yet");
    assert_eq!(collector().collect(&rig.engine).revision_applied, 0);
    applied(&mut rig, 2);
    assert_eq!(collector().collect(&rig.engine).revision_applied, 4);
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_is_counted_once() {
    let mut rig = Rig::start_with_admin("[server]\nmax_connections = 7").await;
    assert!(send(&mut rig, snapshot(1, "{\"services\": [{\"name\": \"a\"}]}")).await);
    applied(&mut rig, 2);
    rig.orders(0);
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let bad = [
        "{\"services\": [{\"name\": \"a b\"}]}".to_owned(),
        "{\"services\": [{\"name\": \"b\", \"limits\": {\"scope\": \"cluster\"}}]}".to_owned(),
        format!("{{\"listeners\": [{{\"name\": \"l\", \"address\": \"{taken}\"}}]}}"),
        "{\"services\": [{\"name\": \"b\", \"tls\": true, \"upstream_tls\": {\"ca\": \"/none.pem\"}}]}"
            .to_owned(),
        "{\"server\": {\"shards\": 9}}".to_owned(),
    ];
    for (index, configuration) in (1..).zip(&bad) {
        for _ in 0..2 {
            assert!(!send(&mut rig, snapshot(7, configuration)).await, "{configuration}");
        }
        assert_eq!(remote(&rig).refused_count, index, "{configuration}");
        assert_eq!(rig.engine.reloads.refused, index);
        let report = collector().collect(&rig.engine);
        let refused = report.refused.unwrap();
        assert_eq!((refused.revision, refused.problems.len(), report.revision_applied), (7, 1, 1));
        assert!(rig.engine.not_ready().is_none());
    }
    assert!(rig.orders(0).is_empty());
    assert_eq!(&*rig.gateway().services[0].name, "a");

    assert!(send(&mut rig, snapshot(8, "{\"services\": [{\"name\": \"b\"}]}")).await);
    assert_eq!(remote(&rig).refused, None);
    assert_eq!(rig.gateway().server.max_connections, 7, "its own settings stay");
    let report = collector().collect(&rig.engine);
    assert_eq!(report.revision_applied, 1, "the shards still have the one before");
    applied(&mut rig, 3);
    let report = collector().collect(&rig.engine);
    assert_eq!((report.revision_applied, report.etag.as_deref()), (8, Some("\"8\"")));
}

#[tokio::test]
async fn a_newer_schema_is_named_beside_the_keys_that_are_not_known() {
    let mut rig = Rig::start_with_admin("").await;
    let text = "{\"revision\":9,\"schema\":2,\"more\":1,\"configuration\":{\"caches\":[]}}";
    assert!(!send(&mut rig, Snapshot::new(text.into(), None).unwrap()).await);
    let problems = remote(&rig).refused.clone().unwrap().problems;
    assert_eq!(problems[0].key, "caches");
    assert!(problems[1].message.contains("is of schema 2, and this engine (coregate "), "{problems:?}");
    let known = "{\"revision\":9,\"schema\":2,\"more\":1,\"configuration\":{}}";
    assert!(send(&mut rig, Snapshot::new(known.into(), None).unwrap()).await, "it uses nothing new");
}

#[tokio::test]
async fn a_signal_has_it_fetched_again() {
    let rig = &mut Rig::start_with_admin("").await;
    rig.engine.reload("SIGHUP");
    tokio::time::timeout(crate::control::testing::DEADLINE, remote(rig).demand.notified()).await.unwrap();
}

fn counted(services: impl IntoIterator<Item = String>) -> FromShard {
    let counters = |requests| Counters { requests, ..Counters::default() };
    let services = services.into_iter().map(|name| (name.as_str().into(), counters(2)));
    let delta = Delta { site: counters(5), services: services.collect(), ..Delta::default() };
    FromShard::Delta { shard: 0, delta: Box::new(delta) }
}

#[tokio::test]
async fn a_report_holds_what_has_changed_since_one_was_taken() {
    let mut rig = Rig::start_with_admin("").await;
    assert!(send(&mut rig, snapshot(1, "{\"services\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}")).await);
    let mut collector = collector();
    rig.engine.on_report(counted(["a".to_owned()]), clock::read());
    let first = collector.collect(&rig.engine);
    assert!(first.full);
    assert_eq!(first.flow.site.requests, 5);
    assert_eq!(first.flow.services.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(first.flow.services["a"].hours.len(), 1);
    assert_eq!(first.flow.services["a"].hours[0].1, 2);
    assert_eq!(collector.collect(&rig.engine), first, "it was not taken");
    collector.on_taken(Want::Changes);
    let none = collector.collect(&rig.engine);
    assert!(!none.full && none.flow.services.is_empty(), "{none:?}");
    collector.on_taken(Want::Changes);
    rig.engine.on_report(counted(["b".to_owned()]), clock::read());
    assert_eq!(collector.collect(&rig.engine).flow.services.keys().collect::<Vec<_>>(), ["b"]);
    collector.on_taken(Want::Full);
    let all = collector.collect(&rig.engine);
    assert!(all.full);
    assert_eq!(all.flow.services.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_control_thread_that_is_busy_for_long_does_not_end_the_reports() {
    let rig = Rig::start_with_admin("").await;
    let (questions, mut asked) = tokio::sync::mpsc::channel(1);
    let place = Place::of(rig.gateway()).unwrap();
    let identity = Identity {
        instance: "i".into(),
        boot: "b".into(),
        hostname: "h".into(),
        started_at: Timestamp::now(),
    };
    let task = tokio::spawn(Reporter { place, identity, news: Arc::default(), questions }.run());
    let question = asked.recv().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    question(&rig.engine);
    assert!(asked.recv().await.is_some(), "the next report");
    assert!(!task.is_finished());
}

#[tokio::test]
async fn names_that_do_not_fit_come_with_the_next_reports() {
    const COUNT: usize = NAMES_MAX * 2 + 7;
    let name = |n: usize| format!("s{n:05}");
    let services: Vec<String> = (0..COUNT).map(|n| format!("{{\"name\":\"{}\"}}", name(n))).collect();
    let mut rig = Rig::start_with_admin("").await;
    assert!(send(&mut rig, snapshot(1, &format!("{{\"services\":[{}]}}", services.join(",")))).await);
    rig.engine.on_report(counted((0..COUNT).map(name)), clock::read());
    let mut collector = collector();
    let mut seen = std::collections::BTreeSet::new();
    let mut reports = 0;
    loop {
        let report = collector.collect(&rig.engine);
        assert!(report.flow.services.len() <= NAMES_MAX);
        reports += 1;
        seen.extend(report.flow.services.into_keys());
        // What goes on to change does not keep the others from their turn.
        rig.engine.on_report(counted((0..10).map(name)), clock::read());
        collector.on_taken(Want::Changes);
        if !collector.has_rest() {
            break;
        }
    }
    assert_eq!((seen.len(), reports), (COUNT, 3));
}

#[tokio::test]
async fn nodes_are_counted_and_those_that_are_not_up_are_listed() {
    let mut rig = Rig::start_with_admin("").await;
    let nodes = "[{\"address\": \"10.0.0.1:80\"}, {\"address\": \"10.0.0.2:80\"}, {\"address\": \"none.invalid:80\"}]";
    let configuration = format!("{{\"services\": [{{\"name\": \"a\", \"nodes\": {nodes}}}]}}");
    assert!(send(&mut rig, snapshot(1, &configuration)).await);
    let node = "10.0.0.2:80".parse().unwrap();
    rig.engine.on_report(FromShard::NodeFailed { service: "a".into(), node }, clock::read());
    let nodes = collector().collect(&rig.engine).nodes;
    assert_eq!((nodes.up, nodes.down, nodes.unknown), (1, 1, 1));
    let states: Vec<_> = nodes.not_up.iter().map(|it| (&*it.address, it.state)).collect();
    assert_eq!(states, [("10.0.0.2:80", NodeState::Down), ("none.invalid:80", NodeState::Unknown)]);
    assert!(rig.orders(0).iter().any(|order| matches!(order, ToShard::Nodes { .. })));
}
