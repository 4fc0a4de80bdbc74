use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use super::*;
use crate::account::Delta;
use crate::control::testing::{DEADLINE, Rig};

const BASE: &str = r#"
[server]
shards = 2
max_connections = 11
drain_timeout = "7s"

[[listeners]]
name = "web"
address = "127.0.0.1:0"

[[services]]
name = "a"
[[services.routes]]
path_prefix = "/a"
[[services.nodes]]
address = "10.0.0.1:80"
[[services.nodes]]
address = "10.0.0.2:80"
"#;

fn node(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

fn failed(last: u8) -> FromShard {
    FromShard::NodeFailed { service: "a".into(), node: node(last) }
}

fn snapshot_of(orders: Vec<ToShard>) -> (Arc<Snapshot>, shards::Opened) {
    let [ToShard::Snapshot { snapshot, opened }] = <[ToShard; 1]>::try_from(orders).unwrap() else {
        panic!("not a snapshot");
    };
    (snapshot, opened)
}

#[tokio::test]
async fn each_shard_starts_with_its_own_socket_and_its_share_of_connections() {
    let rig = Rig::start(BASE).await;
    assert_eq!(rig.seeds.iter().map(|seed| (seed.index, seed.shards)).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
    assert_eq!(rig.seeds.iter().map(|seed| seed.max_connections).collect::<Vec<_>>(), [6, 5]);
    let sockets: Vec<_> = rig.seeds.iter().map(|seed| &seed.listeners[0]).collect();
    assert_eq!(&*sockets[0].0, "web");
    assert_ne!(sockets[0].1.as_raw_fd(), sockets[1].1.as_raw_fd());
    for seed in &rig.seeds {
        assert_eq!(seed.snapshot.revision, 1);
        assert!(
            seed.snapshot.services[0].nodes.iter().all(|node| node.live),
            "nodes need not be up at start"
        );
    }
}

#[tokio::test]
async fn ready_when_every_shard_has_applied_a_snapshot() {
    let mut rig = Rig::start(BASE).await;
    assert!(rig.engine.not_ready().unwrap().contains("[0, 1]"));
    rig.engine.on_report(FromShard::Applied { shard: 1, revision: 1 }, clock::read());
    assert!(rig.engine.not_ready().unwrap().contains("[0]"));
    rig.engine.on_report(FromShard::Applied { shard: 0, revision: 1 }, clock::read());
    assert_eq!(rig.engine.not_ready(), None);
}

#[tokio::test]
async fn a_node_that_traffic_finds_down_is_told_to_every_shard_once() {
    let mut rig = Rig::start(BASE).await;
    rig.engine.on_report(failed(2), clock::read());
    rig.engine.on_report(failed(2), clock::read());
    rig.engine.on_report(failed(9), clock::read());
    for shard in 0..2 {
        let orders = rig.orders(shard);
        let [ToShard::Nodes { index: 0, changed }] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(changed.live, [(node(1), true), (node(2), false)]);
    }
}

#[tokio::test]
async fn a_reload_opens_what_is_new_and_keeps_what_is_known_of_nodes() {
    let mut rig = Rig::start(BASE).await;
    rig.engine.on_report(failed(2), clock::read());
    let _ = (rig.orders(0), rig.orders(1));
    let bound = rig.engine.listeners[0].bound;
    let more = "\n[[listeners]]\nname = \"more\"\naddress = \"127.0.0.1:0\"\n";
    rig.reload(
        &BASE
            .replace("name = \"web\"", "name = \"web\"\nidle_timeout = \"5s\"")
            .replace("\n[[services]]", &(more.to_owned() + "\n[[services]]")),
    )
    .await;
    for shard in 0..2 {
        let (snapshot, opened) = snapshot_of(rig.orders(shard));
        assert_eq!(snapshot.revision, 2);
        assert_eq!(opened.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["more"]);
        assert_eq!(snapshot.services[0].nodes.iter().map(|it| it.live).collect::<Vec<_>>(), [true, false]);
        let before = &rig.seeds[shard].snapshot.services[0].nodes;
        assert!(Arc::ptr_eq(&before[0].shared, &snapshot.services[0].nodes[0].shared));
    }
    assert_eq!(rig.engine.listeners.len(), 2);
    assert_eq!(rig.engine.listeners[0].bound, bound, "a listener that stays keeps its sockets");
    assert_eq!((rig.engine.reloads.applied, rig.engine.reloads.refused), (1, 0));
}

#[tokio::test]
async fn a_removed_listener_and_service_are_forgotten() {
    let mut rig = Rig::start(BASE).await;
    rig.reload("[server]\nshards = 2\nmax_connections = 11\ndrain_timeout = \"7s\"\n").await;
    let (snapshot, opened) = snapshot_of(rig.orders(0));
    assert!(snapshot.services.is_empty() && opened.is_empty());
    assert!(rig.engine.listeners.is_empty());
    assert!(rig.engine.flow.services.is_empty());
    assert!(rig.engine.checker.node("a", node(1)).is_none());
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_the_next_good_one_is_taken() {
    let mut rig = Rig::start(BASE).await;
    rig.reload("nonsense = 1\n").await;
    assert!(rig.orders(0).is_empty());
    assert_eq!(rig.engine.snapshot.revision, 1);
    assert_eq!(rig.engine.reloads.refused, 1);
    assert!(rig.engine.reloads.last_error.as_ref().unwrap().contains("nonsense"));
    rig.reload(BASE).await;
    assert_eq!(snapshot_of(rig.orders(0)).0.revision, 2);
    assert_eq!(rig.engine.reloads.last_error, None);
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_refuses_the_whole_reload() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::start(BASE).await;
    let more = format!("\n[[listeners]]\nname = \"more\"\naddress = \"{}\"\n", taken.local_addr().unwrap());
    rig.reload(&BASE.replace("\n[[services]]", &(more + "\n[[services]]"))).await;
    assert!(rig.orders(0).is_empty());
    assert_eq!(rig.engine.listeners.len(), 1);
    assert!(rig.engine.reloads.last_error.as_ref().unwrap().contains("listener \"more\""));
}

#[tokio::test]
async fn settings_that_need_a_restart_stay_as_they_were() {
    let mut rig = Rig::start(BASE).await;
    rig.reload(&BASE.replace("\"7s\"", "\"9s\"").replace("\"/a\"", "\"/b\"")).await;
    let gateway = rig.gateway();
    assert_eq!(gateway.server.drain_timeout, Duration::from_secs(7));
    assert_eq!(gateway.services[0].routes[0].path_prefix, "/b");
}

#[tokio::test]
async fn reloads_asked_for_meanwhile_become_one() {
    let mut rig = Rig::start(BASE).await;
    rig.engine.reload("one");
    rig.engine.reload("two");
    rig.engine.reload("three");
    rig.next_event().await;
    rig.next_event().await;
    assert_eq!(rig.engine.snapshot.revision, 3);
    assert!(rig.events.try_recv().is_err());
}

#[tokio::test]
async fn drains_until_every_shard_is_done() {
    let mut rig = Rig::start(BASE).await;
    let now = clock::read();
    rig.apply_first();
    rig.engine.stop("SIGTERM", 143, now);
    assert!(rig.engine.not_ready().unwrap().contains("stopping"));
    for shard in 0..2 {
        let orders = rig.orders(shard);
        let [ToShard::Drain { deadline }] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(*deadline, now + Duration::from_secs(7));
    }
    rig.engine.on_report(FromShard::Drained { shard: 0, cut: 2 }, now);
    assert_eq!(rig.engine.ending(), None);
    let delta = Box::new(Delta {
        site: crate::account::Counters { requests: 5, ..Default::default() },
        ..Delta::default()
    });
    rig.engine.on_report(FromShard::Delta { shard: 1, delta }, now);
    rig.engine.on_report(FromShard::Drained { shard: 1, cut: 1 }, now);
    assert_eq!(rig.engine.ending(), Some(Ending::Drained { cut: 3 }));
    assert_eq!(rig.engine.flow.site.total.requests, 5);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut rig = Rig::start(BASE).await;
    rig.engine.stop("SIGTERM", 143, clock::read());
    rig.engine.stop("SIGINT", 130, clock::read());
    assert_eq!(rig.engine.ending(), Some(Ending::Cut { code: 130 }));
}

#[tokio::test]
async fn a_shard_that_does_not_drain_is_not_waited_for_forever() {
    let mut rig = Rig::start(BASE).await;
    let now = clock::read();
    assert_eq!(rig.engine.gives_up_at(), None);
    rig.engine.stop("SIGTERM", 143, now);
    assert_eq!(rig.engine.gives_up_at(), Some(now + Duration::from_secs(7) + DRAIN_GRACE));
    rig.engine.give_up();
    assert_eq!(rig.engine.ending(), Some(Ending::Drained { cut: 0 }));
}

#[tokio::test]
async fn nothing_is_reloaded_while_it_drains() {
    let mut rig = Rig::start(BASE).await;
    rig.engine.reload("before");
    rig.engine.stop("SIGTERM", 143, clock::read());
    rig.engine.reload("after");
    rig.next_event().await;
    assert_eq!(rig.engine.snapshot.revision, 1);
    assert_eq!(rig.engine.reloads.refused, 1);
}

#[tokio::test]
async fn a_shard_whose_thread_has_ended_ends_the_process() {
    let mut rig = Rig::start(BASE).await;
    rig.engine.on_poll(clock::read());
    assert_eq!(rig.engine.ending(), None);
    rig.lives.remove(1);
    let ended = tokio::time::timeout(DEADLINE, async {
        while rig.engine.ending().is_none() {
            tokio::task::yield_now().await;
            rig.engine.on_poll(clock::read());
        }
    });
    ended.await.unwrap();
    assert_eq!(rig.engine.ending(), Some(Ending::ShardDied { shard: 1 }));
}

#[tokio::test]
async fn a_shard_that_takes_no_orders_any_more_ends_the_process() {
    let mut rig = Rig::start(BASE).await;
    rig.seeds[0].orders.close();
    rig.next_event().await;
    assert_eq!(rig.engine.ending(), Some(Ending::ShardDied { shard: 0 }));
}

#[tokio::test]
async fn orders_that_do_not_fit_are_kept_in_order() {
    let mut rig = Rig::start(BASE).await;
    for _ in 0..1000 {
        rig.engine.shards.send_all(|| ToShard::Report);
    }
    rig.engine.stop("SIGTERM", 143, clock::read());
    let mut taken = Vec::new();
    while taken.len() < 1001 {
        let orders = rig.orders(0);
        assert!(!orders.is_empty(), "after {} orders", taken.len());
        taken.extend(orders);
        rig.engine.on_poll(clock::read());
    }
    assert!(matches!(taken.pop(), Some(ToShard::Drain { .. })));
    assert!(taken.iter().all(|order| matches!(order, ToShard::Report)));
}

#[tokio::test]
async fn all_shards_report_when_an_hour_ends() {
    use crate::control::flow::calendar::Moment;
    let mut rig = Rig::start(BASE).await;
    let now = Moment::read();
    let later = Moment { wall: now.wall + jiff::SignedDuration::from_hours(1), ..now };
    rig.engine.on_hour(later);
    for shard in 0..2 {
        assert!(matches!(rig.orders(shard)[..], [ToShard::Report]), "shard {shard}");
    }
    rig.engine.on_hour(later);
    assert!(rig.orders(0).is_empty(), "once an hour");
}
