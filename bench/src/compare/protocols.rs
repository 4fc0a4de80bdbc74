//! The comparison by protocol: TLS, HTTP/2 and TCP services, each with the load generator of its field.
//!
//! | traffic | load | against |
//! |---|---|---|
//! | HTTPS on kept-alive connections, small answers | wrk | nginx |
//! | full handshakes, one request each | wrk | nginx |
//! | HTTP/2, in clear and over TLS, to an HTTP/1.1 origin | h2load | nginx |
//! | TCP: small messages to and fro, connections, bulk | coregate-load, wrk | HAProxy |
//!
//! What counts is CPU time of the gateway for one unit (a request, a connection, a MiB); units a second through one
//! core are its inverse, whatever the load itself could ask for. Output: a table of medians with ratios.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use coregate::clock;

use super::child::Child;
use super::gateway::{Cpus, Kind, PATH, Server, beside, free_addresses, installed, temp_dir};
use super::median;
use super::results::{Table, ratio};
use crate::load::Report;
use crate::process;

const COREGATE: &str = include_str!("../../../wrk-scripts/peers/protocols/coregate.toml");
const NGINX: &str = include_str!("../../../wrk-scripts/peers/protocols/nginx.conf");
const HAPROXY: &str = include_str!("../../../wrk-scripts/peers/protocols/haproxy.cfg");

/// How long a load may take besides its window.
const LOAD_ENDS: Duration = Duration::from_secs(60);
/// An answer of the bulk origin.
const BULK_BYTES: usize = 1 << 20;

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which gateways, coregate first.
    pub gateways: Vec<Kind>,
    /// Which traffic.
    pub traffic: Vec<Traffic>,
    /// How often.
    pub rounds: usize,
    /// Seconds of one measurement.
    pub duration: u64,
    /// Seconds of load before it.
    pub warmup: u64,
    /// Where they run.
    pub cpus: Cpus,
}

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Traffic {
    /// HTTPS, 64 kept-alive connections
    Https,
    /// A full TLS handshake for each request
    Handshakes,
    /// HTTP/2 over TLS, 32 connections with 16 streams each
    H2,
    /// HTTP/2 in clear, 32 connections with 16 streams each
    H2c,
    /// A TCP service, small messages on 64 connections
    TcpPing,
    /// A TCP service, a connection for each request
    TcpConnections,
    /// A TCP service, answers of 1 MiB on 8 connections
    TcpBulk,
}

impl Traffic {
    /// What it is called in the table, and its unit.
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Https => ("HTTPS, 64 connections", "request"),
            Self::Handshakes => ("TLS handshakes, 32 clients", "handshake"),
            Self::H2 => ("HTTP/2 over TLS, 32 x 16", "request"),
            Self::H2c => ("HTTP/2 in clear, 32 x 16", "request"),
            Self::TcpPing => ("TCP ping-pong, 64 connections", "round trip"),
            Self::TcpConnections => ("TCP connections, 32 clients", "connection"),
            Self::TcpBulk => ("TCP bulk, 8 connections", "MiB"),
        }
    }

    /// Whether that gateway is compared in it.
    fn is_for(self, kind: Kind) -> bool {
        match self {
            Self::Https | Self::Handshakes | Self::H2 | Self::H2c => kind != Kind::Haproxy,
            Self::TcpPing | Self::TcpConnections | Self::TcpBulk => kind != Kind::Nginx,
        }
    }
}

/// A running gateway and its listeners.
struct Gateway {
    server: Server,
    listeners: Listeners,
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
struct Listeners {
    clear: SocketAddr,
    h2c: SocketAddr,
    tls: SocketAddr,
    tcp: SocketAddr,
    bulk: SocketAddr,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Sample {
    cpu_us: f64,
    units_per_second: f64,
    failed: u64,
}

/// Measures, and returns the table.
///
/// # Errors
/// A gateway or a load does not run.
pub async fn run(settings: &Settings) -> Result<String, String> {
    let origin = Server::origin(None, settings.cpus).await?;
    let large = Server::origin(Some(BULK_BYTES), settings.cpus).await?;
    let mut gateways = Vec::new();
    for &kind in &settings.gateways {
        gateways.push((kind, start(kind, [origin.address, large.address], settings.cpus).await?));
    }
    let mut cells: Vec<Vec<Vec<Sample>>> =
        settings.traffic.iter().map(|_| gateways.iter().map(|_| Vec::new()).collect()).collect();
    for round in 1..=settings.rounds {
        for (&traffic, row) in settings.traffic.iter().zip(&mut cells) {
            for ((_, gateway), cell) in
                gateways.iter().zip(row).filter(|((kind, _), _)| traffic.is_for(*kind))
            {
                let sample = measure(settings, traffic, gateway).await?;
                let ((name, unit), rounds) = (traffic.name(), settings.rounds);
                eprintln!(
                    "round {round} of {rounds}, {name}, {}: {:.2} us of CPU a {unit}, {:.0}/s, {} failed",
                    gateway.server.name, sample.cpu_us, sample.units_per_second, sample.failed
                );
                cell.push(sample);
            }
        }
    }
    Ok(table(settings, &cells))
}

async fn start(kind: Kind, [origin, large]: [SocketAddr; 2], cpus: Cpus) -> Result<Gateway, String> {
    let dir = temp_dir()?;
    let [clear, h2c, tls, tcp, bulk] = free_addresses()?;
    let (file, text) = match kind {
        Kind::Nginx => ("nginx.conf", NGINX),
        Kind::Haproxy => ("haproxy.cfg", HAPROXY),
        Kind::Coregate => ("coregate.toml", COREGATE),
        _ => return Err(format!("{} does not take part in this scenario", kind.name())),
    };
    // Coregate speaks both versions of HTTP on one port.
    let h2c = if kind == Kind::Coregate { clear } else { h2c };
    let listeners = Listeners { clear, h2c, tls, tcp, bulk };
    certificate(dir.path())?;
    let text = configuration(text, &listeners, [origin, large], cpus.gateway);
    let server = Server::configured(kind, (file, &text), dir, clear, cpus).await?;
    Ok(Gateway { server, listeners })
}

fn configuration(text: &str, listeners: &Listeners, [origin, large]: [SocketAddr; 2], cpu: usize) -> String {
    let Listeners { clear, h2c, tls, tcp, bulk } = listeners;
    let addresses = [("CLEAR", clear), ("H2C", h2c), ("TLS", tls), ("TCP", tcp), ("BULK", bulk)];
    let origins = [("ORIGIN", &origin), ("LARGE", &large)];
    let settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let filled = settings.map(|line| {
        let words = line.split_inclusive([' ', '"', ';', '[', ']']);
        let words = words.map(|word| {
            let end = word.trim_end_matches([' ', '"', ';', '[', ']']);
            let known = addresses.iter().chain(&origins).find(|(name, _)| *name == end);
            let value = known.map(|(_, address)| address.to_string());
            let value = if end == "CPU" { Some(cpu.to_string()) } else { value };
            value.map_or_else(|| word.to_owned(), |value| value + &word[end.len()..])
        });
        words.collect::<String>() + "\n"
    });
    filled.collect()
}

/// A key on P-256 and its certificate.
fn certificate(dir: &Path) -> Result<(), String> {
    let openssl = installed("openssl").ok_or("openssl is not installed")?;
    let made = Command::new(openssl)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "30", "-subj", "/CN=bench"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    if made.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&made.stderr).into_owned()) }
}

/// Loads a gateway, first to warm it up.
async fn measure(settings: &Settings, traffic: Traffic, gateway: &Gateway) -> Result<Sample, String> {
    let Listeners { h2c, tls, tcp, bulk, .. } = gateway.listeners;
    let https = format!("https://{tls}{PATH}");
    let close = "Connection: close";
    match traffic {
        Traffic::Https => wrk(settings, gateway, &["-c64", &https]).await,
        Traffic::Handshakes => wrk(settings, gateway, &["-c32", "-H", close, &https]).await,
        Traffic::H2 => h2load(settings, gateway, &https).await,
        Traffic::H2c => h2load(settings, gateway, &format!("http://{h2c}{PATH}")).await,
        Traffic::TcpPing => load(settings, gateway, tcp, 64).await,
        Traffic::TcpConnections => {
            wrk(settings, gateway, &["-c32", "-H", close, &format!("http://{tcp}{PATH}")]).await
        }
        Traffic::TcpBulk => load(settings, gateway, bulk, 8).await,
    }
}

/// coregate-load, which measures by itself.
async fn load(
    settings: &Settings,
    gateway: &Gateway,
    to: SocketAddr,
    connections: usize,
) -> Result<Sample, String> {
    let args = [
        format!("--url=http://{to}{PATH}"),
        format!("--connections={connections}"),
        format!("--duration={}", settings.duration),
        format!("--warmup={}", settings.warmup),
        format!("--watch-pid={}", gateway.server.child.id()),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let report = program(settings, gateway, &beside("coregate-load")?, &args).await?;
    let report: Report =
        serde_json::from_str(&report).map_err(|error| format!("coregate-load's report: {error}"))?;
    Ok(Sample {
        cpu_us: report.cpu_us_per_request.unwrap_or(f64::NAN),
        units_per_second: report.rps,
        failed: report.errors.total() + report.non_2xx,
    })
}

async fn wrk(settings: &Settings, gateway: &Gateway, args: &[&str]) -> Result<Sample, String> {
    let wrk = installed("wrk").ok_or("wrk is not installed")?;
    timed(
        settings,
        gateway,
        &wrk,
        |seconds| {
            let mut all = vec!["-t1".to_owned(), format!("-d{seconds}s")];
            all.extend(args.iter().map(|&arg| arg.to_owned()));
            all
        },
        read_wrk,
    )
    .await
}

async fn h2load(settings: &Settings, gateway: &Gateway, url: &str) -> Result<Sample, String> {
    let h2load = installed("h2load").ok_or("h2load is not installed (package nghttp2-client)")?;
    timed(
        settings,
        gateway,
        &h2load,
        |seconds| ["-c32", "-m16", "-t1", "-D", &seconds.to_string(), url].map(str::to_owned).to_vec(),
        read_h2load,
    )
    .await
}

/// Runs a load for the warm-up and then for the measurement, and takes the gateway's CPU time around the latter. What
/// the load's connections cost at its start is in it.
async fn timed(
    settings: &Settings,
    gateway: &Gateway,
    load: &Path,
    args: impl Fn(u64) -> Vec<String>,
    read: impl Fn(&str) -> Option<(u64, u64)>,
) -> Result<Sample, String> {
    let mut measured = None;
    for seconds in [settings.warmup.max(1), settings.duration] {
        let args = args(seconds);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (cpu, began) = (process::cpu_us(gateway.server.child.id()), clock::read());
        let printed = program(settings, gateway, load, &args).await?;
        let seconds = (clock::read() - began).as_secs_f64();
        let cpu = process::cpu_us(gateway.server.child.id()) - cpu;
        let (units, failed) = read(&printed).ok_or_else(|| format!("{}: {printed}", load.display()))?;
        measured = Some((cpu, seconds, units, failed));
    }
    let (cpu, seconds, units, failed) = measured.ok_or("nothing was measured")?;
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 of either")]
    let (cpu, units) = (cpu as f64, units as f64);
    Ok(Sample { cpu_us: cpu / units, units_per_second: units / seconds, failed })
}

async fn program(
    settings: &Settings,
    gateway: &Gateway,
    program: &Path,
    args: &[&str],
) -> Result<String, String> {
    let cpu = settings.cpus.load;
    let dir = temp_dir()?;
    let child = Child::start(program, args, dir.path(), cpu, cpu)?;
    let longest = Duration::from_secs(settings.duration + settings.warmup) + LOAD_ENDS;
    let explain = |error| {
        let (name, log) = (gateway.server.name, gateway.server.child.log_tail());
        format!("{} on {name}: {error}\n{log}", program.display())
    };
    child.output(longest).await.map_err(explain)
}

/// What wrk has printed: answers, and failures of any kind.
fn read_wrk(printed: &str) -> Option<(u64, u64)> {
    let mut units = None;
    let mut failed = 0;
    for line in printed.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            units = count.parse().ok();
        } else if let Some(errors) = line.strip_prefix("Socket errors: ") {
            failed +=
                errors.split(", ").filter_map(|one| one.split_once(' ')?.1.parse::<u64>().ok()).sum::<u64>();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            failed += count.parse::<u64>().ok()?;
        }
    }
    Some((units?, failed))
}

/// What h2load has printed: answers that were as they should, and failures of any kind.
fn read_h2load(printed: &str) -> Option<(u64, u64)> {
    let line = printed.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let figure = |name: &str| -> Option<u64> {
        line.split(", ").find_map(|part| part.strip_suffix(name)?.trim().parse().ok())
    };
    let statuses = printed.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let good: u64 = statuses.split(", ").find_map(|part| part.strip_suffix(" 2xx")?.trim().parse().ok())?;
    Some((good, figure(" failed")? + figure(" done")?.saturating_sub(good)))
}

fn table(settings: &Settings, cells: &[Vec<Vec<Sample>>]) -> String {
    let heads = [
        "traffic, gateway",
        "unit",
        "CPU us/unit",
        "CPU ratio",
        "units/s a core",
        "ratio",
        "units/s measured",
        "failed",
    ];
    let mut table = Table::new(&heads);
    for (traffic, row) in settings.traffic.iter().zip(cells) {
        let (name, unit) = traffic.name();
        let cpu = |samples: &[Sample]| median(samples.iter().map(|sample| sample.cpu_us).collect());
        let first = row.first().map_or(f64::NAN, |samples| cpu(samples));
        let measured =
            settings.gateways.iter().zip(row).enumerate().filter(|(_, (_, samples))| !samples.is_empty());
        for (index, (kind, samples)) in measured {
            let (own, is_first) = (cpu(samples), index == 0);
            let against = |of, to| if is_first { String::new() } else { ratio(of, to) };
            let rate = median(samples.iter().map(|sample| sample.units_per_second).collect());
            table.row([
                format!("{name}, {}", kind.name()),
                unit.to_owned(),
                format!("{own:.2}"),
                against(first, own),
                format!("{:.0}", 1e6 / own),
                against(own, first),
                format!("{rate:.0}"),
                samples.iter().map(|sample| sample.failed).sum::<u64>().to_string(),
            ]);
        }
    }
    let Cpus { gateway, load } = settings.cpus;
    format!(
        "Medians of {} interleaved round(s) of {} s; gateway on CPU {gateway}, origin and load on CPU {load}. Certificates \
         are ECDSA P-256. A ratio is coregate's number divided by the row's: for CPU, below 1 is better; for units a \
         second through one core (1 s of CPU time divided by that of a unit), above.\n\n{}",
        settings.rounds,
        settings.duration,
        table.text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loads_print_is_read() {
        let wrk = "Running 5s test @ http://127.0.0.1:1\n  1 threads and 64 connections\n  12345 requests in 5.01s, 1.00MB \
                   read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 4\n";
        assert_eq!(read_wrk(wrk), Some((12345, 10)));
        assert_eq!(read_wrk("  5 requests in 1.00s, 1.00KB read\n"), Some((5, 0)));
        assert_eq!(read_wrk("unable to connect"), None);
        let h2load = "finished in 5.00s, 2.40 req/s\nrequests: 14 total, 16 started, 14 done, 12 succeeded, 2 failed, 1 \
                      errored, 0 timeout\nstatus codes: 12 2xx, 0 3xx, 0 4xx, 2 5xx\n";
        assert_eq!(read_h2load(h2load), Some((12, 4)));
    }

    #[test]
    fn configurations_have_nothing_left_to_fill_in() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let listeners = Listeners { clear: at(11), h2c: at(12), tls: at(13), tcp: at(14), bulk: at(15) };
        for text in [COREGATE, NGINX, HAPROXY] {
            let text = configuration(text, &listeners, [at(16), at(17)], 3);
            for left in ["CLEAR", "H2C", "TLS ", "\"TLS\"", "TCP", "BULK", "ORIGIN", "LARGE", "CPU"] {
                assert!(!text.contains(left), "{left}: {text}");
            }
            assert!(text.contains("127.0.0.1:11") && text.contains("127.0.0.1:16"), "{text}");
        }
    }
}
