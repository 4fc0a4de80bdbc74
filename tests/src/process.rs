//! What the kernel says about a process: memory, CPU time, descriptors; and the limits of our own.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Resident memory now, in bytes.
pub fn rss_bytes(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:") * 1024
}

/// The most resident memory that it ever had, in bytes.
pub fn rss_bytes_max(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:") * 1024
}

/// Threads it has now.
pub fn threads(pid: u32) -> u64 {
    status_kib(pid, "Threads:")
}

/// CPU time that its present threads have used, in seconds: counted by the kernel's scheduler in nanoseconds, where
/// the ticks of /proc/PID/stat are 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    // A thread that ends meanwhile counts nothing.
    let spent = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    let nanoseconds = |line: String| line.split(' ').next().and_then(|field| field.parse::<f64>().ok());
    spent.filter_map(nanoseconds).sum::<f64>() / 1e9
}

/// File descriptors it has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count()
}

/// Process ids and command lines of the processes that it has started and that still run.
pub fn children(pid: u32) -> Vec<(u32, String)> {
    let all = fs::read_dir("/proc").expect("/proc");
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let line = |child: u32| {
        fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default().replace('\0', " ")
    };
    ids.filter(|&child| state(child).is_some_and(|(state, parent)| state != "Z" && parent == pid))
        .map(|child| (child, line(child)))
        .collect()
}

/// Whether it runs; one that has ended and whose exit code nobody has asked for does not.
pub fn runs(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| state != "Z")
}

/// The state in a letter and the parent, as long as the process is there.
fn state(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Raises this process's limit of open files to `wanted`, or as far as is permitted; the limit then in force, which
/// processes started later inherit.
pub fn allow_descriptors(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let maximum = now.maximum.unwrap_or(u64::MAX);
    for limit in [wanted, wanted.min(maximum)] {
        let both = Rlimit { current: Some(limit), maximum: Some(limit.max(maximum)) };
        if setrlimit(Resource::Nofile, both).is_ok() {
            return limit;
        }
    }
    now.current.unwrap_or(u64::MAX)
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of that name");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
