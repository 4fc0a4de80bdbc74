//! The slice of CPU time that the scheduler gives a shard's thread at once.
//!
//! Where others run on a shard's CPU (the control thread, whatever else the machine does), a shard for which something
//! comes has to wait for the end of the slice of whoever runs, up to 4 ms. A thread with a shorter slice has not: it takes
//! the CPU over when it wakes, as long as it has not had more than its share (EEVDF, `PREEMPT_SHORT`).

use std::io;

/// The shortest that Linux gives.
const SLICE_NS: u64 = 100_000;

/// Asks for a short slice for this thread (`sched_setattr(2)`). Linux older than 6.12 takes it and does nothing. A thread
/// that an operator has given another policy keeps that.
///
/// # Errors
/// The system does not allow it.
pub fn shorten() -> io::Result<()> {
    let mut attributes = read()?;
    if attributes.sched_policy == libc::SCHED_OTHER as u32 {
        attributes.sched_runtime = SLICE_NS;
        // SAFETY: sched_setattr(2) reads `size` bytes of the attributes, which live until it returns.
        told(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })?;
    }
    Ok(())
}

/// What the scheduler knows of this thread.
fn read() -> io::Result<libc::sched_attr> {
    let mut attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = attributes.size;
    // SAFETY: sched_getattr(2) writes at most `size` bytes to where it is told, which is ours and as large.
    told(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    Ok(attributes)
}

fn told(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_as_it_was_but_for_its_slice() {
        let nice = |attributes: &libc::sched_attr| (attributes.sched_policy, attributes.sched_nice);
        std::thread::spawn(move || {
            let before = read().unwrap();
            shorten().unwrap();
            let after = read().unwrap();
            assert_eq!(nice(&before), nice(&after));
            // Older kernels tell none.
            assert!(
                [SLICE_NS, before.sched_runtime].contains(&after.sched_runtime),
                "{}",
                after.sched_runtime
            );
        })
        .join()
        .unwrap();
    }
}
