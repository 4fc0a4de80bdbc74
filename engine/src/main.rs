//! The `coregate` command: flags, logging, start.
//!
//! | command | does |
//! |---|---|
//! | `coregate --config F` | runs the gateway until SIGTERM or SIGINT |
//! | `coregate check --config F` | prints every error of a configuration, or a summary |
//! | `coregate demo` | a gateway with two built-in origins in one process |
//! | `coregate origin` | one built-in origin |
//!
//! Exit codes: 0 done, 1 the configuration or the machine is not fit to start, 2 wrong flags, 130 or 143 ended at once
//! by a second SIGINT or SIGTERM. The log goes to standard error.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};
use coregate::boot::{self, Source};
use coregate::control::certificates;
use coregate::control::flow::writer;
use coregate::control::listeners::address_of_flag;
use coregate::control::reload::Watch;
use coregate::demo::{self, Origin};
use coregate::metrics::{COMMIT, VERSION};
use coregate::tls::Tls;
use coregate::{control, net};
use coregate_config::checked::Gateway;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    net::warm_up_sleep();
    let cli = Cli::parse();
    if let Err(why) = start_log(&cli.log) {
        return fail(why);
    }
    match (cli.command, cli.config) {
        (None, Some(config)) => run_file(config),
        (Some(Command::Check), Some(config)) => check(&config),
        (Some(Command::Demo(demo)), None) => run_demo(&demo),
        (Some(Command::Origin { listen }), None) => run_origin(listen),
        (None | Some(Command::Check), None) => {
            misused("--config FILE is missing; to try coregate out without one: coregate demo")
        }
        (Some(Command::Demo(_) | Command::Origin { .. }), Some(_)) => {
            misused("this command takes no --config; its configuration is built in")
        }
    }
}

/// A thread-per-core reverse proxy and microservice gateway.
#[derive(Debug, Parser)]
#[command(name = "coregate", version = version(), arg_required_else_help = true)]
struct Cli {
    /// Configuration to run with (TOML, or JSON in a file that ends in .json); a change is applied live
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: LogFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration: prints every error and exits with 1, or a summary
    Check,
    /// Run a gateway with a built-in configuration and two built-in origins
    Demo(DemoFlags),
    /// Run one built-in origin, which answers a short text
    Origin {
        /// Address to listen on
        #[arg(long, value_name = "ADDRESS", value_parser = address_of_flag)]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct DemoFlags {
    /// Address of the gateway
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        value_parser = address_of_flag
    )]
    listen: SocketAddr,
    /// Ports of the origins, on 127.0.0.1
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_value = "2003,2004")]
    origins: Vec<u16>,
    /// Address of health, metrics and the read-only API
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9901",
        value_parser = address_of_flag
    )]
    ops: SocketAddr,
}

#[derive(Debug, Args)]
struct LogFlags {
    /// What to log: error, warn, info, debug, trace, or directives as in RUST_LOG [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER", global = true)]
    log_level: Option<String>,
    /// How to log
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

fn version() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| COMMIT.map_or_else(|| VERSION.to_owned(), |commit| format!("{VERSION} ({commit})")));
    &TEXT
}

/// The client of Redis says at "warn" what the gateway says better; rustls would say a line for each odd client.
const LOG_DEFAULT: &str = "info,fred=off,rustls=error";

fn start_log(flags: &LogFlags) -> Result<(), String> {
    let given = flags.log_level.clone().or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok());
    let text = given.filter(|text| !text.is_empty()).unwrap_or_else(|| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        format!(
            "log filter \"{text}\": {error}; right would be \"debug\" or \"info,coregate::control=debug\""
        )
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn run_file(config: PathBuf) -> ExitCode {
    // Before the first read, so that a change while it is read is not missed.
    let watch = Watch::new(config);
    match coregate_config::load(watch.path()) {
        Ok(gateway) => run(gateway, Source::File(watch)),
        Err(report) => fail(report),
    }
}

fn check(config: &Path) -> ExitCode {
    let gateway = match coregate_config::load(config) {
        Ok(gateway) => gateway,
        Err(report) => {
            say(report);
            return ExitCode::FAILURE;
        }
    };
    let mut problems: Vec<String> = writer::check(&gateway.stats);
    match certificates::read_anew(&gateway, &Tls::default()) {
        Ok(read) => {
            for warning in certificates::warnings_of(&read.tls) {
                say(format_args!("{}: warning: {warning}", config.display()));
            }
        }
        Err(wrong) => problems.extend(wrong.iter().map(ToString::to_string)),
    }
    if problems.is_empty() {
        say(format_args!("ok: {}", summary(&gateway)));
        return ExitCode::SUCCESS;
    }
    problems.iter().for_each(|why| say(format_args!("{}: {why}", config.display())));
    ExitCode::FAILURE
}

/// Prints a line. Whoever reads may have seen enough and be gone.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn summary(gateway: &Gateway) -> String {
    let nodes = gateway.services.iter().map(|service| service.nodes.len()).sum();
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    [
        count(gateway.listeners.len(), "listener"),
        count(gateway.services.len(), "service"),
        count(nodes, "node"),
        count(gateway.tenants.len(), "tenant"),
    ]
    .join(", ")
}

fn run_demo(flags: &DemoFlags) -> ExitCode {
    let mut origins = Vec::new();
    for &port in &flags.origins {
        match Origin::bind(SocketAddr::from(([127, 0, 0, 1], port))) {
            Ok(origin) => origins.push(origin),
            Err(why) => return fail(format!("{why} (coregate demo --origins PORT,PORT)")),
        }
    }
    let addresses: Vec<SocketAddr> = origins.iter().map(Origin::address).collect();
    let gateway = match demo::gateway(flags.listen, &addresses, flags.ops) {
        Ok(gateway) => gateway,
        Err(report) => return fail(report),
    };
    for origin in origins {
        if let Err(error) = origin.spawn() {
            return fail(format!("the thread of an origin could not be started: {error}"));
        }
    }
    let route = gateway.services.first().and_then(|service| service.routes.first());
    let prefix = route.map_or_else(String::new, |route| route.path_prefix.clone());
    let boot = match boot::prepare(gateway, Source::BuiltIn) {
        Ok(boot) => boot,
        Err(error) => return fail(error),
    };
    let listen = boot.listeners.first().map_or(flags.listen, |listener| listener.bound);
    let ops = boot.ops.as_ref().and_then(|ops| ops.local_addr().ok()).unwrap_or(flags.ops);
    println!("gateway  http://{listen}");
    for address in &addresses {
        println!("origin   http://{address}");
    }
    println!("ops      http://{ops}");
    println!("try      curl http://{listen}{prefix}/test");
    println!("stop     Ctrl-C");
    control::run(boot)
}

fn run_origin(listen: SocketAddr) -> ExitCode {
    let origin = match Origin::bind(listen) {
        Ok(origin) => origin,
        Err(why) => return fail(why),
    };
    println!("origin   http://{}", origin.address());
    match origin.serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format!("origin: {error}")),
    }
}

fn run(gateway: Gateway, source: Source) -> ExitCode {
    match boot::prepare(gateway, source) {
        Ok(boot) => control::run(boot),
        Err(error) => fail(error),
    }
}

/// The wrong flags, as clap ends for them.
fn misused(why: &str) -> ExitCode {
    eprintln!("coregate: {why}");
    ExitCode::from(2)
}

fn fail(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("coregate: {why}");
    ExitCode::FAILURE
}
