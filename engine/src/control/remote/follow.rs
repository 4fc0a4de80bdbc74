//! The task that asks the admin for configurations.
//!
//! Input: the admin's answers. Output: [`News`] for the control thread's loop, which tries each configuration and says what
//! came of it; one that is in force is then kept on disk. When and what to ask is [`Schedule`]'s to decide.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, header};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep_until;
use tracing::error;

use super::client::{self, Client};
use super::schedule::{Answer, Ask, Schedule, Step};
use super::{Contact, Fetched, News, Place, Snapshot, copy, now};
use crate::control::Event;

/// What is needed to follow an admin.
pub struct Follower {
    /// Where it is.
    pub place: Place,
    /// This engine's name.
    pub instance: String,
    /// The ETag of what is in force.
    pub held: Option<Arc<str>>,
    /// Asks for everything again.
    pub demand: Arc<Notify>,
    /// The loop.
    pub events: mpsc::Sender<Event>,
}

impl Follower {
    /// Follows until the loop is gone.
    pub async fn run(self) {
        let mut client = Client::new(&self.place.url, self.place.token_file.clone());
        let mut schedule = Schedule::new(self.held.clone(), now());
        loop {
            match schedule.next(now()) {
                Step::Sleep(until) => tokio::select! {
                    () = sleep_until(until.into()) => {}
                    () = self.demand.notified() => schedule.on_demand(now()),
                },
                Step::Ask(ask) => tokio::select! {
                    answered = self.ask(&mut client, &ask) => {
                        if self.take(answered, &mut schedule).await.is_none() {
                            return;
                        }
                    }
                    // The request is given up, and with it the connection.
                    () = self.demand.notified() => schedule.on_demand(now()),
                },
            }
        }
    }

    /// `Ok(None)`: nothing new.
    async fn ask(&self, client: &mut Client, ask: &Ask) -> Result<Option<Snapshot>, Contact> {
        let mut headers = vec![(HeaderName::from_static("coregate-instance"), self.instance.clone())];
        headers.extend(ask.unless.iter().map(|etag| (header::IF_NONE_MATCH, etag.to_string())));
        if !ask.wait.is_zero() {
            headers.push((HeaderName::from_static("prefer"), format!("wait={}", ask.wait.as_secs())));
        }
        let ask = client::Ask {
            method: Method::GET,
            path: "/engine/v1/snapshot",
            headers,
            body: Bytes::new(),
            wait: ask.wait,
        };
        let answer = client.ask(&ask).await.map_err(Contact::Down)?;
        match answer.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => {
                let etag =
                    answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(Into::into);
                let text = String::from_utf8(answer.body.into())
                    .map_err(|_| Contact::Down("what it sent is not UTF-8".to_owned()))?;
                Snapshot::new(text, etag).map(Some).map_err(Contact::Down)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Contact::TokenRefused),
            status => Err(Contact::Down(format!("it answers {status}"))),
        }
    }

    /// `None`: nobody is there any more.
    async fn take(&self, answered: Result<Option<Snapshot>, Contact>, schedule: &mut Schedule) -> Option<()> {
        let (answer, contact, snapshot) = match answered {
            Ok(Some(snapshot)) => (Answer::Fetched, Contact::Up, Some(snapshot)),
            Ok(None) => (Answer::Unchanged, Contact::Up, None),
            Err(contact) => (Answer::Failed, contact, None),
        };
        schedule.on_answer(answer, now(), chance());
        self.tell(News::Contact(contact)).await?;
        let Some(snapshot) = snapshot else { return Some(()) };
        // An admin where nothing was ever published has nothing to say; least of all that what is served is to end.
        if snapshot.revision == 0 {
            schedule.on_applied(snapshot.etag);
            return Some(());
        }
        let (verdict, decided) = oneshot::channel();
        self.tell(News::Fetched(Fetched { snapshot: snapshot.clone(), verdict })).await?;
        if decided.await.unwrap_or(false) {
            schedule.on_applied(snapshot.etag.clone());
            keep(&self.place.cache_path, snapshot).await;
        } else {
            schedule.on_refused(snapshot.etag, now());
        }
        Some(())
    }

    async fn tell(&self, news: News) -> Option<()> {
        self.events.send(Event::Remote(Box::new(news))).await.ok()
    }
}

async fn keep(path: &Path, snapshot: Snapshot) {
    let to = path.to_owned();
    let written = move || copy::write(&to, snapshot.etag.as_deref(), &snapshot.text);
    let written = tokio::task::spawn_blocking(written).await;
    if let Some(error) =
        written.map_or_else(|error| Some(error.to_string()), |it| it.err().map(|it| it.to_string()))
    {
        error!(file = %path.display(), error,
            "the configuration in force could not be kept in control.cache_path: a restart without the admin would begin \
             with an older one");
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    const STEPS: u32 = 1 << 16;
    let random = RandomState::new().hash_one(Duration::ZERO);
    #[expect(clippy::cast_possible_truncation, reason = "some bits are enough")]
    let step = random as u32 % STEPS;
    f64::from(step) / f64::from(STEPS)
}
