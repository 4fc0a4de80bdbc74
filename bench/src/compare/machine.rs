//! What the numbers were taken on, and how: without it they mean nothing.

use std::fs;
use std::process::{Command, Stdio};

use super::gateway::Kind;

/// Lines of Markdown that say it.
pub fn description(gateways: &[Kind], command: &str) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut versions: Vec<String> = gateways.iter().map(|&kind| version(kind)).collect();
    versions.sort_unstable();
    versions.dedup();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!(
        "- Machine: {model}, {cpus} CPUs, Linux {}; load average at the start {load}\n\
         - Versions: {}\n- Commit: {}\n- Date: {}\n- Command: `{command}`\n",
        kernel.trim(),
        versions.join("; "),
        commit(),
        output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
    )
}

fn version(kind: Kind) -> String {
    let flag = match kind {
        Kind::Coregate | Kind::CoregateGoverned => "--version",
        Kind::Nginx | Kind::NginxGoverned | Kind::Haproxy => "-v",
    };
    let program = kind.program().unwrap_or_default();
    output(&program.display().to_string(), &[flag]).unwrap_or_else(|| format!("{} (unknown)", kind.name()))
}

fn commit() -> String {
    let Some(commit) = output("git", &["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed =
        output("git", &["status", "--porcelain", "--untracked-files=no", "--", ":!bench/RESULTS.md"]);
    if changed.is_some() { commit + " with changes" } else { commit }
}

/// The first line that a program prints; nginx prints to standard error.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
