//! What a process and its children use: CPU time and memory, from /proc.
//!
//! A process that ends while it is watched takes its numbers with it; proxies' workers do not.

use std::collections::HashMap;
use std::fs;

/// CPU time of a process and all below it, user and system, in microseconds. Its unit is the clock tick (10 ms, mostly).
pub fn cpu_us(pid: u32) -> u64 {
    let ticks: u64 = tree(pid).into_iter().filter_map(stat).map(|stat| stat.ticks).sum();
    ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// CPU time of all threads of a process and all below it, in nanoseconds, from the scheduler: finer than [`cpu_us`],
/// but without threads that have ended.
pub fn threads_cpu_ns(pid: u32) -> u64 {
    let of_process = |pid: u32| -> u64 {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    };
    tree(pid).into_iter().map(of_process).sum()
}

/// Resident memory of a process and all below it, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let of_process = |pid: u32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    tree(pid).into_iter().map(of_process).sum()
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        if let Some(below) = children.remove(pid) {
            found.extend(below);
        }
        at += 1;
    }
    found
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): after the name, which may hold anything, state is field 3, ppid 4, utime 14, stime 15.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(number(4)?).ok()?, ticks: number(14)? + number(15)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_hostile_name() {
        let stat = parse_stat("42 (a) b) S 7 1 1 0 -1 0 0 0 0 0 11 22 5 5 20 0 1 0 9").unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 33));
        assert!(parse_stat("42").is_none());
    }

    #[test]
    fn this_process_has_memory_and_uses_cpu() {
        let pid = std::process::id();
        assert!(resident_bytes(pid) > 100 << 10);
        let (before, mut sum) = (threads_cpu_ns(pid), 0u64);
        while threads_cpu_ns(pid) < before + 20_000_000 {
            sum = sum.wrapping_add((0..10_000u64).sum());
        }
        assert!(sum > 0 && cpu_us(pid) > 0);
    }
}
