//! `coregate-admin import` and `export`: the same as the API, from the command line of the machine that has the database.
//!
//! Output: a report on standard output, progress on standard error. Exit code 0: imported (or, with `--dry-run`, could be);
//! 1: not.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::apply::{self, Order, Report};
use super::export::{self, Head};
use super::file::{self, Format};
use super::gogate;
use crate::command::actor;
use crate::model::{Actor, Kind};
use crate::store::{PublishError, Store, StoreError};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = coregate_config::limits::TEXT_BYTES_MAX;
/// Problems and changes that are shown one by one.
const SHOWN_MAX: usize = 50;

/// What to import.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// A gogate database: tables gateway_service_* and gateway_app
    Gogate(GogateFlags),
    /// A configuration file, TOML or (if its name ends in .json) JSON
    File(FileFlags),
}

/// Flags of `import gogate`.
#[derive(Debug, Args)]
pub struct GogateFlags {
    /// Where the tables are: mysql://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL", env = "COREGATE_ADMIN_GOGATE", hide_env_values = true)]
    mysql: String,
    /// Make an http listener on that address; gogate had its own in a file
    #[arg(long, value_name = "ADDRESS")]
    http_listener: Option<std::net::SocketAddr>,
    /// Address that TCP and gRPC services listen on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    bind: IpAddr,
    /// Services with open_auth = 1 need no tenant; their lists apply all the same
    #[arg(long)]
    without_tenants: bool,
    #[command(flatten)]
    how: HowFlags,
}

/// Flags of `import file`.
#[derive(Debug, Args)]
pub struct FileFlags {
    /// The file
    file: PathBuf,
    /// Take certificates in that listeners name as files, so that engines need not have them
    #[arg(long)]
    read_certificates: bool,
    #[command(flatten)]
    how: HowFlags,
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportFlags {
    /// Where to; standard output if it is left out
    file: Option<PathBuf>,
    /// With certificates and their private keys, in clear
    #[arg(long)]
    with_keys: bool,
}

#[derive(Debug, Args)]
struct HowFlags {
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete what is there and the import does not have
    #[arg(long)]
    replace: bool,
    /// Why, for the list of revisions
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

/// Imports. The store is opened when there is something to import, so that a mistake leaves nothing behind.
pub async fn import(
    store: impl Future<Output = Result<Store, String>>,
    command: ImportCommand,
) -> Result<ExitCode, String> {
    let (outcome, how, message) = match command {
        ImportCommand::Gogate(flags) => {
            let rows = gogate::mysql::read(&flags.mysql, |word| eprintln!("{word}")).await;
            let rows = rows.map_err(|error| format!("--mysql: {error}"))?;
            let options = gogate::Options {
                http_listener: flags.http_listener.map(|it| it.to_string()),
                bind: flags.bind,
                require_tenants: !flags.without_tenants,
            };
            (gogate::convert(&rows, &options), flags.how, "import of a gogate database".to_owned())
        }
        ImportCommand::File(flags) => {
            let name = flags.file.display().to_string();
            let text = read_file(&flags.file)?;
            let mut outcome =
                file::read(&text, &name, Format::of(&flags.file)).map_err(|report| report.to_string())?;
            if flags.read_certificates {
                let folder = flags.file.parent().unwrap_or(Path::new(""));
                file::take_in_certificates(&mut outcome, folder)?;
            }
            (outcome, flags.how, format!("import of {name}"))
        }
    };
    let store = store.await?;
    eprintln!("{} items; checking", outcome.items.len());
    let order = Order {
        replace: how.replace,
        dry_run: how.dry_run,
        message: how.message.unwrap_or(message),
        author: actor(),
    };
    let dry_run = order.dry_run;
    let warnings = outcome.warnings.clone();
    match apply::apply(&store, outcome, order).await {
        Ok(report) => {
            say(&shown(&report, dry_run))?;
            Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            let lines: Vec<String> =
                warnings.iter().map(|it| format!("{}: {}\n", it.place, it.message)).collect();
            say(&lines.concat())?;
            Err(format!("nothing was imported: {}", told(&error)))
        }
    }
}

/// The report as text.
fn shown(report: &Report, dry_run: bool) -> String {
    let mut lines: Vec<String> =
        report.warnings.iter().map(|it| format!("{}: {}", it.place, it.message)).collect();
    if !report.warnings.is_empty() {
        lines.push(String::new());
    }
    for changed in report.changes.iter().take(SHOWN_MAX) {
        lines.push(format!("{} {} \"{}\"", changed.action, changed.kind, changed.name));
    }
    if report.changes.len() > SHOWN_MAX {
        lines.push(format!("... and {} more", report.changes.len() - SHOWN_MAX));
    }
    for problem in report.problems.iter().take(SHOWN_MAX) {
        lines.push(format!("wrong: {problem}"));
    }
    let counts: Vec<String> = Kind::ALL
        .into_iter()
        .map(|kind| (kind, report.changes.iter().filter(|it| it.kind == kind).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {}", if count == 1 { kind.as_str() } else { kind.list() }))
        .collect();
    let changed = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    let end = match (&report.revision, dry_run) {
        (Some(revision), _) => format!("revision {}: {changed} changed", revision.id),
        (None, true) if report.problems.is_empty() => format!("dry run: {changed} would change"),
        (None, true) => {
            format!("dry run: it could not be imported, {} things are wrong", report.problems.len())
        }
        (None, false) => "nothing changed".to_owned(),
    };
    lines.push(format!("{end}, {} unchanged, {} remarks", report.unchanged, report.warnings.len()));
    lines.join("\n") + "\n"
}

fn told(error: &PublishError) -> String {
    match error {
        PublishError::Invalid(problems) => {
            let mut lines: Vec<String> =
                problems.iter().take(SHOWN_MAX).map(|problem| format!("\n  {problem}")).collect();
            if problems.len() > SHOWN_MAX {
                lines.push(format!("\n  ... and {} more", problems.len() - SHOWN_MAX));
            }
            format!("the configuration would not be valid:{}", lines.concat())
        }
        other => other.to_string(),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let wrong = |why: String| format!("{}: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(format!("has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Writes to standard output, whose reader may have seen enough and be gone.
fn say(text: &str) -> Result<(), String> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Exports what is in force.
pub async fn export(store: &Store, flags: &ExportFlags) -> Result<ExitCode, String> {
    if flags.with_keys {
        audit_keys(store, &actor()).await.map_err(|error| error.to_string())?;
    }
    let text = text(store, flags.with_keys)?;
    match &flags.file {
        None => say(&text)?,
        Some(path) => write_private(path, &text).map_err(|error| format!("{}: {error}", path.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes down that private keys are given out.
pub async fn audit_keys(store: &Store, who: &Actor) -> Result<(), StoreError> {
    let detail = json!({ "revision": store.state().revision });
    store.audit(who, "keys_exported", "certificates", &detail, jiff::Timestamp::now()).await
}

/// What is in force, as TOML.
pub fn text(store: &Store, with_keys: bool) -> Result<String, String> {
    let state = store.state();
    let document = if with_keys {
        store.configuration(&state).map_err(|error| error.to_string())?
    } else {
        state.document()
    };
    let document = serde_json::from_str(&document).map_err(|error| error.to_string())?;
    let head = Head { revision: state.revision, at: format!("{:.0}", jiff::Timestamp::now()) };
    Ok(export::to_toml(&document, with_keys, &head))
}

/// Hashes of secrets and perhaps keys stand in it: for its owner alone. What was there is replaced as a whole.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // It may not be there.
        let _ = std::fs::remove_file(&beside);
    }
    written
}
