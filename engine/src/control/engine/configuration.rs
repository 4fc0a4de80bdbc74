//! A new configuration, or new certificates: read off the loop, then taken over as a whole or not at all.
//!
//! Input: that a file has changed, or SIGHUP, or a snapshot of the admin; what the task says that has read it. Output: the next snapshot, sent to the
//! shards with the sockets of new listeners. What is wrong changes nothing and is logged line by line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::{Engine, Loading, as_held, log_listeners, subjects};
use crate::clock;
use crate::control::Event;
use crate::control::certificates::{self, Reread};
use crate::control::flow::calendar::Moment;
use crate::control::flow::writer;
use crate::control::listeners::{self, OpenListener};
use crate::control::ops::Question;
use crate::control::reload::{self, LoadError, Loaded, Running};
use crate::control::remote::follow::Follower;
use crate::control::remote::report::{Identity, Reporter};
use crate::control::remote::{Fetched, News, Place};
use crate::control::shards;
use crate::control::snapshot::{Process, Routed, Snapshot};
use crate::tls::Tls;

impl Engine {
    /// Reads the configuration again. `why` is for the log.
    pub fn reload(&mut self, why: &str) {
        if let Some(remote) = &self.remote {
            info!(admin = remote.url, "{why}: asking the admin for the configuration again");
            remote.demand.notify_one();
            return;
        }
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
        let running = self.running();
        let events = self.events.clone();
        tokio::spawn(async move {
            let loaded = Box::new(reload::load(path, running).await);
            let _ = events.send(Event::Loaded(loaded)).await;
        });
    }

    fn running(&self) -> Running {
        Running {
            gateway: Arc::clone(&self.snapshot.gateway),
            names: self.addresses.names().into_iter().collect(),
            tls: self.snapshot.tls.clone(),
        }
    }

    /// Takes over what was read, or says why not.
    pub(super) fn on_loaded(&mut self, loaded: Result<Loaded, LoadError>, now: Instant) {
        let again = std::mem::replace(&mut self.loading, Loading::No) == Loading::Again;
        match loaded.and_then(|loaded| self.take_over(loaded, now)) {
            Ok(()) => self.note_applied(),
            Err(error) => self.note_refused(&error),
        }
        if again {
            self.reload("it was asked for meanwhile");
        }
    }

    fn note_applied(&mut self) {
        self.reloads.applied += 1;
        self.reloads.last_error = None;
    }

    fn note_refused(&mut self, error: &LoadError) {
        let why = describe(error);
        error!(revision = self.snapshot.revision, "the new configuration is refused, nothing changed");
        self.reloads.refused += 1;
        self.reloads.last_error = Some(why);
    }

    /// Begins to follow the admin, where the configuration comes from one.
    pub fn follow_admin(&self, questions: mpsc::Sender<Question>) {
        let (Some(remote), Some(place)) = (&self.remote, Place::of(&self.snapshot.gateway)) else { return };
        let follower = Follower {
            place: place.clone(),
            instance: remote.instance.clone(),
            held: remote.taken.as_ref().and_then(|taken| taken.etag.clone()),
            demand: remote.demand.clone(),
            events: self.events.clone(),
        };
        let identity = Identity {
            instance: remote.instance.clone(),
            boot: writer::boot(),
            hostname: writer::instance(),
            started_at: jiff::Timestamp::now(),
        };
        let reporter = Reporter { place, identity, news: remote.news.clone(), questions };
        tokio::spawn(follower.run());
        tokio::spawn(reporter.run());
    }

    /// What the task that asks the admin has to say. A configuration is checked off the loop.
    pub(super) fn on_remote(&mut self, news: News) {
        let Some(remote) = &mut self.remote else { return };
        let fetched = match news {
            News::Contact(contact) => return remote.on_contact(contact, jiff::Timestamp::now()),
            News::Fetched(fetched) => fetched,
        };
        info!(revision = fetched.snapshot.revision, "the admin has sent a configuration: checking it");
        let snapshot = fetched.snapshot.clone();
        let running = self.running();
        let events = self.events.clone();
        tokio::spawn(async move {
            let loaded = reload::load_by(move |own| snapshot.check(own), running).await;
            let _ = events.send(Event::RemoteLoaded(Box::new((fetched, loaded)))).await;
        });
    }

    /// Takes over what the admin sent, or says why not; to the admin, too.
    pub(super) fn on_remote_loaded(
        &mut self,
        Fetched { snapshot, verdict }: Fetched,
        loaded: Result<Loaded, LoadError>,
        now: Instant,
    ) {
        let taken = loaded.and_then(|loaded| self.take_over(loaded, now));
        let since = self.snapshot.revision;
        let Some(remote) = &mut self.remote else { return };
        match &taken {
            Ok(()) => {
                remote.on_taken(&snapshot, since);
                let took = clock::read().saturating_duration_since(now);
                info!(
                    admin_revision = snapshot.revision,
                    revision = since,
                    ?took,
                    "the admin's configuration is handed to the shards"
                );
                self.note_applied();
            }
            // One that is tried again and fails alike was told of before.
            Err(error) => {
                if remote.on_refused(&snapshot, error) {
                    self.note_refused(error);
                }
            }
        }
        // Whoever waits for it may be gone.
        let _ = verdict.send(taken.is_ok());
    }

    /// All or nothing: opens new listeners, then hands the configuration to the shards.
    fn take_over(&mut self, loaded: Loaded, now: Instant) -> Result<(), LoadError> {
        if self.stopping.is_some() {
            return Err(LoadError::Unfit(vec!["the process is stopping".to_owned()]));
        }
        let Loaded { gateway, routes, answers, certificates } = loaded;
        let held: Vec<SocketAddr> = self.listeners.iter().map(|held| held.bound).collect();
        let to_open = reload::to_open(&gateway, &self.listeners);
        let opened = listeners::open_all(to_open, self.shards.count(), &held)
            .map_err(|error| LoadError::Unfit(vec![error.to_string()]))?;
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
        self.apply(Routed { gateway, routes: Arc::new(routes) }, certificates.tls, opened, now);
        Ok(())
    }

    /// Compiles the next snapshot and hands it to the shards.
    pub(super) fn apply(&mut self, routed: Routed, tls: Tls, opened: Vec<OpenListener>, now: Instant) {
        let checker = &self.checker;
        let is_live = |service: &str, node| checker.is_live(service, node);
        let revision = self.snapshot.revision + 1;
        let process = Process { shards: self.shards.count(), now, tls };
        let before = Some(&*self.snapshot);
        let snapshot = Snapshot::compile(revision, routed, &self.addresses, is_live, process, before);
        let (changed, gone) = subjects(before, &snapshot, &self.addresses);
        self.checker.reconfigure(changed, gone, now);
        self.flow.retain(&snapshot.gateway, Moment::read());
        let before = std::mem::replace(&mut self.snapshot, Arc::new(snapshot));
        self.retired.push(before);
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
            self.apply(self.snapshot.routed(), tls, Vec::new(), now);
        }
        if again {
            self.read_certificates();
        }
    }
}

/// Logs every error; what is left of them for the API is one text.
fn describe(error: &LoadError) -> String {
    match error {
        LoadError::Invalid(report) => report.errors.iter().for_each(|problem| error!("{problem}")),
        LoadError::Unfit(lines) | LoadError::Certificates(lines) => {
            lines.iter().for_each(|line| error!("{line}"));
        }
        LoadError::Panicked => error!("{error}"),
    }
    error.to_string()
}
