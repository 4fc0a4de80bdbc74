//! Whether this machine can run the ring, explained before the first shard starts.

use std::fmt;
use std::io;

use io_uring::IoUring;

/// The oldest kernel with all that the ring uses (IORING_SETUP_DEFER_TASKRUN).
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Locked memory that the rings of a shard need, in bytes: the network's, its executor's, and what those register.
const MEMLOCK_PER_SHARD: u64 = 640 << 10;
/// The capability that exempts from the limit, capabilities(7).
const CAP_IPC_LOCK: u32 = 14;

/// Why the engine cannot start on this machine: what was tried, what the system said, what to do.
#[derive(Debug)]
pub struct StartError {
    tried: &'static str,
    said: String,
    advice: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}\n  what to do: {}", self.tried, self.said, self.advice)
    }
}

impl std::error::Error for StartError {}

/// The ring's set-up flags, in one place.
pub(super) fn builder() -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_clamp().dontfork();
    builder
}

/// Checks locked memory for so many shards; kernel and io_uring by making a small ring.
///
/// # Errors
/// The first thing that is in the way.
pub fn probe(shards: usize) -> Result<(), StartError> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    if let Some(limit) = memlock_limit() {
        check_memlock(limit, shards)?;
    }
    match builder().build(8) {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(&error, release.trim(), sysctl.trim())),
    }
}

/// Lets the executor's first sleep be fast: it uses expedited memory barriers, whose registration is slow once other
/// threads run. Call at the top of `main`.
pub fn warm_up_sleep() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: membarrier(2) takes no pointers. A failure only means that the first sleep is slower.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) };
}

/// The soft limit of locked memory in bytes; `None` if it is unlimited or this process may exceed it.
fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) writes one rlimit to where it is told, which is ours.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if result != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (!has_capability(&status, CAP_IPC_LOCK)).then_some(limit.rlim_cur)
}

/// Whether a process has a capability, by its proc_pid_status(5).
fn has_capability(status: &str, number: u32) -> bool {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & (1 << number) != 0)
}

fn check_memlock(limit: u64, shards: usize) -> Result<(), StartError> {
    let needed = MEMLOCK_PER_SHARD * shards as u64;
    if limit >= needed {
        return Ok(());
    }
    // Enough for a second process of the same user, as the one that takes over: the kernel counts by user.
    let mib = (needed >> 19).next_power_of_two().max(8);
    Err(StartError {
        tried: "checking how much memory may be locked (RLIMIT_MEMLOCK)",
        said: format!("the limit is {} KiB; {shards} shard(s) need {} KiB", limit >> 10, needed >> 10),
        advice: format!(
            "raise it: LimitMEMLOCK={mib}M in a systemd unit, `ulimit -l {}` in a shell, --ulimit memlock={} for a \
             container; or have fewer shards (server.shards)",
            mib << 10,
            mib << 20
        ),
    })
}

fn explain(error: &io::Error, release: &str, sysctl: &str) -> StartError {
    let tried = "setting up io_uring (io_uring_setup with SINGLE_ISSUER and DEFER_TASKRUN)";
    let (major, minor) = KERNEL_MIN;
    let advice = match error.raw_os_error() {
        Some(libc::ENOSYS) if older(release) => {
            format!("use Linux {major}.{minor} or newer; this is {release}")
        }
        Some(libc::ENOSYS) => "a seccomp profile hides io_uring: allow io_uring_setup, io_uring_enter and \
             io_uring_register (for a container: its seccomp profile)"
            .into(),
        Some(libc::EPERM | libc::EACCES) if sysctl == "2" || sysctl == "1" => format!(
            "the sysctl kernel.io_uring_disabled is {sysctl}: set it to 0{}",
            if sysctl == "1" {
                ", or give this process CAP_SYS_ADMIN or the group in kernel.io_uring_group"
            } else {
                ""
            }
        ),
        Some(libc::EPERM | libc::EACCES) => "a seccomp profile or security module forbids io_uring: allow \
             io_uring_setup, io_uring_enter and io_uring_register (for a container: its seccomp profile)"
            .into(),
        Some(libc::EINVAL) => {
            format!("use Linux {major}.{minor} or newer, which has these flags; this is {release}")
        }
        Some(libc::ENOMEM) => "raise the limit of locked memory: LimitMEMLOCK=64M in a systemd unit, \
             `ulimit -l 65536` in a shell"
            .into(),
        Some(libc::EMFILE | libc::ENFILE) => {
            "raise the limit of open files: LimitNOFILE= in a systemd unit, `ulimit -n` in a shell".into()
        }
        _ => format!("see io_uring_setup(2); this is Linux {release}"),
    };
    StartError { tried, said: error.to_string(), advice }
}

fn older(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < KERNEL_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(errno: i32, release: &str, sysctl: &str) -> String {
        explain(&io::Error::from_raw_os_error(errno), release, sysctl).to_string()
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        assert!(advice(libc::ENOSYS, "5.4.0-99", "").contains("Linux 6.1 or newer; this is 5.4.0-99"));
        assert!(advice(libc::ENOSYS, "6.8.0", "").contains("seccomp"));
        assert!(advice(libc::EINVAL, "5.15.0", "0").contains("Linux 6.1 or newer"));
        assert!(advice(libc::EPERM, "6.8.0", "2").contains("kernel.io_uring_disabled is 2: set it to 0"));
        assert!(advice(libc::EPERM, "6.8.0", "1").contains("io_uring_group"));
        assert!(advice(libc::EPERM, "6.8.0", "0").contains("seccomp"));
        assert!(advice(libc::ENOMEM, "6.8.0", "0").contains("LimitMEMLOCK"));
        assert!(advice(libc::EMFILE, "6.8.0", "0").contains("LimitNOFILE"));
    }

    #[test]
    fn too_little_locked_memory_is_refused_before_the_executor_fails_on_it() {
        assert!(check_memlock(640 << 10, 1).is_ok() && check_memlock(10 << 20, 16).is_ok());
        let error = check_memlock((10 << 20) - 1, 16).unwrap_err().to_string();
        assert!(error.contains("the limit is 10239 KiB; 16 shard(s) need 10240 KiB"), "{error}");
        assert!(error.contains("LimitMEMLOCK=32M") && error.contains("memlock=33554432"), "{error}");
    }

    #[test]
    fn who_may_lock_any_memory_has_no_limit() {
        let status = |digits| format!("Name:\tcoregate\nCapPrm:\t0000000000000000\nCapEff:\t{digits}\n");
        assert!(has_capability(&status("000001ffffffffff"), CAP_IPC_LOCK));
        assert!(has_capability(&status("0000000000004000"), CAP_IPC_LOCK));
        assert!(
            !has_capability(&status("0000000000000400"), CAP_IPC_LOCK) && !has_capability("", CAP_IPC_LOCK)
        );
    }
}
