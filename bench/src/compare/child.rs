//! A child process that ends with its guard, pinned to a CPU, its output in files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::thread;
use std::time::Duration;

use coregate::clock;
use rustix::process::{Pid, Signal, kill_process};

use crate::executor::pin;

/// How long a process may take to end when asked.
const GRACE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Lines of a log that are shown when something is wrong.
const LOG_LINES: usize = 20;

/// A running child. Dropped, it is asked to end, and after a while made to.
#[derive(Debug)]
pub struct Child {
    process: Process,
    output: PathBuf,
    errors: PathBuf,
}

impl Child {
    /// Starts a program in a folder of its own, pinned with all that it starts. `home` is where this thread goes back
    /// to.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(program: &Path, args: &[&str], dir: &Path, cpu: usize, home: usize) -> Result<Self, String> {
        let (output, errors) = (dir.join("output.txt"), dir.join("errors.txt"));
        let file = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        let (out, err) = (file(&output)?, file(&errors)?);
        // A child inherits the CPUs of the thread that starts it.
        pin(Some(cpu));
        let mut command = Command::new(program);
        let command = command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(out).stderr(err);
        let spawned = command.spawn();
        pin(Some(home));
        let process = spawned.map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { process, output, errors })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits until it ends by itself; returns what it printed if it succeeded.
    ///
    /// # Errors
    /// It failed, and what it said, or did not end in time.
    pub async fn output(mut self, longest: Duration) -> Result<String, String> {
        let deadline = clock::read() + longest;
        let status = loop {
            match self.process.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if clock::read() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(None) => return Err(format!("did not end within {longest:?}\n{}", self.log_tail())),
                Err(error) => return Err(error.to_string()),
            }
        };
        if !status.success() {
            return Err(format!("{status}\n{}", self.log_tail()));
        }
        std::fs::read_to_string(&self.output).map_err(|error| format!("{}: {error}", self.output.display()))
    }

    /// What it said.
    pub fn log(&self) -> String {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        text(&self.output) + &text(&self.errors)
    }

    /// The end of what it said.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = clock::read() + GRACE;
        while !self.has_ended() {
            if clock::read() >= deadline {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}
