//! `coregate-compare`: the comparison's command line. Prints a table and puts it into RESULTS.md.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use coregate_bench::compare::gateway::{Cpus, Kind};
use coregate_bench::compare::protocols::{self, Traffic};
use coregate_bench::compare::throughput::{self, Settings};
use coregate_bench::compare::{administered, idle, machine, results};
use coregate_bench::executor::pin;
use tokio::signal::unix::{SignalKind, signal};

/// Measures coregate beside nginx and HAProxy.
#[derive(Debug, Parser)]
#[command(name = "coregate-compare")]
struct Cli {
    /// What to measure
    #[arg(long, value_enum, default_value = "throughput")]
    scenario: Scenario,
    /// Numbers of connections (throughput: 8,64,600; governance: 64)
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Interleaved rounds, of which medians are taken (throughput, protocols)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 10)]
    duration: u64,
    /// Seconds of load before each measurement (throughput, protocols)
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Open loop: requests a second (throughput)
    #[arg(long)]
    rate: Option<f64>,
    /// Idle connections (idle-memory)
    #[arg(long, default_value_t = 20_000)]
    idle_connections: usize,
    /// Services (admin)
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=100_000))]
    services: u64,
    /// Changes, one after the other (admin)
    #[arg(long, default_value_t = 20)]
    changes: u64,
    /// Which gateways (coregate,nginx,haproxy; governance: coregate-governed,coregate,nginx-governed); ratios are of the
    /// first one. Those that are not installed are left out
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Which traffic (protocols: all of it)
    #[arg(long, value_enum, value_delimiter = ',')]
    traffic: Vec<Traffic>,
    /// CPU of the gateway
    #[arg(long, default_value_t = 0)]
    gateway_cpu: usize,
    /// CPU of the origin and the load
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// Where the table goes besides standard output
    #[arg(long, default_value = "bench/RESULTS.md")]
    results: PathBuf,
    /// Print the table only
    #[arg(long)]
    no_results: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// CPU of a request, requests a second, latencies
    Throughput,
    /// The same with limits, access lists and an access log
    Governance,
    /// TLS, HTTP/2 and TCP services
    Protocols,
    /// Memory of an idle connection
    IdleMemory,
    /// CPU of an idle process
    IdleCpu,
    /// The admin with a large configuration
    Admin,
}

impl Cli {
    /// The name of the results' section and its heading.
    fn section(&self) -> (&'static str, &'static str) {
        match (self.scenario, self.rate) {
            (Scenario::Governance, _) => ("governance", "Limits, access lists, access log"),
            (Scenario::Protocols, _) => ("protocols", "TLS, HTTP/2, TCP services"),
            (Scenario::Throughput, None) => ("throughput", "Throughput"),
            (Scenario::Throughput, Some(_)) => ("open-loop", "Latency at a fixed rate"),
            (Scenario::IdleMemory, _) => ("idle-memory", "Memory of an idle connection"),
            (Scenario::Admin, _) => ("admin", "The admin with 10,000 services"),
            (Scenario::IdleCpu, _) => ("idle-cpu", "CPU of an idle process"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("coregate-compare: signals cannot be handled");
        return ExitCode::FAILURE;
    };
    // Whatever ends the comparison drops it, and with it all processes and folders that it made.
    let result = tokio::select! {
        result = compare(&cli) => result,
        _ = terminate.recv() => Err("terminated".to_owned()),
        _ = interrupt.recv() => Err("interrupted".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coregate-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was given, or else what a scenario wants.
fn or_else<T: Clone>(given: &[T], wanted: &[T]) -> Vec<T> {
    if given.is_empty() { wanted.to_vec() } else { given.to_vec() }
}

async fn compare(cli: &Cli) -> Result<(), String> {
    let (gateways, connections): (&[Kind], &[usize]) = match cli.scenario {
        Scenario::Governance => (&[Kind::CoregateGoverned, Kind::Coregate, Kind::NginxGoverned], &[64]),
        _ => (&[Kind::Coregate, Kind::Nginx, Kind::Haproxy], &[8, 64, 600]),
    };
    let (wanted, connections) = (or_else(&cli.only, gateways), or_else(&cli.connections, connections));
    let cpus = Cpus { gateway: cli.gateway_cpu, load: cli.load_cpu };
    let gateways: Vec<Kind> = wanted.iter().copied().filter(|kind| kind.program().is_some()).collect();
    for missing in wanted.iter().filter(|kind| !gateways.contains(kind)) {
        eprintln!("{} is not installed: left out", missing.name());
    }
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("bench/compare.sh {}", flags.join(" "));
    let machine = machine::description(&gateways, command.trim());
    pin(Some(cpus.load));
    let rounds = usize::try_from(cli.rounds).unwrap_or(usize::MAX);
    let table = match cli.scenario {
        Scenario::Throughput | Scenario::Governance => {
            let settings = Settings {
                gateways,
                connections,
                rounds,
                duration: cli.duration,
                warmup: cli.warmup,
                rate: cli.rate,
                cpus,
            };
            throughput::run(&settings).await?
        }
        Scenario::Protocols => {
            let traffic = or_else(&cli.traffic, Traffic::value_variants());
            let (duration, warmup) = (cli.duration, cli.warmup);
            protocols::run(&protocols::Settings { gateways, traffic, rounds, duration, warmup, cpus }).await?
        }
        Scenario::IdleMemory => idle::memory(&gateways, cli.idle_connections, cpus).await?,
        Scenario::IdleCpu => idle::cpu(&gateways, Duration::from_secs(cli.duration), cpus).await?,
        Scenario::Admin => {
            let services = usize::try_from(cli.services).unwrap_or(usize::MAX);
            administered::run(services, cli.changes, cpus).await?
        }
    };
    println!("{table}");
    if cli.no_results {
        return Ok(());
    }
    let (section, heading) = cli.section();
    results::update(&cli.results, section, &format!("## {heading}\n\n{machine}\n{table}"))
}
