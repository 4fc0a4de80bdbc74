//! Timers and wakes while the driver sleeps.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::rig::{self, bytes_from, expect_bytes, joined, pair};
use crate::clock;
use crate::net::timer::TICK;

/// By then the driver sleeps, if nothing happens.
const ASLEEP: Duration = Duration::from_millis(200);
/// How late something may be on a busy machine.
const LATE: Duration = Duration::from_millis(500);

/// Becomes ready while the driver sleeps, woken by another thread.
fn foreign_wake() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        rig::rest(ASLEEP);
        let _ = sender.send(());
    });
    receiver
}

#[test]
fn a_timer_fires_on_time_while_the_driver_sleeps() {
    rig::run(async |net| {
        for ms in [1, 40, 300, 700] {
            let timer = net.timer();
            let deadline = clock::read() + Duration::from_millis(ms);
            timer.set(deadline);
            timer.wait().await;
            let now = clock::read();
            assert!(now >= deadline, "early");
            assert!(now < deadline + TICK + LATE, "{:?} late", now - deadline);
        }
    });
}

#[test]
fn an_earlier_timer_takes_the_place_of_the_one_that_the_driver_sleeps_for() {
    rig::run(async |net| {
        let long = net.timer();
        long.set(clock::read() + Duration::from_secs(600));
        for _ in 0..3 {
            rig::let_be(ASLEEP).await;
            let timer = net.timer();
            let deadline = clock::read() + Duration::from_millis(150);
            timer.set(deadline);
            timer.wait().await;
            let now = clock::read();
            assert!(now >= deadline && now < deadline + TICK + LATE);
        }
        assert!(!long.expired());
    });
}

#[test]
fn a_timer_that_is_set_while_the_driver_sleeps_fires() {
    rig::run(async |net| {
        foreign_wake().await.unwrap();
        let timer = net.timer();
        let deadline = clock::read() + Duration::from_millis(50);
        timer.set(deadline);
        timer.wait().await;
        let now = clock::read();
        assert!(now >= deadline && now < deadline + TICK + LATE);
    });
}

#[test]
fn the_time_is_right_for_who_is_woken_while_the_driver_sleeps() {
    rig::run(async |net| {
        let (socket, _peer) = pair(&net);
        foreign_wake().await.unwrap();
        assert!(clock::read() - net.now() < ASLEEP / 4);
        foreign_wake().await.unwrap();
        socket.arm(); // wakes the driver, whose turn is yet to come
        assert!(clock::read() - net.now() < ASLEEP / 4);
    });
}

#[test]
fn what_is_sent_while_the_driver_sleeps_wakes_it() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let reader = thread::spawn(move || {
            let mut got = [0; 5];
            peer.read_exact(&mut got).unwrap();
            peer.write_all(&bytes_from(0, 10)).unwrap();
            peer
        });
        foreign_wake().await.unwrap();
        let mut outgoing = net.outgoing();
        outgoing.bytes().extend_from_slice(b"hello");
        socket.send(outgoing).await.0.unwrap();
        let mut peer = joined(reader).await;
        // Bytes that come while it sleeps do so too.
        expect_bytes(&socket, 0, 10).await;
        let writer = thread::spawn(move || {
            for n in 0..3 {
                rig::rest(ASLEEP);
                peer.write_all(&bytes_from(10 + n * 10, 10)).unwrap();
            }
        });
        expect_bytes(&socket, 10, 30).await;
        joined(writer).await;
    });
}

#[test]
fn receivers_can_be_woken_to_look_at_something_else() {
    rig::run(async |net| {
        let peers: Vec<_> = (0..3).map(|_| pair(&net)).collect();
        let looked = Rc::new(Cell::new(0));
        let mut kept = Vec::new();
        for (socket, peer) in peers {
            kept.push(peer);
            let looked = looked.clone();
            glommio::spawn_local(async move {
                std::future::poll_fn(|cx| {
                    looked.set(looked.get() + 1);
                    if looked.get() > 3 {
                        return std::task::Poll::Ready(());
                    }
                    socket.poll_receive(cx).map(|_| ())
                })
                .await;
            })
            .detach();
        }
        rig::until(|| looked.get() == 3).await;
        rig::let_be(ASLEEP).await;
        net.wake_receivers();
        rig::until(|| looked.get() == 6).await;
    });
}

#[test]
fn an_idle_driver_uses_no_cpu() {
    rig::run(async |net| {
        let (socket, _peer) = pair(&net);
        socket.arm();
        let timer = net.timer();
        timer.set(clock::read() + Duration::from_secs(3600));
        rig::let_be(ASLEEP).await;
        let before = switches();
        foreign_wake().await.unwrap();
        let during = switches() - before;
        assert!(during < 50, "the thread woke {during} times while nothing happened");
    });
}

/// How often this thread has slept.
fn switches() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}
