//! A new configuration, or new certificates: read off the loop, then taken over as a whole or not at all.
//!
//! Input: that a file has changed, or SIGHUP; what the task says that has read it. Output: the next snapshot, sent to the
//! shards with the sockets of new listeners. What is wrong changes nothing and is logged line by line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use coregate_config::checked::Gateway;
use tracing::{debug, error, info, warn};

use super::{Engine, Loading, as_held, log_listeners, subjects};
use crate::control::Event;
use crate::control::certificates::{self, Reread};
use crate::control::flow::calendar::Moment;
use crate::control::listeners::{self, OpenListener};
use crate::control::reload::{self, LoadError, Loaded};
use crate::control::shards;
use crate::control::snapshot::{Process, Snapshot};
use crate::tls::Tls;

impl Engine {
    /// Reads the configuration again. `why` is for the log.
    pub fn reload(&mut self, why: &str) {
        let Some(watch) = &mut self.watch else {
            info!("{why}: nothing to reload, the configuration is built in");
            return;
        };
        if self.stopping.is_some() {
            info!("{why}: not reloading, the process is stopping");
            return;
        }
        if self.loading != Loading::No {
            self.loading = Loading::Again;
            return;
        }
        self.loading = Loading::Yes;
        watch.mark_read();
        info!(file = %watch.path().display(), "{why}: reading the configuration again");
        let path = watch.path().to_owned();
        let known = self.addresses.names().into_iter().collect();
        let before = self.snapshot.tls.clone();
        let events = self.events.clone();
        tokio::spawn(async move {
            let loaded = Box::new(reload::load(path, known, before).await);
            let _ = events.send(Event::Loaded(loaded)).await;
        });
    }

    /// Takes over what was read, or says why not.
    pub(super) fn on_loaded(&mut self, loaded: Result<Loaded, LoadError>, now: Instant) {
        let again = std::mem::replace(&mut self.loading, Loading::No) == Loading::Again;
        match loaded.map_err(|error| describe(&error)).and_then(|loaded| self.take_over(loaded, now)) {
            Ok(()) => {
                self.reloads.applied += 1;
                self.reloads.last_error = None;
            }
            Err(why) => {
                error!(
                    revision = self.snapshot.revision,
                    "the new configuration is refused, nothing changed"
                );
                self.reloads.refused += 1;
                self.reloads.last_error = Some(why);
            }
        }
        if again {
            self.reload("it was asked for meanwhile");
        }
    }

    /// All or nothing: opens new listeners, then hands the configuration to the shards.
    fn take_over(&mut self, loaded: Loaded, now: Instant) -> Result<(), String> {
        if self.stopping.is_some() {
            return Err("the process is stopping".to_owned());
        }
        let Loaded { gateway, answers, certificates } = loaded;
        let held: Vec<SocketAddr> = self.listeners.iter().map(|held| held.bound).collect();
        let to_open = reload::to_open(&gateway, &self.listeners);
        let opened = listeners::open_all(to_open, self.shards.count(), &held).map_err(|error| {
            error!("{error}");
            error.to_string()
        })?;
        let running = Arc::clone(&self.snapshot.gateway);
        let restart = reload::needs_restart(&running, &gateway);
        if !restart.is_empty() {
            warn!(keys = restart.join(", "), "these settings need a restart; they stay as they were");
        }
        self.listeners = reload::to_keep(&gateway, &self.listeners);
        self.listeners.extend(opened.iter().map(as_held));
        self.addresses.retain(&gateway);
        self.addresses.update(answers);
        log_listeners(&opened);
        certificates::log_warnings(&certificates.tls);
        self.certificates.watch(certificates.watches);
        let gateway = Arc::new(reload::keep_running_settings(&running, gateway));
        self.apply(gateway, certificates.tls, opened, now);
        Ok(())
    }

    /// Compiles the next snapshot and hands it to the shards.
    pub(super) fn apply(&mut self, gateway: Arc<Gateway>, tls: Tls, opened: Vec<OpenListener>, now: Instant) {
        self.checker.reconfigure(subjects(&gateway, &self.addresses, &tls.nodes), now);
        self.flow.retain(&gateway, Moment::read());
        let checker = &self.checker;
        let is_live = |service: &str, node| checker.is_live(service, node);
        let revision = self.snapshot.revision + 1;
        let process = Process { shards: self.shards.count(), now, tls };
        let before = Some(&*self.snapshot);
        let snapshot = Snapshot::compile(revision, gateway, &self.addresses, is_live, process, before);
        self.snapshot = Arc::new(snapshot);
        if let Some(limits) = &self.cluster_limits {
            limits.apply(&self.snapshot);
        }
        self.shards.send_snapshot(&self.snapshot, shards::deal(opened, self.shards.count()));
        debug!(revision, "configuration sent to the shards");
    }

    /// Reads the certificates' files again, unless that is going on.
    pub(super) fn read_certificates(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let Some(read) = self.certificates.begin(&self.snapshot.gateway, &self.snapshot.tls) else { return };
        let events = self.events.clone();
        tokio::spawn(async move {
            if let Ok(read) = tokio::task::spawn_blocking(read).await {
                let _ = events.send(Event::CertificatesRead(Box::new(read))).await;
            }
        });
    }

    pub(super) fn on_certificates_read(&mut self, read: Reread, now: Instant) {
        let (tls, again) = self.certificates.end(read, &self.snapshot.gateway);
        if let Some(tls) = tls
            && self.stopping.is_none()
        {
            self.apply(Arc::clone(&self.snapshot.gateway), tls, Vec::new(), now);
        }
        if again {
            self.read_certificates();
        }
    }
}

/// Logs every error; what is left of them for the API is one text.
fn describe(error: &LoadError) -> String {
    match error {
        LoadError::Invalid(report) => {
            for problem in &report.errors {
                error!("{problem}");
            }
            report.to_string()
        }
        LoadError::Unbuilt(what) | LoadError::Certificates(what) => {
            what.iter().for_each(|line| error!("{line}"));
            what.join("\n")
        }
        LoadError::Panicked => {
            let why = "the configuration's checks have panicked, which is a bug of coregate";
            error!("{why}");
            why.to_owned()
        }
    }
}
