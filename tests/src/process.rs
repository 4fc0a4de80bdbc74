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

/// CPU time that all of its threads have used, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15 (proc(5)).
    let (_, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks: u32 = rest.split(' ').skip(11).take(2).map(|f| f.parse::<u32>().expect("ticks")).sum();
    f64::from(ticks) / f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).expect("ticks"))
}

/// File descriptors it has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count()
}

/// Raises this process's limit of open files to at least `wanted`; false when that is not permitted.
pub fn allow_descriptors(wanted: u64) -> bool {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return true;
    }
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok()
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of that name");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
