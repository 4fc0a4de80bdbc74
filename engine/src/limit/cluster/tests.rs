//! Limiters and shards of several processes against the script's model, in simulated time, with calls that take their
//! time, get lost, and processes that come and go.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "numbers that tests make up"
)]

use std::sync::Arc;
use std::time::Instant;

use super::super::tests::{Random, excess, new_seed, rate};
use super::super::{Bucket, Decision, FlowsBack, Lease};
use super::model::Key;
use super::*;

/// A process: its shards' leases, and its talk with the model.
struct Process {
    name: String,
    bucket: Arc<Bucket>,
    limiter: Limiter,
    leases: Vec<Lease>,
    call: Option<Call>,
}

/// An ask under way.
struct Call {
    ask: Ask,
    runs_at: f64,
    answers_at: f64,
    answer: Option<Answer>,
}

struct World {
    key: Key,
    start: Instant,
    /// Redis can be reached.
    up: bool,
    /// What Redis's clock is ahead of ours, microseconds.
    clock: i64,
    processes: Vec<Process>,
    shards: usize,
    rate: Rate,
    random: Random,
    admitted: Vec<f64>,
    by_process: Vec<u64>,
    started: usize,
    calls: u64,
    /// Most that an ask takes, in seconds.
    slowest: f64,
}

/// A step of the simulation in seconds.
const STEP: f64 = 0.001;

impl World {
    fn new(rate: Rate, processes: usize, shards: usize, seed: u64) -> World {
        let mut world = World {
            key: Key::default(),
            start: crate::clock::read(),
            up: true,
            clock: 1_800_000_000_000_000,
            processes: Vec::new(),
            shards,
            rate,
            random: Random(seed),
            admitted: Vec::new(),
            by_process: vec![0; processes],
            started: 0,
            calls: 0,
            slowest: 0.01,
        };
        for _ in 0..processes {
            let process = world.process(0.0);
            world.processes.push(process);
        }
        world
    }

    fn process(&mut self, time: f64) -> Process {
        let now = self.at(time);
        let bucket = Arc::new(Bucket::new_shared(self.rate, self.shards, now));
        self.started += 1;
        let seed = (self.random.share() * 1e18) as u64;
        Process {
            name: format!("p{}", self.started),
            limiter: Limiter::new(bucket.clone(), seed, now).unwrap(),
            leases: (0..self.shards).map(|_| Lease::new(bucket.clone(), now)).collect(),
            bucket,
            call: None,
        }
    }

    fn at(&self, time: f64) -> Instant {
        self.start + Duration::from_secs_f64(time)
    }

    /// One step: `demand` requests a second of each process.
    fn step(&mut self, time: f64, demand: &[f64]) {
        let now = self.at(time);
        for (index, demand) in demand.iter().enumerate() {
            self.talk(index, time);
            let wanted = demand * STEP;
            let requests = wanted as usize + usize::from(self.random.share() < wanted.fract());
            for _ in 0..requests {
                let shard = self.random.below(self.shards);
                if self.processes[index].leases[shard].admit(now) == Decision::Admit {
                    self.admitted.push(time);
                    self.by_process[index] += 1;
                }
            }
            if ((time / STEP) as u64).is_multiple_of(50) {
                self.processes[index].leases.iter_mut().for_each(|lease| lease.flow_back(now));
            }
        }
    }

    fn talk(&mut self, index: usize, time: f64) {
        let now = self.at(time);
        let server = (self.clock + (time * 1e6) as i64) as u64;
        let process = &mut self.processes[index];
        if let Some(call) = &mut process.call {
            if call.answer.is_none() && time >= call.runs_at && self.up {
                call.answer = Some(self.key.lease(&process.name, &call.ask, server));
            }
            if time >= call.answers_at {
                match (process.call.take().unwrap().answer, self.up) {
                    (Some(answer), true) => process.limiter.answered(answer, now),
                    _ => process.limiter.failed(now),
                }
            }
        } else if let Some(ask) = process.limiter.ask(now) {
            self.calls += 1;
            let latency = 0.0005 + self.random.share() * self.random.share() * self.slowest;
            let runs_at = time + latency / 2.0;
            process.call = Some(Call { ask, runs_at, answers_at: time + latency, answer: None });
        }
    }

    /// What may be admitted beyond rate x window: see the module's head. The last is the simulation's own: requests of
    /// one step have one time.
    fn most(&self) -> f64 {
        let shards = self.processes.iter().map(|process| process.leases.len()).sum::<usize>() as f64;
        let per_second = self.rate.requests_per_second;
        let hold = per_second / (100.0 * BATCHES as f64) * self.processes.len() as f64;
        let hold = if per_second < 100.0 * BATCHES as f64 * shards { 0.0 } else { hold };
        self.rate.burst + slack(self.rate) + hold + per_second * STEP + 1e-3
    }
}

#[test]
fn simulation_of_processes_that_want_more_than_there_is() {
    let seed = new_seed();
    for processes in [1, 2, 3, 8] {
        for shards in [1, 4] {
            for (per_second, burst) in [
                (0.7, 1.0),
                (5.0, 10.0),
                (300.0, 30.0),
                (1_000.0, 1_000.0),
                (20_000.0, 1.0),
                (20_000.0, 40_000.0),
            ] {
                let what = format!("seed {seed}: {processes} x {shards}, {per_second}/s, burst {burst}");
                let mut world = World::new(rate(per_second, burst), processes, shards, seed);
                let seconds = (10.0 / per_second).max(5.0);
                let demand = vec![(per_second * 1.5).max(20.0); processes];
                let mut time = 0.0;
                // Answered, but for the first tokens of their own, which are subtracted.
                while time < 0.1 {
                    world.step(time, &vec![0.0; processes]);
                    time += STEP;
                }
                while time < seconds + 0.1 {
                    world.step(time, &demand);
                    time += STEP;
                }
                let most = world.most();
                let excess = excess(&world.admitted, per_second);
                assert!(excess <= most, "{what}: {excess} of {most} in some window");
                // Whole tokens, some of them in stocks at the end.
                let due = 0.99 * per_second * seconds - processes as f64;
                let admitted = world.admitted.len() as f64;
                assert!(admitted >= due, "{what}: {admitted} of {due}");
                if per_second >= 300.0 {
                    let fair = admitted / processes as f64;
                    for (index, got) in world.by_process.iter().enumerate() {
                        assert!(*got as f64 > fair / 2.0, "{what}: process {index} got {got} of {fair}");
                    }
                }
                let calls = world.calls as f64 / seconds / processes as f64;
                assert!(calls < 40.0, "{what}: {calls} calls a second and process");
            }
        }
    }
}

#[test]
fn simulation_of_uneven_and_changing_traffic() {
    let seed = new_seed();
    for (per_second, burst) in [(50.0, 50.0), (2_000.0, 2_000.0), (2_000.0, 100.0)] {
        let mut world = World::new(rate(per_second, burst), 4, 2, seed);
        let what = format!("seed {seed}: {per_second}/s, burst {burst}");
        let mut time = 0.0;
        let mut given = [0usize; 6];
        for (phase, given) in given.iter_mut().enumerate() {
            let before = world.admitted.len();
            for _ in 0..5_000 {
                let demand = match phase {
                    // All on one process; on another; all; nothing; little of all but one; in turns.
                    0 => [2.0, 0.0, 0.0, 0.0],
                    1 => [0.0, 2.0, 0.0, 0.0],
                    2 => [2.0, 2.0, 2.0, 2.0],
                    3 => [0.0; 4],
                    4 => [0.02, 0.02, 0.02, 2.0],
                    _ if ((time / 0.03) as u64).is_multiple_of(2) => [3.0, 0.0, 0.0, 0.0],
                    _ => [0.0, 0.0, 3.0, 0.0],
                };
                world.step(time, &demand.map(|share| share * per_second));
                time += STEP;
            }
            *given = world.admitted.len() - before;
        }
        let (most, excess) = (world.most(), excess(&world.admitted, per_second));
        assert!(excess <= most, "{what}: {excess} of {most} in some window");
        for (phase, given) in given.into_iter().enumerate().filter(|(phase, _)| *phase != 3) {
            // Less what idle processes have of the burst, which they may keep for a while, and of what comes until they
            // have noticed that it is not they any more that spend.
            let noticed = PERIOD_UNSPENT.as_secs_f64() / 2.0;
            let due = 0.99 * per_second * 5.0 - burst - 4.0 - per_second * noticed;
            assert!(given as f64 >= due, "{what}, phase {phase}: {given} of {due}");
        }
    }
}

#[test]
fn asks_that_take_long_cost_nothing_but_a_part_of_the_burst() {
    let seed = new_seed();
    for processes in [1, 2, 4] {
        let per_second = 100.0;
        let mut world = World::new(rate(per_second, 100.0), processes, 2, seed);
        world.slowest = 0.8;
        let mut time = 0.0;
        // All of them, then one alone: what the others were granted last is not lost for long.
        for (phase, seconds) in [(0, 6.0), (1, 6.0)] {
            let before = world.admitted.len();
            for _ in 0..(seconds / STEP) as usize {
                let demand: Vec<f64> = (0..processes)
                    .map(|index| if phase == 0 || index == 0 { 4_000.0 } else { 0.0 })
                    .collect();
                world.step(time, &demand);
                time += STEP;
            }
            let given = (world.admitted.len() - before) as f64;
            // At the end of a phase some is in Redis, in stocks and on its way, for each process.
            let due = 0.7 * per_second * seconds;
            assert!(given >= due, "seed {seed}: {processes} processes, phase {phase}: {given} of {due}");
        }
        let (most, excess) = (world.most(), excess(&world.admitted, per_second));
        // Before the first answers, which came late, each goes by a pace of its own.
        let most = most + processes as f64 * per_second * 0.6;
        assert!(excess <= most, "seed {seed}: {processes} processes: {excess} of {most}");
    }
}

#[test]
fn an_idle_limit_is_hardly_asked_for_and_admits_its_share_at_once() {
    let mut world = World::new(rate(100.0, 100.0), 2, 1, new_seed());
    let mut time = 0.0;
    let mut run = |world: &mut World, seconds: f64, demand: [f64; 2]| {
        for _ in 0..(seconds / STEP) as usize {
            world.step(time, &demand);
            time += STEP;
        }
    };
    run(&mut world, 12.0, [0.0, 0.0]);
    let calls = world.calls;
    run(&mut world, 60.0, [0.0, 0.0]);
    assert!((10..=14).contains(&(world.calls - calls)), "{} calls of two processes", world.calls - calls);
    // Fifty at once, which is a process's share of the burst.
    run(&mut world, STEP, [50.0 / STEP, 0.0]);
    assert_eq!(world.by_process, [50, 0]);
    run(&mut world, 0.2, [0.0, 0.0]);
    run(&mut world, STEP, [0.0, 50.0 / STEP]);
    assert_eq!(world.by_process, [50, 50]);
}

#[test]
fn alone_while_redis_is_down_each_goes_on_with_its_share() {
    let seed = new_seed();
    let per_second = 1_000.0;
    let mut world = World::new(rate(per_second, 500.0), 4, 2, seed);
    let mut time = 0.0;
    let mut run = |world: &mut World, seconds: f64| {
        let before = world.admitted.len();
        for _ in 0..(seconds / STEP) as usize {
            world.step(time, &[per_second; 4]);
            time += STEP;
        }
        (world.admitted.len() - before) as f64
    };
    run(&mut world, 3.0);
    let states = |world: &World| world.processes.iter().map(|it| it.limiter.state()).collect::<Vec<_>>();
    assert_eq!(states(&world), [State::Leased; 4]);
    world.up = false;
    let alone = run(&mut world, 10.0);
    assert_eq!(states(&world), [State::Degraded; 4]);
    assert!((0.98..1.05).contains(&(alone / per_second / 10.0)), "seed {seed}: {alone}");
    // Back, with its data, and once more without.
    world.up = true;
    let together = run(&mut world, 5.0);
    assert_eq!(states(&world), [State::Leased; 4]);
    assert!((0.97..1.12).contains(&(together / per_second / 5.0)), "seed {seed}: {together}");
    world.up = false;
    run(&mut world, 2.0);
    world.key = Key::default();
    world.up = true;
    let together = run(&mut world, 5.0);
    assert!((0.97..1.12).contains(&(together / per_second / 5.0)), "seed {seed}: {together}");
}

#[test]
fn processes_that_crash_and_come_back_do_not_cost_the_rate() {
    let seed = new_seed();
    let per_second = 1_000.0;
    let mut world = World::new(rate(per_second, 200.0), 3, 2, seed);
    let mut time = 0.0;
    let mut crashes = 0.0;
    for step in 0..20_000 {
        if step % 1_500 == 700 {
            let who = world.random.below(3);
            let fresh = world.process(time);
            // What its shards held dies with it.
            let old = std::mem::replace(&mut world.processes[who], fresh);
            old.leases.into_iter().for_each(std::mem::forget);
            crashes += 1.0;
        }
        world.step(time, &[per_second; 3]);
        time += STEP;
    }
    let admitted = world.admitted.len() as f64;
    // A new process has a lease's tokens of its own, and owes them.
    let most = world.most() + crashes * 0.1 * per_second;
    let excess = excess(&world.admitted, per_second);
    assert!(excess <= most, "seed {seed}: {excess} of {most}");
    assert!(admitted <= world.rate.burst + per_second * (20.0 + 0.3), "seed {seed}: {admitted} in all");
    assert!(admitted >= 0.97 * per_second * 20.0, "seed {seed}: {admitted}");
}

#[test]
fn a_clock_that_is_set_back_grants_nothing_and_one_set_forward_a_burst_at_most() {
    let seed = new_seed();
    let per_second = 500.0;
    for (jump, more) in [(-3_600_000_000_i64, 0.0), (-10_000_000, 0.0), (3_600_000_000, 1.0)] {
        let mut world = World::new(rate(per_second, 300.0), 2, 2, seed);
        let mut time = 0.0;
        for step in 0..8_000 {
            if step == 4_000 {
                world.clock += jump;
            }
            world.step(time, &[per_second; 2]);
            time += STEP;
        }
        let most = world.most() * (1.0 + more) + 0.1 * per_second;
        let excess = excess(&world.admitted, per_second);
        assert!(excess <= most, "seed {seed}, {jump}: {excess} of {most}");
        let admitted = world.admitted.len() as f64;
        assert!(admitted >= 0.98 * per_second * 8.0, "seed {seed}, {jump}: {admitted}");
    }
}

#[test]
fn another_rate_holds_at_once() {
    let seed = new_seed();
    let mut world = World::new(rate(1_000.0, 1_000.0), 2, 2, seed);
    let mut time = 0.0;
    let mut run = |world: &mut World, seconds: f64| {
        let before = world.admitted.len();
        for _ in 0..(seconds / STEP) as usize {
            world.step(time, &[3_000.0; 2]);
            time += STEP;
        }
        (world.admitted.len() - before) as f64
    };
    run(&mut world, 4.0);
    for (per_second, burst) in [(100.0, 10.0), (2_000.0, 50.0)] {
        world.rate = rate(per_second, burst);
        for process in &mut world.processes {
            let now = world.start + Duration::from_secs_f64(4.0);
            let bucket = Bucket::renew_shared(Some(&process.bucket), world.rate, 2, now);
            assert!(process.limiter.renew(&bucket));
            process.bucket = bucket.clone();
            process.leases = (0..2).map(|_| Lease::new(bucket.clone(), now)).collect();
        }
        let settling = run(&mut world, 0.5);
        assert!(settling <= 600.0 + per_second, "seed {seed}: {settling}");
        let given = run(&mut world, 4.0) / per_second / 4.0;
        assert!((0.98..1.1).contains(&given), "seed {seed}: {given} of {per_second}/s");
    }
}

#[test]
fn what_was_admitted_before_the_first_answer_is_owed_until_it_is_heard() {
    let start = crate::clock::read();
    let at = |millis| start + Duration::from_millis(millis);
    let bucket = Arc::new(Bucket::new_shared(rate(100.0, 50.0), 1, start));
    let mut limiter = Limiter::new(bucket.clone(), 7, start).unwrap();
    let mut lease = Lease::new(bucket, start);
    let admitted = (0..20).filter(|_| lease.admit(start) == Decision::Admit).count();
    assert_eq!(admitted, 10, "a lease's tokens");
    assert_eq!(limiter.ask(at(1)).unwrap().owed, 10);
    limiter.failed(at(2));
    assert_eq!(limiter.state(), State::Starting);
    assert_eq!(limiter.ask(at(5)), None, "not at once again");
    let again = limiter.ask(at(30)).unwrap();
    assert_eq!(again.owed, 10, "Redis may not have heard of it");
    let answer = Key::default().lease("a", &again, 1_000_000);
    assert_eq!(
        (answer.granted, answer.left),
        (40, 8),
        "burst and slack, but for what is owed; the slack is left"
    );
    limiter.answered(answer, at(31));
    assert_eq!(limiter.state(), State::Leased);
    let admitted = (0..60).filter(|_| lease.admit(at(31)) == Decision::Admit).count();
    assert_eq!(admitted, 40);
    let next = limiter.ask(at(40)).unwrap();
    assert_eq!((next.owed, next.stock, next.short), (0, 0, true));
    limiter.failed(at(41));
    assert_eq!(limiter.state(), State::Degraded, "one that fails is enough");
    assert!(matches!(lease.admit(at(41)), Decision::Refuse { .. }), "it goes on from what it had: nothing");
    assert_eq!(lease.admit(at(60)), Decision::Admit, "and by its pace");
}

#[test]
fn who_is_short_asks_for_all_that_came_meanwhile_however_little_it_was_granted_before() {
    let start = crate::clock::read();
    let bucket = Arc::new(Bucket::new_shared(rate(100.0, 100.0), 1, start));
    let mut limiter = Limiter::new(bucket.clone(), 7, start).unwrap();
    let mut lease = Lease::new(bucket, start);
    let nothing = Answer {
        granted: 0,
        left: 0,
        processes: 2,
        others_short: 1,
        next: Duration::from_millis(10),
        fit: 100,
    };
    for turn in 0..10 {
        let now = start + Duration::from_millis(300 * turn);
        let needs = limiter.ask(now).unwrap().need;
        assert!(turn < 2 || (30..=100).contains(&needs), "{needs} after 300 ms at 100 a second");
        limiter.answered(nothing, now);
        assert!(matches!(lease.admit(now), Decision::Refuse { .. }) || turn == 0);
    }
}

#[test]
fn who_leaves_gives_back_what_it_has() {
    let mut world = World::new(rate(100.0, 100.0), 2, 1, new_seed());
    for step in 0..3_000 {
        world.step(f64::from(step) * STEP, &[0.0; 2]);
    }
    let held = |world: &World, name: &str| world.key.processes.get(name).map(|(held, ..)| *held);
    let (first, free) = (held(&world, "p1").unwrap(), world.key.tokens.unwrap());
    assert!(first >= 50, "{first}");
    let ask = world.processes[0].limiter.leave();
    assert_eq!(ask.returned, first);
    let server = (world.clock + 3_000_000) as u64;
    let answer = world.key.lease("p1", &ask, server);
    assert_eq!((answer.granted, answer.processes), (0, 1));
    assert_eq!(held(&world, "p1"), None);
    assert!((world.key.tokens.unwrap() - free - first as f64).abs() < 1e-3);
    let now = world.at(3.0);
    assert!(matches!(world.processes[0].leases[0].admit(now), Decision::Refuse { .. }));
}
