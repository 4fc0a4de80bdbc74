//! The running admin: opens what it needs, serves, ends on a signal.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use coregate::control::redis::{Address, Redis};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::app::{App, Parts};
use crate::auth::login::SetUp;
use crate::auth::session::Sessions;
use crate::auth::{Auth, secret};
use crate::live::Live;
use crate::publish::{self, Publisher};
use crate::settings::{Settings, link_base};
use crate::store::Store;
use crate::tls::ServerTls;
use crate::{api, server};

/// How often it is looked whether a revision was not confirmed in time.
const REVERT_EVERY: Duration = Duration::from_secs(1);
/// How often what is over is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// The environment's set-up token.
const TOKEN_VARIABLE: &str = "COREGATE_ADMIN_SETUP_TOKEN";

/// Serves until SIGTERM or SIGINT. An error is a reason not to start.
pub async fn run(settings: Settings, store: Store) -> Result<ExitCode, String> {
    let signals = Signals::new().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let (stop, stopping) = watch::channel(false);
    let tls = settings.tls.clone().map(ServerTls::start).transpose()?;
    let redis = match &settings.redis {
        Some(url) => Some(Redis::start(Address::parse(url).map_err(|why| format!("--redis {why}"))?)),
        None => None,
    };
    let live = Live::start(&settings, &store, stopping.clone())?;
    let publisher = Publisher::new(publish::snapshot::follow(&store).await?);
    let listener = server::bind(settings.listen).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let settings = Settings { listen: address, ..settings };
    let set_up = set_up(&store, &settings, address).await?;
    let sessions = Sessions::new(&store, redis.as_ref().map(|redis| (redis, settings.key_prefix.as_str())));
    let auth = Auth::new(sessions, set_up);
    let app = App::new(Parts {
        settings: settings.clone(),
        store,
        redis,
        auth,
        live,
        publisher,
        stopping: stopping.clone(),
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!(%address, "dashboard and API at {scheme}://{address}");
    tokio::spawn(revert_due(app.clone()));
    tokio::spawn(forget(app.clone()));
    tokio::spawn({
        let app = app.clone();
        async move { app.indexes.follow(&app.store).await }
    });
    let router = api::router(app.clone());
    let serving = tokio::spawn(server::serve(listener, router, tls, settings, stopping));
    let code = signals.end(stop, serving).await;
    app.store.close().await;
    Ok(code)
}

/// Prints the link that makes the first account, if there is none.
async fn set_up(store: &Store, settings: &Settings, address: SocketAddr) -> Result<SetUp, String> {
    if store.has_admins().await.map_err(|error| error.to_string())? {
        return Ok(SetUp::done());
    }
    if let Ok(token) = std::env::var(TOKEN_VARIABLE)
        && !token.is_empty()
    {
        SetUp::check(&token)?;
        info!("there is no account yet: the set-up token is the one in {TOKEN_VARIABLE}");
        return Ok(SetUp::with(&token));
    }
    let token = secret::random();
    let base = link_base(settings.public_url.as_deref(), address, settings.tls.is_some());
    // Not to the log, which may be kept: it is for whoever starts the process.
    println!("set-up link: {base}/#/setup?token={token}");
    Ok(SetUp::with(&token))
}

/// Takes revisions back that nobody confirmed in time.
async fn revert_due(app: App) {
    let mut ticks = interval(REVERT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.store.away().is_some() {
            continue;
        }
        match app.store.revert_due(Timestamp::now()).await {
            Ok(Some(revision)) => {
                warn!(revision = revision.id, "a revision was not confirmed in time and was taken back");
            }
            Ok(None) => {}
            Err(error) => error!(%error, "a revision that is due cannot be taken back yet"),
        }
    }
}

/// Forgets sessions that are over and revisions that are too old.
async fn forget(app: App) {
    let mut ticks = interval(FORGET_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match app.store.forget_revisions(app.settings.keep_revisions).await {
            Ok(0) => {}
            Ok(count) => info!(count, "the oldest revisions are forgotten"),
            Err(error) => warn!(%error, "the oldest revisions cannot be forgotten yet"),
        }
        if let Err(why) = app.auth.sessions.forget(Timestamp::now()).await {
            warn!(?why, "sessions that are over cannot be forgotten yet");
        }
    }
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
