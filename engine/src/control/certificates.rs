//! Certificates of the listeners: read with the configuration, and again when their files change.
//!
//! Input: a [`Gateway`] and its files, watched as the configuration's own file is ([`Watch`]). Output: a [`Read`], or what is
//! wrong with it. When files change under a running configuration, whatever is bad (half written, a key that does not fit
//! its chain yet) leaves the old in use, and is read again with its next change.

use std::sync::Arc;

use coregate_config::checked::Gateway;
use tracing::{error, info, warn};

use super::reload::Watch;
use crate::clock;
use crate::tls::listeners::{Problem, Reading, TlsListeners, files, warnings};

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// What the listeners need.
    pub listeners: Arc<TlsListeners>,
    /// The files that it was read from, as they were before.
    pub watches: Vec<Watch>,
}

/// Reads all files of a new configuration. Blocks.
///
/// # Errors
/// Everything that is wrong with them.
pub fn read_anew(gateway: &Gateway, before: &TlsListeners) -> Result<Read, Vec<String>> {
    let watches = files(gateway).into_iter().map(Watch::new).collect();
    let (listeners, problems) = TlsListeners::read(gateway, before, Reading::Anew);
    if problems.is_empty() {
        return Ok(Read { listeners: Arc::new(listeners), watches });
    }
    let mut lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.dedup();
    Err(lines)
}

/// What operators should know of certificates that can be used all the same.
pub fn warnings_of(listeners: &TlsListeners) -> Vec<String> {
    let now = clock::unix_seconds();
    let mut lines: Vec<String> = listeners
        .iter()
        .flat_map(|(name, tls)| tls.facts.iter().map(move |facts| (name, facts)))
        .filter_map(|(name, facts)| {
            let what = warnings(facts, now)?;
            Some(format!("listener \"{name}\": {}: {what}", facts.chain.display()))
        })
        .collect();
    lines.sort();
    lines
}

/// The same in the log.
pub fn log_warnings(listeners: &TlsListeners) {
    warnings_of(listeners).iter().for_each(|line| warn!("{line}"));
}

/// The files under watch, and what became of their changes.
#[derive(Debug, Default)]
pub struct Certificates {
    watches: Vec<Watch>,
    /// They are being read for this configuration.
    reading: Option<Arc<Gateway>>,
    /// They have changed since that began.
    again: bool,
    /// Readings that went well.
    pub applied: u64,
    /// Readings with something bad, of which the old stayed in use.
    pub refused: u64,
}

/// Files that had changed, read again.
#[derive(Debug)]
pub struct Reread {
    gateway: Arc<Gateway>,
    listeners: TlsListeners,
    problems: Vec<Problem>,
}

impl Certificates {
    /// Watches the files of another configuration from now on.
    pub fn watch(&mut self, watches: Vec<Watch>) {
        self.watches = watches;
    }

    /// To be called each [`super::reload::POLL`]: whether files are to be read again.
    pub fn poll(&mut self) -> bool {
        // All of them: each looks at its file.
        let changed = self.watches.iter_mut().filter_map(|watch| watch.poll().then_some(())).count();
        changed > 0
    }

    /// Begins to read; not if that is going on already. The result is what to run off the control thread.
    pub fn begin(
        &mut self,
        gateway: &Arc<Gateway>,
        before: &Arc<TlsListeners>,
    ) -> Option<impl FnOnce() -> Reread + Send + 'static> {
        if self.reading.is_some() {
            self.again = true;
            return None;
        }
        info!("certificate files have changed: reading them again");
        self.reading = Some(gateway.clone());
        let (gateway, before) = (gateway.clone(), before.clone());
        Some(move || {
            let (listeners, problems) = TlsListeners::read(&gateway, &before, Reading::Again);
            Reread { gateway, listeners, problems }
        })
    }

    /// What was read is there. Returns it if it is still wanted, and whether to begin again.
    pub fn end(&mut self, read: Reread, running: &Arc<Gateway>) -> (Option<Arc<TlsListeners>>, bool) {
        self.reading = None;
        let again = std::mem::take(&mut self.again);
        // With another configuration all files were read.
        if !Arc::ptr_eq(&read.gateway, running) {
            return (None, again);
        }
        for problem in &read.problems {
            error!("{problem}; what was in use before stays in use");
        }
        if read.problems.is_empty() {
            self.applied += 1;
        } else {
            self.refused += 1;
        }
        log_warnings(&read.listeners);
        (Some(Arc::new(read.listeners)), again)
    }
}
