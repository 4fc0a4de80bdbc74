//! What the store takes with many services: times and memory. Prints a line for each.
//!
//!     cargo run --profile quick -p coregate-admin --example store_numbers -- sqlite:/tmp/numbers.db 10000

use std::fmt::Display;
use std::time::{Duration, Instant};

use coregate_admin::model::{Actor, Cause, Change, Kind, Proposal};
use coregate_admin::store::{DatabaseUrl, Store};
use jiff::Timestamp;
use serde_json::{Value, json};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url: DatabaseUrl = arguments.next().ok_or("which database?")?.parse()?;
    let count: usize = arguments.next().unwrap_or_else(|| "10000".to_owned()).parse()?;
    let store = Store::open(&url, None).await?;
    told("empty", "", Duration::ZERO);
    if store.state().count(Kind::Service) == 0 {
        let names = (0..count).map(|number| format!("service-{number:06}"));
        let all = names.map(|name| change(&name, Some(service(&name, 1)), None)).collect();
        let start = clock();
        publish(&store, all).await?;
        told("all of them in one revision", count, start.elapsed());
    }
    let bytes = store.state().document().len();
    drop(store);
    let start = clock();
    let store = Store::open(&url, None).await?;
    told("opened", format!("{bytes} bytes of JSON"), start.elapsed());
    let mut times = Vec::new();
    for round in 0..20usize {
        let name = format!("service-{:06}", round * 97 % count);
        let known = store.state();
        let item = known.get(Kind::Service, &name).ok_or("it is gone")?;
        let mut body = item.body.value();
        let weight = body["nodes"][0]["weight"].as_u64().unwrap_or(0) % 100 + 1;
        body["nodes"][0]["weight"] = json!(weight);
        let edit = change(&name, Some(body), Some(item.version));
        drop(known);
        let start = clock();
        publish(&store, vec![edit]).await?;
        times.push(start.elapsed());
    }
    times.sort();
    told("one change, median of 20", "whole check included", times[times.len() / 2]);
    told("one change, slowest of 20", "", times[times.len() - 1]);
    let head = store.state().revision;
    let start = clock();
    let diff = store.diff(1, head).await?.unwrap_or_default();
    let found = diff.items.len() as u64 + diff.more;
    told("difference of the first and the last revision", format!("{found} elements"), start.elapsed());
    let start = clock();
    let state = store.state_at(1).await?.ok_or("no revision 1")?;
    told("state of the first revision", state.count(Kind::Service), start.elapsed());
    drop(state);
    let start = clock();
    store.rollback(1, author(), String::new(), None, Timestamp::now()).await?;
    told("rollback to it", "", start.elapsed());
    let start = clock();
    let bytes = store.configuration(&store.state())?.len();
    told("the text for engines", format!("{bytes} bytes"), start.elapsed());
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the ban is for the engine's request path; this measures")]
fn clock() -> Instant {
    Instant::now()
}

fn told(what: &str, more: impl Display, time: Duration) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0) / 1024
    };
    let (now, most) = (field("VmRSS:"), field("VmHWM:"));
    println!(
        "{what:<48} {:>9.1} ms   resident {now:>4} MiB, most {most:>4} MiB   {more}",
        time.as_secs_f64() * 1e3
    );
}

fn author() -> Actor {
    Actor { name: "command line".to_owned(), address: None }
}

async fn publish(store: &Store, changes: Vec<Change>) -> Result<(), Box<dyn std::error::Error>> {
    let (message, cause) = (String::new(), Cause::Change);
    let proposal = Proposal { changes, message, author: author(), cause, confirm_within: None };
    store.publish(proposal, Timestamp::now()).await?;
    Ok(())
}

fn change(name: &str, body: Option<Value>, based_on: Option<u64>) -> Change {
    Change { kind: Kind::Service, name: name.to_owned(), body, based_on }
}

fn service(name: &str, weight: u64) -> Value {
    json!({
        "name": name,
        "description": "one of many, with what a service usually has",
        "routes": [{ "hosts": [format!("{name}.example.com")], "path_prefix": "/api", "strip_prefix": true }],
        "nodes": [
            { "address": "10.0.0.1:8080", "weight": weight },
            { "address": "10.0.0.2:8080", "weight": 2 },
            { "address": "10.0.0.3:8080", "enabled": false },
        ],
        "load_balancer": { "policy": "weighted_round_robin" },
        "timeouts": { "connect": "2s", "response_header": "30s" },
        "limits": { "requests_per_second": 500, "burst": 1000, "per_client_ip": { "requests_per_second": 20 } },
        "access": { "deny": ["203.0.113.0/24"] },
    })
}
