//! The `coregate-admin` command: flags, logging, start.
//!
//! | command | does |
//! |---|---|
//! | `coregate-admin [serve]` | serves the dashboard, the API and the engines until SIGTERM or SIGINT |
//! | `coregate-admin import gogate\|file` | imports a gogate database or a configuration file as one revision |
//! | `coregate-admin export [F]` | writes what is in force as TOML |
//! | `coregate-admin token --role R --name N` | makes an API token and prints it |
//! | `coregate-admin rotate-key --new-key-file F` | encrypts the keys of all certificates with another key |
//! | `coregate-admin reset-password NAME` | prints a link with which the account's password can be set |
//!
//! Exit codes: 0 done, 1 not fit to start, 2 wrong flags, 130 or 143 ended at once by a second SIGINT or SIGTERM. The log
//! goes to standard error.

use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};
use coregate::metrics::{COMMIT, VERSION};
use coregate_admin::auth::Role;
use coregate_admin::import::command::{self as transfer, ExportFlags, ImportCommand};
use coregate_admin::settings::{ServeFlags, Settings, StoreFlags};
use coregate_admin::{command, serve};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(why) = start_log(&cli.log) {
        return fail(why);
    }
    let store = cli.store;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Import(what) => run(async move { transfer::import(store.open(), what).await }),
        Command::Export(how) => {
            run(async move { transfer::export(&store.open_existing().await?, &how).await })
        }
        Command::Serve => match Settings::new(&store, &cli.serve) {
            Ok(settings) => run(async move { serve::run(settings, store.open().await?).await }),
            Err(problems) => {
                problems.iter().for_each(|why| eprintln!("coregate-admin: {why}"));
                ExitCode::from(2)
            }
        },
        Command::Token { role, name } => run(command::token(&store, &name, role.into())),
        Command::RotateKey { new_key_file } => run(command::rotate_key(&store, &new_key_file)),
        Command::ResetPassword { name } => {
            let tls = cli.serve.tls_certificate.is_some();
            run(command::reset_password(&store, cli.serve.listen, tls, &name))
        }
    }
}

/// The admin process of coregate: dashboard, REST API, configuration store, publishing to engines.
#[derive(Debug, Parser)]
#[command(name = "coregate-admin", version = version())]
struct Cli {
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    serve: ServeFlags,
    #[command(flatten)]
    log: LogFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the dashboard, the API and the engines (what is done without a command)
    Serve,
    /// Import a configuration as one revision
    #[command(subcommand)]
    Import(ImportCommand),
    /// Write the configuration in force as TOML
    Export(ExportFlags),
    /// Make an API token and print it, once
    Token {
        /// What it may do
        #[arg(long, value_name = "ROLE")]
        role: TokenRole,
        /// Its name, for people
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Encrypt the private keys of all certificates with another key
    RotateKey {
        /// File with the new key; it is made if it is not there
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
    },
    /// Print a link with which an account's password can be set, once
    ResetPassword {
        /// The account
        name: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TokenRole {
    /// Read
    Viewer,
    /// Also change the configuration
    Operator,
    /// Also accounts and tokens
    Admin,
    /// Take snapshots and report, nothing else
    Engine,
}

impl From<TokenRole> for Role {
    fn from(role: TokenRole) -> Self {
        match role {
            TokenRole::Viewer => Self::Viewer,
            TokenRole::Operator => Self::Operator,
            TokenRole::Admin => Self::Admin,
            TokenRole::Engine => Self::Engine,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Its log")]
struct LogFlags {
    /// What to log: error, warn, info, debug, trace, or directives as in RUST_LOG [default: RUST_LOG, else info]
    #[arg(long, value_name = "FILTER", global = true, env = "COREGATE_ADMIN_LOG_LEVEL")]
    log_level: Option<String>,
    /// How to log
    #[arg(
        long,
        value_name = "FORMAT",
        global = true,
        env = "COREGATE_ADMIN_LOG_FORMAT",
        default_value = "text"
    )]
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

/// What the clients of Redis and MySQL say, the admin says better; rustls would say a line for each odd client.
const LOG_DEFAULT: &str = "info,fred=off,mysql_async=off,rustls=error";

fn start_log(flags: &LogFlags) -> Result<(), String> {
    let given = flags.log_level.clone().or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok());
    let text = given.filter(|text| !text.is_empty()).unwrap_or_else(|| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        format!("log filter \"{text}\": {error}; right would be \"debug\" or \"info,coregate_admin=debug\"")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Runs a command to its end.
fn run(command: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("the runtime could not be started: {error}")),
    };
    let code = runtime.block_on(command).unwrap_or_else(fail);
    // Passwords that are being hashed and the like are not waited for.
    runtime.shutdown_background();
    code
}

fn fail(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("coregate-admin: {why}");
    ExitCode::FAILURE
}
