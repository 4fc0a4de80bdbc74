//! The ledger's words in Redis: names of keys, the script, its answers.
//!
//! Input: a [`Batch`]. Output: the [`Call`]s of one pipeline; and back, what came of it ([`Settled`]).
//!
//! | key | value | kept for |
//! |---|---|---|
//! | `{prefix}flow_day_{YYYYMMDD}_{id}` | requests of a day in `stats.timezone` | `stats.retention` after the last of them |
//! | `{prefix}flow_hour_{YYYYMMDDHH}_{id}` | requests of an hour | the same |
//! | `{prefix}quota_day_{YYYYMMDD}_{app_id}` | admitted requests of a tenant that has `requests_per_day` | the same, at least 48 h |
//! | `{prefix}flow_seen_{instance}_{boot}` | number of the last part that was applied for this process | as long as the longest of them; an hour after the process has stopped in an orderly way |
//!
//! `id` is `flow_total`, `flow_service_{name}` or `flow_app_{app_id}`.
//!
//! **Redis Cluster.** A script may only touch keys of one slot. If `stats.key_prefix` holds a hash tag (`{coregate}:`), all
//! keys are in one slot, on one node, and all is as on a single server. Otherwise the keys are spread: each is a part, a
//! call of its own (all in one pipeline still), with its own number of the last part beside it in the same slot,
//! `{prefix}flow_seen_{instance}_{boot}_{KEY}` with KEY in braces. There are twice as many keys then, and a reader may see an hour that has been added
//! to and its day not yet. Braces in the prefix that are no hash tag are refused ([`check_prefix`]), as no key could be
//! made for the same slot.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::calendar::DayText;
use super::ledger::{Batch, Key, Part, Settled, Subject};
use crate::control::redis::{Call, Refused, Reply, Script};

/// How long a quota's key is kept at least.
const QUOTA_KEPT_MIN: Duration = Duration::from_secs(48 * 3600);
/// How long the last number of a process that has stopped is kept.
const SEEN_KEPT_AFTER_END: Duration = Duration::from_secs(3600);

/// Applies a part once. The number is written first: where Redis refuses to write it refuses there, before anything is
/// applied; and once a script has written it is not refused any more. What can still fail is a single key.
static APPLY: Script = Script::new(
    r"
-- KEYS: the last number, then the counters, quotas last.
-- ARGV: number, number that must have been applied before it (0 = any), seconds to keep the number, how many quotas;
--       then for each counter what to add, seconds to keep it.
-- Returns {1 applied | 0 was applied before | -1 not its turn, {index, error, ..}, {values of the quotas}, error of EXPIRE}
local seen = tonumber(redis.call('GET', KEYS[1]) or '0')
local first_quota = #KEYS - tonumber(ARGV[4]) + 1
local refused, used, unkept = {}, {}, ''
if seen >= tonumber(ARGV[1]) then
  for i = first_quota, #KEYS do
    local value = redis.pcall('GET', KEYS[i])
    used[#used + 1] = type(value) == 'string' and tonumber(value) or -1
  end
  return {0, refused, used, unkept}
end
if seen < tonumber(ARGV[2]) then
  return {-1, refused, used, unkept}
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
for i = 2, #KEYS do
  local answer = redis.pcall('INCRBY', KEYS[i], ARGV[2 * i + 1])
  if type(answer) == 'number' then
    local kept = redis.pcall('EXPIRE', KEYS[i], ARGV[2 * i + 2])
    if type(kept) == 'table' and kept.err then unkept = kept.err end
  else
    refused[#refused + 1] = i - 2
    refused[#refused + 1] = type(answer) == 'table' and answer.err or 'no number'
    answer = -1
  end
  if i >= first_quota then used[#used + 1] = answer end
end
return {1, refused, used, unkept}
",
);

/// How keys are named, and for how long Redis keeps them.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
    /// Of this process: instance and boot.
    process: String,
    kept: Duration,
    /// Each key stands in a slot of its own.
    spread: bool,
}

/// What came of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One for each part.
    pub settled: Vec<Settled>,
    /// The values of quotas as they are now.
    pub quotas: Vec<(Key, u64)>,
    /// Why parts are open, if the server gave a reason.
    pub open_because: Option<Arc<str>>,
    /// Why counters were left without an end.
    pub unkept: Option<Arc<str>>,
}

impl Names {
    /// For a process. `cluster`: the keys are on a Redis Cluster.
    pub fn new(prefix: &str, instance: &str, boot: &str, kept: Duration, cluster: bool) -> Self {
        let spread = cluster && hash_tag(prefix).is_none();
        Self { prefix: prefix.to_owned(), process: format!("{instance}_{boot}"), kept, spread }
    }

    /// Whether each key is a part of its own.
    pub fn spread(&self) -> bool {
        self.spread
    }

    /// How a key is called in Redis.
    pub fn key(&self, key: &Key) -> String {
        let mut name = self.prefix.clone();
        // Writing to a String cannot fail.
        let _ = match key {
            Key::Day(date, subject) => write!(name, "flow_day_{}_{}", DayText(*date), Id(subject)),
            Key::Hour(date, hour, subject) => {
                write!(name, "flow_hour_{}{hour:02}_{}", DayText(*date), Id(subject))
            }
            Key::Quota(date, app) => write!(name, "quota_day_{}_{app}", DayText(*date)),
        };
        name
    }

    /// The pipeline of a batch. `last`: the process ends after it.
    pub fn calls(&self, batch: &Batch, last: bool) -> Vec<Call> {
        let mut before = 0;
        let call = |part: &Arc<Part>| {
            // Parts ahead of the first one are confirmed, whatever Redis remembers of them. Spread keys have no order.
            let after = if self.spread { 0 } else { std::mem::replace(&mut before, part.sequence) };
            self.call(part, after, last)
        };
        batch.parts.iter().map(call).collect()
    }

    fn call(&self, part: &Part, after: u64, last: bool) -> Call {
        let quotas = part.entries.iter().filter(|(key, _)| matches!(key, Key::Quota(..))).count();
        let names: Vec<String> = part.entries.iter().map(|(key, _)| self.key(key)).collect();
        let seen_kept = if last { SEEN_KEPT_AFTER_END } else { self.kept.max(QUOTA_KEPT_MIN) };
        let number = |value: u64| Reply::from(value.to_string());
        let mut args =
            vec![number(part.sequence), number(after), number(seen_kept.as_secs()), number(quotas as u64)];
        for (key, count) in &part.entries {
            let kept = if matches!(key, Key::Quota(..)) { self.kept.max(QUOTA_KEPT_MIN) } else { self.kept };
            args.push(number(*count));
            args.push(number(kept.as_secs().max(1)));
        }
        let mut keys = vec![self.seen(names.first().map_or("", String::as_str))];
        keys.extend(names);
        Call::script(&APPLY, keys, args)
    }

    /// The key of the last number, in the same slot as `key` where that matters.
    fn seen(&self, key: &str) -> String {
        let (prefix, process) = (&self.prefix, &self.process);
        if !self.spread {
            return format!("{prefix}flow_seen_{process}");
        }
        // The prefix holds no brace (`check_prefix`), so that this is the hash tag.
        format!("{prefix}flow_seen_{process}_{{{key}}}")
    }
}

/// What the answers of a batch's calls mean.
pub fn read(batch: &Batch, answers: &[Result<Reply, Refused>]) -> Outcome {
    let mut outcome = Outcome { settled: Vec::new(), quotas: Vec::new(), open_because: None, unkept: None };
    for (index, part) in batch.parts.iter().enumerate() {
        let settled = match answers.get(index) {
            Some(Ok(reply)) => read_part(part, reply, &mut outcome),
            Some(Err(Refused(why))) => {
                outcome.open_because.get_or_insert(Arc::clone(why));
                Settled::Open
            }
            None => Settled::Open,
        };
        outcome.settled.push(settled);
    }
    outcome
}

fn read_part(part: &Part, reply: &Reply, outcome: &mut Outcome) -> Settled {
    let Reply::Array(fields) = reply else { return strange(reply, outcome) };
    let [state, Reply::Array(refused), Reply::Array(used), unkept] = fields.as_slice() else {
        return strange(reply, outcome);
    };
    match state.as_i64() {
        Some(0 | 1) => {}
        // Its turn comes with the next attempt, which begins with the part ahead of it.
        Some(-1) => return Settled::Open,
        _ => return strange(reply, outcome),
    }
    let quotas = part.entries.iter().map(|(key, _)| key).filter(|key| matches!(key, Key::Quota(..)));
    for (key, used) in quotas.zip(used) {
        if let Some(used) = used.as_i64().and_then(|used| u64::try_from(used).ok()) {
            outcome.quotas.push((key.clone(), used));
        }
    }
    if let Some(why) = unkept.as_str().filter(|why| !why.is_empty()) {
        outcome.unkept = Some(why.as_ref().into());
    }
    let refusal = |pair: &[Reply]| {
        let [index, why] = pair else { return None };
        Some((usize::try_from(index.as_i64()?).ok()?, Arc::from(why.as_str()?.as_ref())))
    };
    Settled::Applied { refused: refused.chunks(2).filter_map(refusal).collect() }
}

fn strange(reply: &Reply, outcome: &mut Outcome) -> Settled {
    outcome.open_because.get_or_insert_with(|| format!("an answer of another form: {reply:?}").into());
    Settled::Open
}

struct Id<'a>(&'a Subject);

impl std::fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Subject::Total => f.write_str("flow_total"),
            Subject::Service(name) => write!(f, "flow_service_{name}"),
            Subject::App(app) => write!(f, "flow_app_{app}"),
        }
    }
}

/// What of a key says its slot, if not all of it (Redis Cluster specification, "Hash tags").
fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    rest.split_once('}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty())
}

/// Whether a prefix can be used on a Redis Cluster.
///
/// # Errors
/// What would be right.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    if hash_tag(prefix).is_some() || !prefix.contains(['{', '}']) {
        return Ok(());
    }
    Err("on a Redis Cluster may hold braces only as a hash tag such as \"{coregate}:\"".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str, cluster: bool) -> Names {
        Names::new(prefix, "host", "1", Duration::from_secs(7200), cluster)
    }

    #[test]
    fn keys_are_those_that_are_documented() {
        let names = names("gw:", false);
        let date = jiff::civil::date(2026, 1, 2);
        for (key, name) in [
            (Key::Day(date, Subject::Total), "gw:flow_day_20260102_flow_total"),
            (Key::Hour(date, 3, Subject::Service("a".into())), "gw:flow_hour_2026010203_flow_service_a"),
            (Key::Hour(date, 23, Subject::App("b".into())), "gw:flow_hour_2026010223_flow_app_b"),
            (Key::Quota(date, "b".into()), "gw:quota_day_20260102_b"),
        ] {
            assert_eq!(names.key(&key), name);
        }
    }

    #[test]
    fn on_a_cluster_the_number_stands_in_the_slot_of_its_key() {
        let (plain, tagged) = (names("gw:", true), names("{gw}:", true));
        assert!(plain.spread() && !tagged.spread());
        let slot = |key: &str| fred::util::redis_keyslot(key.as_bytes());
        let key = Key::Day(jiff::civil::date(2026, 1, 2), Subject::Total);
        for names in [&plain, &tagged] {
            let name = names.key(&key);
            assert_eq!(slot(&name), slot(&names.seen(&name)), "{name}");
        }
        assert_eq!(check_prefix("{gw}:"), Ok(()));
        assert_eq!(check_prefix("gw:"), Ok(()));
        for odd in ["g}w:", "g{w:", "{}gw:"] {
            assert!(check_prefix(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn answers_are_read_part_by_part() {
        let date = jiff::civil::date(2026, 1, 2);
        let part = |sequence| {
            let entries = vec![(Key::Day(date, Subject::Total), 5), (Key::Quota(date, "b".into()), 2)];
            Arc::new(Part { sequence, entries })
        };
        let batch = Batch { parts: vec![part(1), part(2), part(3), part(4)] };
        let empty = || Reply::Array(vec![]);
        let answers = vec![
            Ok(Reply::Array(vec![
                1.into(),
                Reply::Array(vec![0.into(), "WRONGTYPE".into()]),
                Reply::Array(vec![7.into()]),
                "".into(),
            ])),
            Ok(Reply::Array(vec![0.into(), empty(), Reply::Array(vec![(-1).into()]), "NOPERM".into()])),
            Ok(Reply::Array(vec![(-1).into(), empty(), empty(), "".into()])),
            Err(Refused("READONLY".into())),
        ];
        let outcome = read(&batch, &answers);
        assert_eq!(
            outcome.settled,
            [
                Settled::Applied { refused: vec![(0, "WRONGTYPE".into())] },
                Settled::Applied { refused: vec![] },
                Settled::Open,
                Settled::Open,
            ]
        );
        assert_eq!(outcome.quotas, [(Key::Quota(date, "b".into()), 7)]);
        assert_eq!(outcome.open_because.as_deref(), Some("READONLY"));
        assert_eq!(outcome.unkept.as_deref(), Some("NOPERM"));
        let strange = read(&batch, &[Ok(Reply::Null)]);
        assert!(strange.settled.iter().all(|settled| *settled == Settled::Open));
    }
}
