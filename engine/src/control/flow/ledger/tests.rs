use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEEP: Duration = Duration::from_secs(7200);

fn key(number: i8) -> Key {
    Key::Hour(jiff::civil::date(2026, 1, 1), number, Subject::Total)
}

fn applied() -> Settled {
    Settled::Applied { refused: Vec::new() }
}

#[test]
fn a_batch_does_not_change_until_it_is_confirmed() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, 10);
    assert_eq!(ledger.batch(now), None);
    ledger.add(key(1), 5, now);
    ledger.add(key(1), 2, now);
    let first = ledger.batch(now).unwrap();
    assert_eq!(first.parts[0].entries, [(key(1), 7)]);
    ledger.add(key(1), 100, now);
    assert_eq!(ledger.batch(now).unwrap(), first, "what comes meanwhile waits");
    ledger.settle(&first, &[Settled::Open], now);
    assert_eq!(ledger.batch(now).unwrap(), first);
    ledger.settle(&first, &[applied()], now);
    let second = ledger.batch(now).unwrap();
    assert_eq!((second.parts[0].sequence, &second.parts[0].entries[..]), (2, &[(key(1), 100)][..]));
    assert_eq!((ledger.stats.confirmed, ledger.stats.failed), (1, 1));
}

#[test]
fn only_what_is_open_of_a_large_batch_is_sent_again() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, 2);
    (0..5).for_each(|number| ledger.add(key(number), 1, now));
    let batch = ledger.batch(now).unwrap();
    assert_eq!(batch.parts.iter().map(|part| part.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    ledger.settle(&batch, &[applied(), Settled::Open, applied()], now);
    assert_eq!(ledger.batch(now).unwrap().parts, [batch.parts[1].clone()]);
    assert_eq!(ledger.keys(), 2);
}

#[test]
fn what_is_too_much_for_a_pipeline_follows_in_the_next() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, PART_KEYS_MAX);
    let keys = BATCH_KEYS_MAX + 1;
    for number in 0..keys {
        ledger.add(Key::Quota(jiff::civil::date(2026, 1, 1), number.to_string().into()), 1, now);
    }
    let mut sent = Vec::new();
    while let Some(batch) = ledger.batch(now) {
        sent.push(batch.parts.iter().map(|part| part.entries.len()).sum::<usize>());
        ledger.settle(&batch, &vec![applied(); batch.parts.len()], now);
        assert_eq!(ledger.has_rest(), ledger.keys() > 0);
    }
    assert_eq!(sent, [BATCH_KEYS_MAX, 1]);
    assert_eq!((ledger.stats.confirmed, ledger.stats.failed), (2, 0));
}

#[test]
fn a_refused_key_is_tried_again_with_what_came_since() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, 10);
    ledger.add(key(1), 5, now);
    ledger.add(key(2), 6, now);
    let batch = ledger.batch(now).unwrap();
    ledger.add(key(2), 1, now);
    let refusals = ledger.settle(&batch, &[Settled::Applied { refused: vec![(1, "WRONGTYPE".into())] }], now);
    assert_eq!(refusals, [(key(2), "WRONGTYPE".into())]);
    assert_eq!(ledger.batch(now).unwrap().parts[0].entries, [(key(2), 7)]);
}

#[test]
fn what_redis_would_not_keep_any_more_is_dropped_and_counted() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, 10);
    ledger.add(key(1), 5, now);
    ledger.add(key(2), 6, now + KEEP);
    let batch = ledger.batch(now + KEEP + Duration::from_secs(1)).unwrap();
    assert_eq!(batch.parts[0].entries, [(key(2), 6)]);
    assert_eq!(ledger.stats.dropped, 5);
}

#[test]
fn memory_grows_with_keys_and_not_with_time() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, 10);
    for round in 0..10_000 {
        ledger.add(key(0), 1, now + Duration::from_millis(round));
        if let Some(batch) = ledger.batch(now) {
            ledger.settle(&batch, &[Settled::Open], now);
        }
    }
    assert_eq!(ledger.keys(), 2, "one under way, one open");
    assert_eq!(ledger.stats.failed, 10_000);
}

#[test]
fn huge_counts_do_not_wrap() {
    let now = crate::clock::read();
    let mut ledger = Ledger::new(KEEP, 10);
    ledger.add(key(1), u64::MAX, now);
    ledger.add(key(1), 1, now);
    assert_eq!(ledger.batch(now).unwrap().parts[0].entries, [(key(1), u64::MAX)]);
}

/// A Redis as the script makes it: applies a part once and in order.
#[derive(Default)]
struct Server {
    seen: u64,
    counters: BTreeMap<Key, u64>,
    wrong_type: Option<Key>,
}

impl Server {
    fn apply(&mut self, part: &Part, after: u64) -> Settled {
        if self.seen >= part.sequence {
            return applied();
        }
        if self.seen < after {
            return Settled::Open;
        }
        self.seen = part.sequence;
        let mut refused = Vec::new();
        for (index, (key, count)) in part.entries.iter().enumerate() {
            if self.wrong_type.as_ref() == Some(key) {
                refused.push((index, "WRONGTYPE".into()));
            } else {
                *self.counters.entry(key.clone()).or_default() += count;
            }
        }
        Settled::Applied { refused }
    }
}

/// What becomes of one attempt to send a batch.
#[derive(Debug, Clone)]
enum Fate {
    Arrives,
    /// It is applied and the answer is lost.
    AnswerLost,
    /// So many parts arrive, then the connection is lost.
    Cut(usize),
    /// It arrives after everything else that is sent before the next late one.
    Late,
    /// A key is of another type meanwhile.
    WrongType(i8),
}

fn fates() -> impl Strategy<Value = Vec<(u8, i8, Fate)>> {
    let fate = prop_oneof![
        4 => Just(Fate::Arrives),
        2 => Just(Fate::AnswerLost),
        2 => (0..4usize).prop_map(Fate::Cut),
        2 => Just(Fate::Late),
        1 => (0..6i8).prop_map(Fate::WrongType),
    ];
    prop::collection::vec((0..5u8, 0..6i8, fate), 1..80)
}

proptest! {
    #[test]
    fn every_count_arrives_exactly_once_whatever_is_lost(fates in fates(), part_keys in 1..4usize) {
        let now = crate::clock::read();
        let mut ledger = Ledger::new(KEEP, part_keys);
        let mut server = Server::default();
        let mut expected: BTreeMap<Key, u64> = BTreeMap::new();
        let mut late: Option<Batch> = None;
        let deliver = |server: &mut Server, batch: &Batch, parts: usize| -> Vec<Settled> {
            let mut after = 0;
            batch.parts.iter().take(parts).map(|part| {
                server.apply(part, std::mem::replace(&mut after, part.sequence))
            }).collect()
        };
        for (count, number, fate) in fates {
            if count > 0 {
                ledger.add(key(number), u64::from(count), now);
                *expected.entry(key(number)).or_default() += u64::from(count);
            }
            let Some(batch) = ledger.batch(now) else { continue };
            server.wrong_type = if let Fate::WrongType(number) = fate { Some(key(number)) } else { None };
            match fate {
                Fate::Arrives | Fate::WrongType(_) => {
                    let settled = deliver(&mut server, &batch, usize::MAX);
                    ledger.settle(&batch, &settled, now);
                }
                Fate::AnswerLost => {
                    deliver(&mut server, &batch, usize::MAX);
                    ledger.settle(&batch, &[], now);
                }
                Fate::Cut(parts) => {
                    deliver(&mut server, &batch, parts);
                    ledger.settle(&batch, &[], now);
                }
                Fate::Late => {
                    ledger.settle(&batch, &[], now);
                    if let Some(late) = late.replace(batch) {
                        deliver(&mut server, &late, usize::MAX);
                    }
                }
            }
        }
        server.wrong_type = None;
        for _ in 0..3 {
            if let Some(batch) = ledger.batch(now) {
                let settled = deliver(&mut server, &batch, usize::MAX);
                ledger.settle(&batch, &settled, now);
            }
        }
        if let Some(late) = late {
            deliver(&mut server, &late, usize::MAX);
        }
        prop_assert_eq!(ledger.keys(), 0);
        prop_assert_eq!(server.counters, expected);
    }
}
