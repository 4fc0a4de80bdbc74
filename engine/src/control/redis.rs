//! Redis: one connection of the process, and scripts that are run over it.
//!
//! Input: an [`Address`] out of `stats.redis_url`, and [`Call`]s. Output: their replies, or why there are none. Owner: the
//! control thread's runtime; [`Redis`] is a handle that its tasks clone. Shards never see it.
//!
//! How to use it:
//!
//! ```ignore
//! let redis = Redis::start(Address::parse(url)?);          // returns at once; connects in the background, for ever
//! static TAKE: Script = Script::new("return ...");          // its SHA-1 is computed once, the text sent when unknown
//! let calls = vec![Call::script(&TAKE, vec![key], vec![5.into()])];
//! let replies = redis.run(calls).await?;                    // one pipeline; one result for each call, in order
//! let health = redis.health();                              // whether it works, and if not, why and since when
//! ```
//!
//! What holds:
//!
//! - Nothing is sent twice by this module: a call whose connection broke has an unknown outcome and fails with
//!   [`Failure::Lost`]. Whoever repeats it makes it idempotent.
//! - Calls of one pipeline reach one server in their order. On a Redis Cluster each call goes to the node of its first
//!   key, so all keys of a call must be of one slot, and calls of different slots have no order.
//! - A pipeline that has no answer within [`ANSWER_TIMEOUT`] fails, and its connection is given up: what is behind it in
//!   the same connection would be late as well.
//! - While there is no connection [`Redis::run`] fails at once. New ones are tried for ever, with a pause that grows from
//!   [`PAUSE_MIN`] to [`PAUSE_MAX`]. Each is made from scratch: names are looked up, Sentinels asked, the cluster's map
//!   read, the system's root certificates loaded (SSL_CERT_FILE and SSL_CERT_DIR name others).
//! - At most [`PIPELINES_MAX`] pipelines are under way; more fail with [`Failure::Busy`].
//! - A server that refuses to write (read-only, full, loading, wrong password) is *not up*, though it is connected; it is
//!   up again with the first pipeline that it takes.
//! - What is wrong is logged when it changes and once a minute, with what would be right. No log line and no error holds
//!   a password.

mod address;
mod health;
mod link;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};
use tokio::time::timeout;

pub use address::{Address, tls as tls_config};
pub use health::{Health, Trouble};
pub use link::Redis;

/// For all answers of a pipeline.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// For a new connection to be ready: looked up, connected, encrypted, authenticated.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause before another attempt to connect.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause before another attempt to connect.
pub const PAUSE_MAX: Duration = Duration::from_secs(3);
/// Pipelines under way at a time.
pub const PIPELINES_MAX: usize = 64;

/// What a call answered.
pub type Reply = Value;

/// A Lua script, a `static`.
pub struct Script {
    text: &'static str,
    sha: OnceLock<String>,
}

/// One command of a pipeline.
#[derive(Debug, Clone)]
pub struct Call {
    what: What,
    keys: Vec<String>,
    args: Vec<Value>,
}

#[derive(Debug, Clone)]
enum What {
    Script(&'static Script),
    Command(&'static str),
}

/// Why a pipeline has no answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection; nothing was sent.
    Down(Arc<str>),
    /// Too much is under way; nothing was sent.
    Busy,
    /// It was sent, or a part of it, and what became of it is not known.
    Lost(Arc<str>),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Down(why) => write!(f, "Redis cannot be reached: {why}"),
            Self::Busy => write!(f, "more than {PIPELINES_MAX} pipelines wait for Redis"),
            Self::Lost(why) => write!(f, "Redis did not confirm: {why}"),
        }
    }
}

/// A call that the server answered with an error: its words, such as `WRONGTYPE Operation against a key ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Arc<str>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Script({:.40}..)", self.text)
    }
}

impl Script {
    /// Of this text.
    pub const fn new(text: &'static str) -> Self {
        Self { text, sha: OnceLock::new() }
    }

    fn sha(&self) -> &str {
        self.sha.get_or_init(|| fred::util::sha1_hash(self.text))
    }
}

impl Call {
    /// Runs a script.
    pub fn script(script: &'static Script, keys: Vec<String>, args: Vec<Value>) -> Self {
        Self { what: What::Script(script), keys, args }
    }

    /// Runs a command whose first arguments are its keys, such as `GET`.
    pub fn command(name: &'static str, keys: Vec<String>, args: Vec<Value>) -> Self {
        Self { what: What::Command(name), keys, args }
    }

    /// As a command and its arguments. `whole`: with the script's text, for a server that does not know it.
    fn encode(&self, whole: bool) -> (CustomCommand, Vec<Value>) {
        let keys = self.keys.iter().map(|key| Value::from(key.as_str()));
        let (command, mut values) = match self.what {
            What::Command(name) => {
                (CustomCommand::new_static(name, ClusterHash::FirstKey, false), Vec::new())
            }
            What::Script(script) => {
                let (name, script) = if whole { ("EVAL", script.text) } else { ("EVALSHA", script.sha()) };
                let count = i64::try_from(self.keys.len()).unwrap_or(i64::MAX);
                // The keys begin after the script and their number.
                (
                    CustomCommand::new_static(name, ClusterHash::Offset(2), false),
                    vec![script.into(), count.into()],
                )
            }
        };
        values.extend(keys);
        values.extend(self.args.iter().cloned());
        (command, values)
    }
}

/// Runs calls in one pipeline, and those whose script the server did not know in a second one.
///
/// # Errors
/// The connection is of no use any more: one sentence.
async fn run(client: &Client, calls: &[Call]) -> Result<Vec<Result<Reply, Refused>>, Arc<str>> {
    let all: Vec<usize> = (0..calls.len()).collect();
    let mut results = pipeline(client, calls, &all, false).await?;
    let unknown: Vec<usize> = all.into_iter().filter(|&index| is_unknown_script(&results[index])).collect();
    if !unknown.is_empty() {
        let again = pipeline(client, calls, &unknown, true).await?;
        for (index, result) in unknown.into_iter().zip(again) {
            results[index] = result;
        }
    }
    Ok(results)
}

fn is_unknown_script(result: &Result<Reply, Refused>) -> bool {
    matches!(result, Err(Refused(words)) if words.starts_with("NOSCRIPT"))
}

async fn pipeline(
    client: &Client,
    calls: &[Call],
    which: &[usize],
    whole: bool,
) -> Result<Vec<Result<Reply, Refused>>, Arc<str>> {
    let pipeline = client.pipeline();
    for &index in which {
        let (command, values) = calls[index].encode(whole);
        // Only queued here, which answers at once.
        let _: Value = pipeline.custom(command, values).await.map_err(|error| describe(&error))?;
    }
    let answers = match timeout(ANSWER_TIMEOUT, pipeline.try_all::<Value>()).await {
        Ok(answers) => answers,
        Err(_) => return Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()).into()),
    };
    if answers.len() != which.len() {
        let error = answers.into_iter().find_map(Result::err);
        return Err(error.map_or_else(|| "answers are missing".into(), |error| describe(&error)));
    }
    answers
        .into_iter()
        .map(|answer| match answer {
            Ok(reply) => Ok(Ok(reply)),
            Err(error) if is_reply(&error) => Ok(Err(Refused(error.details().into()))),
            Err(error) => Err(describe(&error)),
        })
        .collect()
}

/// Whether the server said this, and not the way to it.
fn is_reply(error: &Error) -> bool {
    use fred::error::ErrorKind::{
        Auth, Backpressure, Canceled, Cluster, Config, IO, InvalidArgument, InvalidCommand, NotFound, Parse,
        Protocol, Routing, Sentinel, Timeout, Tls, Unknown, Url,
    };
    match error.kind() {
        IO | Timeout | Canceled | Routing | Backpressure | Tls | Protocol | Config | Url | Sentinel
        | Parse => false,
        Auth | Cluster | InvalidCommand | InvalidArgument | NotFound => true,
        // An error's words begin with its code in capitals; what else is of this kind are the client's own words.
        Unknown => error.details().split(' ').next().is_some_and(|code| {
            !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        }),
    }
}

fn describe(error: &Error) -> Arc<str> {
    health::explain(error.details()).into()
}

#[cfg(test)]
mod tests;
