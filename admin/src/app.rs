//! What all handlers share.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use coregate::control::redis::Redis;
use tokio::sync::watch;

use crate::api::index::Indexes;
use crate::auth::Auth;
use crate::live::Live;
use crate::publish::Publisher;
use crate::settings::Settings;
use crate::store::Store;

/// The state of the process, for handlers; a clone is a reference.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What an [`App`] is made of.
pub struct Parts {
    /// Flags.
    pub settings: Settings,
    /// The configuration.
    pub store: Store,
    /// For sessions and figures.
    pub redis: Option<Redis>,
    /// Logins.
    pub auth: Auth,
    /// What engines report.
    pub live: Live,
    /// What engines are given.
    pub publisher: Publisher,
    /// Turns true when the process is to end.
    pub stopping: watch::Receiver<bool>,
}

/// See [`App`].
pub struct Inner {
    /// Flags.
    pub settings: Settings,
    /// The configuration.
    pub store: Store,
    /// What engines report.
    pub live: Live,
    /// What engines are given.
    pub publisher: Publisher,
    /// For sessions and figures.
    pub redis: Option<Redis>,
    /// Logins.
    pub auth: Auth,
    /// What lists need.
    pub indexes: Indexes,
    /// Turns true when the process is to end: long polls and streams finish then.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// Puts it together.
    pub fn new(parts: Parts) -> Self {
        let Parts { settings, store, redis, auth, live, publisher, stopping } = parts;
        Self(Arc::new(Inner {
            settings,
            store,
            redis,
            auth,
            live,
            publisher,
            indexes: Indexes::default(),
            stopping,
        }))
    }

    /// Waits until the process is to end.
    pub async fn stopped(&self) {
        // An error is a sender that is gone: the process ends.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Who is at the other end of a request, as the server found out; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The client's address; behind a trusted proxy, what it says.
    pub address: IpAddr,
    /// The client's browser speaks TLS, with us or with a trusted proxy.
    pub tls: bool,
}
