use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn wheel() -> (Rc<Wheel>, Instant) {
    let start = crate::clock::read();
    (Rc::new(Wheel::new(start, Rc::default())), start)
}

fn watched(wheel: &Rc<Wheel>) -> (Timer, Arc<Count>) {
    let timer = wheel.timer();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    wheel.watch(timer.key, &Waker::from(count.clone()));
    (timer, count)
}

#[test]
fn a_deadline_passes_never_early_and_at_most_a_tick_late() {
    for ms in [1, 15, 16, 17, 100, 4_095, 4_096, 4_097, 10_000, 75_000, 1_048_576, 3_600_000] {
        let (wheel, start) = wheel();
        let (timer, count) = watched(&wheel);
        timer.set(start + Duration::from_millis(ms));
        wheel.advance(start + Duration::from_millis(ms - 1));
        assert!(!timer.expired() && count.0.load(Ordering::Relaxed) == 0, "{ms} ms: early");
        wheel.advance(start + Duration::from_millis(ms) + TICK);
        assert!(timer.expired() && count.0.load(Ordering::Relaxed) == 1, "{ms} ms: late");
    }
}

#[test]
fn a_later_deadline_takes_the_place_of_an_earlier_one() {
    let (wheel, start) = wheel();
    let (timer, count) = watched(&wheel);
    timer.set(start + Duration::from_secs(10));
    timer.set(start + Duration::from_secs(75));
    wheel.advance(start + Duration::from_secs(74));
    assert!(!timer.expired());
    timer.set(start + Duration::from_secs(76));
    timer.set(start + Duration::from_secs(75));
    wheel.advance(start + Duration::from_secs(75) + TICK);
    assert!(timer.expired());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_cleared_or_dropped_timer_never_fires() {
    let (wheel, start) = wheel();
    let (timer, count) = watched(&wheel);
    let (dropped, dropped_count) = watched(&wheel);
    timer.set(start + Duration::from_secs(1));
    dropped.set(start + Duration::from_secs(1));
    timer.clear();
    drop(dropped);
    wheel.advance(start + Duration::from_secs(2));
    assert!(!timer.expired());
    assert_eq!((count.0.load(Ordering::Relaxed), dropped_count.0.load(Ordering::Relaxed)), (0, 0));
    assert_eq!(wheel.next_turn(), None);
}

proptest! {
    /// Whatever is set, moved, dropped and however time steps: each timer fires between its deadline and a tick after.
    #[test]
    fn timers_fire_when_due(
        steps in prop::collection::vec((0u8..4, 0usize..8, 0u64..3_000_000), 1..200)
    ) {
        let (wheel, start) = wheel();
        let mut now = start;
        let mut timers: Vec<(Timer, Option<Instant>)> = (0..8).map(|_| (wheel.timer(), None)).collect();
        for (action, which, ms) in steps {
            match action {
                0 => {
                    let deadline = now + Duration::from_millis(ms);
                    timers[which].0.set(deadline);
                    timers[which].1 = Some(deadline);
                }
                1 => {
                    timers[which].0.clear();
                    timers[which].1 = None;
                }
                2 => timers[which] = (wheel.timer(), None),
                _ => {
                    let to = now + Duration::from_millis(ms % 10_000);
                    // As the driver does: never sleep past the next turn of the wheel.
                    while let Some(next) = wheel.next_turn().filter(|next| *next <= to) {
                        prop_assert!(next > now - TICK);
                        now = now.max(next);
                        wheel.advance(now);
                    }
                    now = to;
                    wheel.advance(now);
                }
            }
            for (timer, deadline) in &timers {
                match deadline {
                    Some(deadline) if *deadline + TICK <= now => prop_assert!(timer.expired()),
                    Some(deadline) if *deadline > now => prop_assert!(!timer.expired()),
                    Some(_) => {}
                    None => prop_assert!(!timer.expired()),
                }
            }
        }
    }
}
