use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock;

const SECOND: Duration = Duration::from_secs(1);

fn frame(kind: u8, flags: u8, len: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, len, kind, flags, 0, 0, 0, 1];
    frame.resize(9 + usize::from(len), 0);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

fn guard(resets_per_second: u32) -> (Guard, Instant) {
    let now = clock::read();
    let mut guard = Guard::new(now, resets_per_second);
    guard.received(now, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    (guard, now)
}

#[test]
fn as_many_resets_as_are_allowed_pass_and_one_more_does_not() {
    for allowed in [1, 2, 100] {
        let (mut guard, now) = guard(allowed);
        for _ in 0..allowed {
            guard.received(now, &frame(HEADERS, END_HEADERS, 3));
            guard.received(now, &frame(RESET, 0, 4));
        }
        assert_eq!(guard.abuse(), None, "{allowed}");
        guard.received(now, &frame(RESET, 0, 4));
        assert_eq!(guard.abuse(), Some(Abuse::Resets), "{allowed}");
    }
}

#[test]
fn resets_at_the_allowed_rate_pass_for_ever_and_a_burst_comes_back_with_time() {
    let (mut guard, mut now) = guard(10);
    for _ in 0..1000 {
        guard.received(now, &frame(RESET, 0, 4));
        now += SECOND / 10;
    }
    assert_eq!(guard.abuse(), None);
    now += SECOND;
    for _ in 0..10 {
        guard.received(now, &frame(RESET, 0, 4));
    }
    assert_eq!(guard.abuse(), None);
    guard.received(now, &frame(RESET, 0, 4));
    assert_eq!(guard.abuse(), Some(Abuse::Resets));
}

#[test]
fn pings_and_empty_frames_are_bounded_and_earned_by_traffic() {
    let (mut guard, now) = guard(1);
    for n in 0..IDLE_FRAMES_BURST {
        let idle = if n % 2 == 0 { frame(PING, 0, 8) } else { frame(DATA, 0, 0) };
        guard.received(now, &idle);
    }
    assert_eq!(guard.abuse(), None);
    guard.sent(&frame(DATA, 0, 1));
    guard.received(now, &frame(HEADERS, END_HEADERS, 3));
    for _ in 0..IDLE_FRAMES_PER_DATA + IDLE_FRAMES_PER_STREAM {
        guard.received(now, &frame(PING, 0, 8));
    }
    assert_eq!(guard.abuse(), None);
    guard.received(now, &frame(PING, 0, 8));
    assert_eq!(guard.abuse(), Some(Abuse::IdleFrames));
}

#[test]
fn data_is_never_too_much() {
    let (mut guard, now) = guard(1);
    for _ in 0..10 * IDLE_FRAMES_BURST {
        guard.received(now, &frame(DATA, 0, 1));
    }
    assert_eq!(guard.abuse(), None);
}

#[test]
fn a_header_block_has_a_beginning_and_an_end_and_so_many_frames() {
    let (mut guard, now) = guard(1);
    assert_eq!(guard.block_since(), None);
    guard.received(now, &frame(HEADERS, 0, 3));
    assert_eq!(guard.block_since(), Some(now));
    for _ in 1..CONTINUATIONS_MAX {
        guard.received(now + SECOND, &frame(CONTINUATION, 0, 3));
    }
    assert_eq!(guard.block_since(), Some(now), "the block has begun with its first frame");
    let last = frame(CONTINUATION, END_HEADERS, 3);
    guard.received(now + SECOND, &last[..11]);
    assert_eq!(guard.block_since(), Some(now), "it ends with its last byte");
    guard.received(now + SECOND, &last[11..]);
    assert_eq!((guard.block_since(), guard.abuse()), (None, None));
    guard.received(now, &frame(HEADERS, 0, 3));
    for _ in 0..=CONTINUATIONS_MAX {
        guard.received(now, &frame(CONTINUATION, 0, 3));
    }
    assert_eq!(guard.abuse(), Some(Abuse::Continuations));
}

proptest! {
    #[test]
    fn over_any_time_no_more_resets_pass_than_burst_and_rate_allow(
        waits in prop::collection::vec(0u64..200_000, 1..300), allowed in 1u32..50
    ) {
        let (mut guard, start) = guard(allowed);
        let (mut now, mut passed) = (start, 0u64);
        for wait in waits {
            now += Duration::from_micros(wait);
            guard.received(now, &frame(RESET, 0, 4));
            if guard.abuse().is_some() {
                break;
            }
            passed += 1;
        }
        let micros = u64::try_from((now - start).as_micros()).unwrap();
        let most = u64::from(allowed) + u64::from(allowed) * micros / MILLION + 1;
        prop_assert!(passed <= most, "{} of {}", passed, most);
    }
}
