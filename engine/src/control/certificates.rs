//! Certificates of listeners and services: read with the configuration, and again when their files change.
//!
//! Input: a [`Gateway`] and its files, watched as the configuration's own file is ([`Watch`]). Output: a [`Read`], or what is
//! wrong with it. When files change under a running configuration, whatever is bad (half written, a key that does not fit
//! its chain yet) leaves the old in use, and is read again with its next change.

use std::sync::Arc;

use coregate_config::checked::Gateway;
use tracing::{error, info, warn};

use super::reload::Watch;
use crate::clock;
use crate::tls::Tls;
use crate::tls::certificates::Problem;
use crate::tls::listeners::{self, Reading, TlsListeners};
use crate::tls::nodes::{self, TlsNodes};

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// What listeners and services need.
    pub tls: Tls,
    /// The files that it was read from, as they were before.
    pub watches: Vec<Watch>,
}

/// Reads all files of a new configuration. Blocks.
///
/// # Errors
/// Everything that is wrong with them.
pub fn read_anew(gateway: &Gateway, before: &Tls) -> Result<Read, Vec<String>> {
    let mut files = listeners::files(gateway);
    files.extend(nodes::files(gateway));
    files.sort();
    files.dedup();
    let watches = files.into_iter().map(Watch::new).collect();
    let (tls, problems) = read(gateway, before, Reading::Anew);
    if problems.is_empty() {
        return Ok(Read { tls, watches });
    }
    let mut lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.dedup();
    Err(lines)
}

fn read(gateway: &Gateway, before: &Tls, reading: Reading) -> (Tls, Vec<Problem>) {
    let (listeners, mut problems) = TlsListeners::read(gateway, &before.listeners, reading);
    let (nodes, more) = TlsNodes::read(gateway, &before.nodes, reading);
    problems.extend(more);
    (Tls { listeners: Arc::new(listeners), nodes: Arc::new(nodes) }, problems)
}

/// What operators should know of settings and certificates that can be used all the same.
pub fn warnings_of(tls: &Tls) -> Vec<String> {
    let now = clock::unix_seconds();
    let clients = tls.listeners.iter().flat_map(|(name, listener)| {
        listener.facts.iter().map(move |facts| (format!("listener \"{name}\""), facts, "clients"))
    });
    let nodes = tls.nodes.certificates().into_iter();
    let nodes = nodes.map(|(name, facts)| (format!("service \"{name}\""), facts, "nodes"));
    let mut lines: Vec<String> = clients
        .chain(nodes)
        .filter_map(|(whose, facts, others)| {
            let what = facts.warning(now)?;
            Some(format!("{whose}: {}: {what}: {others} will refuse it", facts.place))
        })
        .collect();
    lines.extend(tls.nodes.unverified().into_iter().map(|name| {
        format!(
            "service \"{name}\": upstream_tls.danger_accept_any_certificate: its nodes are not verified, so whoever \
             sits in between can read and change everything"
        )
    }));
    lines.sort();
    lines
}

/// The same in the log.
pub fn log_warnings(tls: &Tls) {
    warnings_of(tls).iter().for_each(|line| warn!("{line}"));
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
    tls: Tls,
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
        before: &Tls,
    ) -> Option<impl FnOnce() -> Reread + Send + 'static> {
        if self.reading.is_some() {
            self.again = true;
            return None;
        }
        info!("certificate files have changed: reading them again");
        self.reading = Some(gateway.clone());
        let (gateway, before) = (gateway.clone(), before.clone());
        Some(move || {
            let (tls, problems) = self::read(&gateway, &before, Reading::Again);
            Reread { gateway, tls, problems }
        })
    }

    /// What was read is there. Returns it if it is still wanted, and whether to begin again.
    pub fn end(&mut self, read: Reread, running: &Arc<Gateway>) -> (Option<Tls>, bool) {
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
        log_warnings(&read.tls);
        (Some(read.tls), again)
    }
}
