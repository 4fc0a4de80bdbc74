//! The running admin: opens what it needs, serves, ends on a signal.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use crate::app::App;
use crate::live::Live;
use crate::publish::{self, Publisher};
use crate::settings::Settings;
use crate::store::Store;
use crate::tls::ServerTls;
use crate::{api, server};

/// Serves until SIGTERM or SIGINT. An error is a reason not to start.
pub async fn run(settings: Settings, store: Store) -> Result<ExitCode, String> {
    let signals = Signals::new().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (stop, stopping) = watch::channel(false);
    let tls = settings.tls.clone().map(ServerTls::start).transpose()?;
    let live = Live::start(&settings, &store, stopping.clone())?;
    let publisher = Publisher::new(publish::snapshot::follow(&store).await?);
    let listener = server::bind(settings.listen).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let app = App::new(settings.clone(), store, live, publisher, stopping.clone());
    info!(%address, "dashboard and API at {scheme}://{address}");
    let router = api::router(app);
    let serving = tokio::spawn(server::serve(listener, router, tls, settings, stopping));
    Ok(signals.end(stop, serving).await)
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.term.recv() => 15,
            _ = self.int.recv() => 2,
        }
    }

    /// Waits for a signal, stops, and waits for what is in flight; a second signal ends that at once.
    async fn end(mut self, stop: watch::Sender<bool>, serving: tokio::task::JoinHandle<()>) -> ExitCode {
        self.next().await;
        stop.send_replace(true);
        tokio::select! {
            _ = serving => ExitCode::SUCCESS,
            second = self.next() => ExitCode::from(128 + second),
        }
    }
}
