//! The connection: made, watched, made again.
//!
//! One task ([`supervise`]) makes a client, waits until it is of no use any more, and makes another. The client's own
//! reconnecting is off: it would send again what was under way, in an order that nobody can tell, and keep talking to a
//! server that a Sentinel has demoted.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::{ConnectionConfig, TcpConfig};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::health::{self, Health};
use super::{Address, CONNECT_TIMEOUT, Call, Failure, PAUSE_MAX, PAUSE_MIN, PIPELINES_MAX, Refused, Reply};
use crate::clock;

/// A connection that lasted this long was a good one: the next pause is a short one.
const GOOD: Duration = Duration::from_secs(10);

/// A handle; clones are the same connection.
#[derive(Clone)]
pub struct Redis {
    address: Arc<Address>,
    state: watch::Sender<State>,
    /// To the supervisor: this connection is of no use any more.
    give_up: mpsc::Sender<u64>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    /// Counts the connections.
    number: u64,
    health: Health,
}

impl Redis {
    /// Connects in the background. Needs a tokio runtime; ends with it.
    pub fn start(address: Address) -> Self {
        let (give_up, given_up) = mpsc::channel(8);
        let redis = Self {
            address: Arc::new(address),
            state: watch::Sender::new(State::default()),
            give_up,
            room: Arc::new(Semaphore::new(PIPELINES_MAX)),
        };
        tokio::spawn(supervise(redis.clone(), given_up));
        redis
    }

    /// Whether keys are spread over nodes.
    pub fn is_cluster(&self) -> bool {
        self.address.is_cluster()
    }

    /// Whether it works.
    pub fn health(&self) -> Health {
        self.state.borrow().health.clone()
    }

    /// Waits until there is a connection.
    pub async fn connected(&self) {
        // The sender lives as long as this handle.
        let _ = self.state.subscribe().wait_for(|state| state.client.is_some()).await;
    }

    /// Runs calls in one pipeline. One result for each, in their order.
    ///
    /// # Errors
    /// None of the answers is known.
    pub async fn run(&self, calls: Vec<Call>) -> Result<Vec<Result<Reply, Refused>>, Failure> {
        let _room = self.room.try_acquire().map_err(|_| Failure::Busy)?;
        let (client, number) = {
            let state = self.state.borrow();
            match &state.client {
                Some(client) => (client.clone(), state.number),
                None => return Err(Failure::Down(why_down(&state.health))),
            }
        };
        match super::run(&client, &calls).await {
            Ok(results) => {
                self.judge(&results, number);
                Ok(results)
            }
            Err(why) => {
                self.broken(number, &why);
                Err(Failure::Lost(why))
            }
        }
    }

    /// What a pipeline's answers say about the server.
    fn judge(&self, results: &[Result<Reply, Refused>], number: u64) {
        let refusal = results.iter().filter_map(|result| result.as_ref().err());
        let refusal = refusal.map(|Refused(words)| words).find(|words| health::is_refusal(words));
        let Some(words) = refusal else {
            self.state.send_if_modified(|state| {
                let news = state.number == number && state.health.works();
                if news {
                    info!(server = %self.address, "Redis works again");
                    state.health.forget_logged();
                }
                news
            });
            return;
        };
        let why: Arc<str> = health::explain(words).into();
        self.fails(number, true, &why);
        if health::is_cured_by_connecting(words) {
            let _ = self.give_up.try_send(number);
        }
    }

    fn broken(&self, number: u64, why: &Arc<str>) {
        self.fails(number, false, why);
        // Full: others have said so.
        let _ = self.give_up.try_send(number);
    }

    /// Notes that something is wrong with a connection, unless there is a newer one.
    fn fails(&self, number: u64, connected: bool, why: &Arc<str>) {
        self.state.send_if_modified(|state| {
            if state.number != number {
                return false;
            }
            if !connected {
                state.client = None;
            }
            if state.health.fails(connected, why, clock::read()) {
                warn!(server = %self.address, "Redis does not work, which is tried again for ever: {why}");
            }
            true
        });
    }

    fn connected_with(&self, client: Client) -> u64 {
        let mut number = 0;
        self.state.send_modify(|state| {
            state.number += 1;
            number = state.number;
            state.client = Some(client);
            let was_down = state.health.trouble.is_some();
            state.health.connected();
            if state.health.is_up() {
                state.health.forget_logged();
                let again = if was_down { " again" } else { "" };
                info!(server = %self.address, "connected to Redis{again}");
            }
        });
        number
    }
}

fn why_down(health: &Health) -> Arc<str> {
    health.trouble.as_ref().map_or_else(|| "not connected yet".into(), |trouble| Arc::clone(&trouble.why))
}

/// Makes connections for ever.
async fn supervise(redis: Redis, mut given_up: mpsc::Receiver<u64>) {
    let mut pause = PAUSE_MIN;
    loop {
        match connect(&redis.address).await {
            Ok((client, task)) => {
                let began = clock::read();
                let number = redis.connected_with(client);
                watch(&redis, number, task, &mut given_up).await;
                if clock::read().saturating_duration_since(began) >= GOOD {
                    pause = PAUSE_MIN;
                }
            }
            Err(why) => {
                let number = redis.state.borrow().number;
                redis.fails(number, false, &why.into());
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits until a connection has ended, or nobody wants it any more.
async fn watch(
    redis: &Redis,
    number: u64,
    mut task: JoinHandle<Result<(), fred::error::Error>>,
    given_up: &mut mpsc::Receiver<u64>,
) {
    loop {
        tokio::select! {
            ended = &mut task => {
                let why = match ended {
                    Ok(Err(error)) => super::describe(&error),
                    _ => "the server closed the connection".into(),
                };
                redis.fails(number, false, &why);
                return;
            }
            Some(which) = given_up.recv() => if which >= number {
                break;
            },
        }
    }
    redis.state.send_modify(|state| {
        state.client = None;
        state.health.connected = false;
    });
    // Asked to quit it would wait for the answers that do not come.
    task.abort();
}

async fn connect(
    address: &Arc<Address>,
) -> Result<(Client, JoinHandle<Result<(), fred::error::Error>>), String> {
    let read = Arc::clone(address);
    let config = tokio::task::spawn_blocking(move || read.client_config())
        .await
        .map_err(|_| "its certificates could not be read".to_owned())??;
    let connection = ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        // Moved keys of a cluster are followed; nothing is sent again after a connection is lost.
        max_command_attempts: 3,
        max_command_buffer_len: PIPELINES_MAX * 2,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    };
    let client = Builder::from_config(config)
        .set_connection_config(connection)
        .build()
        .map_err(|error| super::describe(&error).to_string())?;
    let task = client.connect();
    match timeout(CONNECT_TIMEOUT, client.wait_for_connect()).await {
        Ok(Ok(())) => Ok((client, task)),
        Ok(Err(error)) => {
            task.abort();
            Err(super::describe(&error).to_string())
        }
        Err(_) => {
            task.abort();
            Err(format!("no answer within {} s of connecting", CONNECT_TIMEOUT.as_secs()))
        }
    }
}
