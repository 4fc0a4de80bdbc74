//! What a coregate gateway is configured with.
//!
//! One way through, for TOML and JSON alike:
//!
//! ```text
//! text -> tree (values that know their place) -> read -> raw (defaults filled in) -> check -> checked::Gateway
//! ```
//!
//! [`load`], [`parse_toml`] and [`parse_json`] go it and report every error at once, each with its place, its key, what
//! was given and what would be right. [`parse_dynamic_json`] and [`merge`] do so for what an admin process keeps and
//! sends: the lists alone, by themselves or together with an engine's own settings. [`redacted_json`] goes back, without
//! secrets. Nothing here needs a network or a clock; only [`load`] touches files.

mod check;
pub mod checked;
pub mod limits;
mod path;
pub mod raw;
mod read;
mod redact;
pub mod reference;
pub mod reference_json;
mod report;
mod tree;
mod units;
mod written;

use std::io::Read as _;
use std::path::Path;

pub use checked::Gateway;
pub use report::{Problem, Report};
pub use units::{Size, Time};
pub use written::redacted_json;

use check::Files;
use path::At;
use read::Read;
use report::Problems;
use tree::{Format, Tree};

/// Which schema this is: counts up with keys that an older one does not know. An admin says which its snapshots are of.
pub const SCHEMA: u32 = 1;

/// Loads a configuration file: JSON if its name ends with `.json`, else TOML.
///
/// Relative paths in it are taken from its folder, and files that the process needs at once (certificates of enabled
/// listeners, the admin's token) must be there and readable.
pub fn load(path: &Path) -> Result<Gateway, Report> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|message| Report::of_file(&name, message))?;
    let format = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("json") => Format::Json,
        _ => Format::Toml,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, &name, format, Files::Folder(folder))
}

/// Reads a configuration written in TOML; `name` stands for the file in errors. Touches no files.
pub fn parse_toml(text: &str, name: &str) -> Result<Gateway, Report> {
    parse(text, name, Format::Toml, Files::Unknown)
}

/// Reads a configuration written in JSON; `name` stands for the file in errors. Touches no files.
pub fn parse_json(text: &str, name: &str) -> Result<Gateway, Report> {
    parse(text, name, Format::Json, Files::Unknown)
}

/// Reads what an admin process keeps, in JSON: `listeners`, `certificates`, `services` and `tenants`, nothing else. The
/// settings of the engines that it is for are not known here, so they are the defaults in what comes back, and what
/// depends on them is not checked. Touches no files.
pub fn parse_dynamic_json(text: &str, name: &str) -> Result<Gateway, Report> {
    let whole = |dynamic: raw::Dynamic| dynamic.with(raw::Server::default(), raw::Stats::default());
    parse_as(text, name, Format::Json, Files::Unknown, whole)
}

/// Reads what an admin process has sent, in JSON as [`parse_dynamic_json`] does, and puts it together with an engine's own
/// `[server]`, `[stats]` and `[control]`. The whole is checked: addresses against `server.ops_address`, PROXY headers
/// against `server.trusted_proxies`, cluster limits against `stats.redis_url`. Touches no files.
pub fn merge(own: &Gateway, text: &str, name: &str) -> Result<Gateway, Report> {
    let whole = |dynamic: raw::Dynamic| {
        let stats = raw::Stats { redis_url: own.stats.redis_url.clone(), ..raw::Stats::default() };
        dynamic.with(written::server(&own.server), stats)
    };
    let checked = parse_as(text, name, Format::Json, Files::Merged, whole)?;
    let (server, stats, control) = (own.server.clone(), own.stats.clone(), own.control.clone());
    Ok(Gateway { server, stats, control, ..checked })
}

fn parse(text: &str, name: &str, format: Format, files: Files) -> Result<Gateway, Report> {
    parse_as(text, name, format, files, |gateway: raw::Gateway| gateway)
}

fn parse_as<T: Read>(
    text: &str,
    name: &str,
    format: Format,
    files: Files,
    whole: impl FnOnce(T) -> raw::Gateway,
) -> Result<Gateway, Report> {
    let syntax = |errors| Report::of_syntax(name, text, errors);
    let tree = Tree::parse(text, format).map_err(syntax)?;
    let mut problems = Problems::default();
    let raw = whole(T::read(&tree.root, &At::root(), &mut problems));
    match check::gateway(&raw, files, &mut problems) {
        Some(gateway) if problems.is_empty() => Ok(gateway),
        // Now it matters what stands where; and what is no JSON in one of the parts is told as that, and nothing else.
        _ => Err(problems.into_report(name, text, &tree.whole(text, format).map_err(syntax)?)),
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| format!("cannot open the file: {error}"))?;
    let mut bytes = Vec::new();
    file.take(limits::TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the file: {error}"))?;
    if bytes.len() as u64 > limits::TEXT_BYTES_MAX {
        return Err(format!("the file is larger than {}", Size(limits::TEXT_BYTES_MAX)));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "the file is not UTF-8: byte {} is no part of a character",
            error.utf8_error().valid_up_to() + 1
        )
    })
}
