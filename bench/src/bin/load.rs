//! `coregate-load`: the load generator's command line. Prints one JSON object.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use coregate::net;
use coregate_bench::executor;
use coregate_bench::load::{self, Plan, Report, Target};

/// An HTTP/1.1 load generator: a closed loop, or an open one with --rate. Prints its measurements as JSON.
#[derive(Debug, Parser)]
#[command(name = "coregate-load")]
struct Cli {
    /// What to ask for, http only
    #[arg(long, value_name = "URL")]
    url: String,
    /// Kept-alive connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    duration: Duration,
    /// Seconds of load before measuring
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Open loop: requests a second; latencies count from when a request was due
    #[arg(long, value_name = "REQUESTS", value_parser = rate)]
    rate: Option<f64>,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// CPU to run on
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// A header to send, NAME: VALUE; may be repeated
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Bytes of a body to POST
    #[arg(long, value_name = "N", default_value_t = 0)]
    body_bytes: usize,
    /// Report the CPU time of this process and its children over the measured window
    #[arg(long, value_name = "PID")]
    watch_pid: Option<u32>,
}

fn main() -> ExitCode {
    net::warm_up_sleep();
    match run(&Cli::parse()) {
        Ok(report) => match serde_json::to_string_pretty(&report) {
            Ok(json) => {
                println!("{json}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string()),
        },
        Err(error) => fail(&error),
    }
}

fn run(cli: &Cli) -> Result<Report, String> {
    net::probe(1).map_err(|error| error.to_string())?;
    let plan = Plan {
        target: Target::new(&cli.url, &cli.headers, cli.body_bytes)?,
        connections: cli.connections.max(1),
        duration: cli.duration,
        warmup: cli.warmup,
        rate: cli.rate,
        timeout: cli.timeout,
        watch: cli.watch_pid,
    };
    let (done, longest, cpu) = (watchdog(plan.longest()), plan.longest(), cli.cpu);
    let report = executor::run(cpu, move |net| load::run(net, plan));
    done.send(()).map_err(|_| format!("did not end within {longest:?}"))?;
    report
}

/// Whatever goes wrong, the process ends: what watches it waits for its report.
fn watchdog(longest: Duration) -> mpsc::Sender<()> {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(longest) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("coregate-load: did not end within {longest:?}");
            std::process::exit(3);
        }
    });
    done
}

fn fail(error: &str) -> ExitCode {
    eprintln!("coregate-load: {error}");
    ExitCode::FAILURE
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.trim_end_matches('s').parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("not a number of requests from 0.1 to 10 million".to_owned()),
    }
}
