//! The comparison under load: CPU of a request, requests a second, latencies.
//!
//! All gateways run all the time (an idle one uses no CPU to speak of) and are loaded in turn: each round, for each
//! number of connections, each gateway once. Output: a table of medians with ratios.

use std::time::Duration;

use super::child::Child;
use super::gateway::{self, Cpus, Kind, Server, beside};
use super::median;
use super::results::{Table, ratio};
use crate::load::Report;

/// How long the load may take besides its window: it ends by itself before.
const LOAD_ENDS: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which gateways, coregate first.
    pub gateways: Vec<Kind>,
    /// Numbers of connections.
    pub connections: Vec<usize>,
    /// How often.
    pub rounds: usize,
    /// Seconds of one measurement.
    pub duration: u64,
    /// Seconds of load before it.
    pub warmup: u64,
    /// Requests a second of an open loop; `None` = closed loop.
    pub rate: Option<f64>,
    /// Where they run.
    pub cpus: Cpus,
}

/// Measurements of one gateway at one number of connections.
#[derive(Debug, Default)]
struct Cell {
    reports: Vec<Report>,
}

impl Cell {
    fn median(&self, value: impl Fn(&Report) -> f64) -> f64 {
        median(self.reports.iter().map(value).collect())
    }

    fn cpu_us(&self) -> f64 {
        self.median(|report| report.cpu_us_per_request.unwrap_or(f64::NAN))
    }

    /// Requests without a good answer, of all rounds.
    fn failed(&self) -> u64 {
        self.reports.iter().map(failed).sum()
    }
}

/// Requests of a run without a good answer.
fn failed(report: &Report) -> u64 {
    report.errors.total() + report.non_2xx + report.unsent
}

/// Measures, and returns the table.
///
/// # Errors
/// A gateway or the load does not run.
pub async fn run(settings: &Settings) -> Result<String, String> {
    let origin = Server::origin(None, settings.cpus).await?;
    let mut servers = Vec::new();
    for &kind in &settings.gateways {
        servers.push(Server::gateway(kind, origin.address, settings.cpus).await?);
    }
    let mut cells: Vec<Vec<Cell>> =
        settings.connections.iter().map(|_| servers.iter().map(|_| Cell::default()).collect()).collect();
    for round in 1..=settings.rounds {
        for (&connections, row) in settings.connections.iter().zip(&mut cells) {
            for (server, cell) in servers.iter().zip(row) {
                let report = load(settings, server, connections).await?;
                eprintln!(
                    "round {round} of {}, {connections} connections, {}: {:.2} us of CPU a request, {:.0} requests/s, \
                     {} failed, {} stalls of the load",
                    settings.rounds,
                    server.name,
                    report.cpu_us_per_request.unwrap_or(f64::NAN),
                    report.rps,
                    failed(&report),
                    report.pace_stalls
                );
                cell.reports.push(report);
            }
        }
    }
    Ok(table(settings, &cells))
}

async fn load(settings: &Settings, server: &Server, connections: usize) -> Result<Report, String> {
    let Cpus { load: cpu, .. } = settings.cpus;
    let mut args = vec![
        format!("--url={}", server.url()),
        format!("--connections={connections}"),
        format!("--duration={}", settings.duration),
        format!("--warmup={}", settings.warmup),
        format!("--watch-pid={}", server.child.id()),
    ];
    args.extend(settings.rate.map(|rate| format!("--rate={rate}")));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let dir = gateway::temp_dir()?;
    let child = Child::start(&beside("coregate-load")?, &args, dir.path(), cpu, cpu)?;
    let longest = Duration::from_secs(settings.duration + settings.warmup) + LOAD_ENDS;
    let explain = |error| format!("the load on {}: {error}\n{}", server.name, server.child.log_tail());
    let report = child.output(longest).await.map_err(explain)?;
    serde_json::from_str(&report).map_err(|error| format!("coregate-load's report: {error}"))
}

fn table(settings: &Settings, cells: &[Vec<Cell>]) -> String {
    let mut table = Table::new(&[
        "connections, gateway",
        "CPU us/request",
        "CPU ratio",
        "requests/s",
        "requests/s ratio",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "failed",
    ]);
    for (connections, row) in settings.connections.iter().zip(cells) {
        let first = row.first();
        for (kind, cell) in settings.gateways.iter().zip(row) {
            let rps = |cell: &Cell| cell.median(|report| report.rps);
            let us = |value: fn(&Report) -> f64| format!("{:.0}", cell.median(value));
            // Coregate's share of what the other has.
            let against = |value: &dyn Fn(&Cell) -> f64| match first {
                Some(first) if *kind != settings.gateways[0] => ratio(value(first), value(cell)),
                _ => String::new(),
            };
            table.row([
                format!("{connections}, {}", kind.name()),
                format!("{:.2}", cell.cpu_us()),
                against(&Cell::cpu_us),
                format!("{:.0}", rps(cell)),
                against(&rps),
                us(|report| report.latency_us.p50),
                us(|report| report.latency_us.p99),
                us(|report| report.latency_us.p99_9),
                cell.failed().to_string(),
            ]);
        }
    }
    let kind = match settings.rate {
        Some(rate) => format!("open loop, {rate} requests/s, latencies from when a request was due"),
        None => "closed loop".to_owned(),
    };
    let Cpus { gateway, load } = settings.cpus;
    format!(
        "Medians of {} interleaved round(s) of {} s ({kind}); gateway on CPU {gateway}, origin and load on CPU \
         {load}. A ratio is {}'s number divided by the row's: for CPU, below 1 is better; for requests/s, above.\n\n{}",
        settings.rounds,
        settings.duration,
        settings.gateways.first().map_or("", |kind| kind.name()),
        table.text()
    )
}
