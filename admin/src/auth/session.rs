//! Sessions: of browsers, kept in Redis if there is one, else in the database.
//!
//! The browser holds a random id; kept is its SHA-256. A session ends when it was not used for [`IDLE_MAX`], at the latest
//! [`LIFE_MAX`] after the login, when it is revoked, when its account is disabled or deleted, or gets a new password. It
//! survives a restart of the process. An account has [`OF_ACCOUNT_MAX`] at the most: a login beyond that ends the one that
//! was not used for longest.
//!
//! In Redis a session is `{prefix}admin_session_{hash}`, JSON, which Redis itself forgets at its end, and
//! `{prefix}admin_sessions_{account}` is the set of an account's.

use std::net::IpAddr;
use std::sync::Arc;

use coregate::control::redis::{Call, Failure, Redis, Refused, Reply};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::secret;
use super::throttle::later;
use crate::store::{SessionRecord, Store, StoreError};

/// A session that was not used for so long is over.
pub const IDLE_MAX: SignedDuration = SignedDuration::from_hours(12);
/// A session is over so long after the login, whatever happens.
pub const LIFE_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// When it was used is written down again after this, so that reading does not write.
const SEEN_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Bytes kept of what a browser calls itself.
const USER_AGENT_BYTES_MAX: usize = 200;
/// Sessions of an account; the one that was not used for longest makes room.
pub const OF_ACCOUNT_MAX: usize = 50;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// SHA-256 of what the browser holds; also its name in the API.
    pub id_hash: String,
    /// Whose.
    pub admin_id: u64,
    /// What its changes must carry.
    pub csrf: String,
    /// When the login was.
    pub created_at: Timestamp,
    /// When it was last used, to a minute.
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Where the login came from.
    pub address: Option<IpAddr>,
    /// What the browser called itself.
    pub user_agent: String,
}

impl Session {
    /// A new one, with the id that the browser gets.
    pub fn new(admin_id: u64, address: Option<IpAddr>, user_agent: &str, now: Timestamp) -> (Self, String) {
        let id = secret::random();
        let end = user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX);
        let session = Self {
            id_hash: secret::digest(&id),
            admin_id,
            csrf: secret::random(),
            created_at: now,
            seen_at: now,
            expires_at: later(now, LIFE_MAX),
            address,
            user_agent: user_agent[..end].to_owned(),
        };
        (session, id)
    }

    /// When it ends if it is not used any more.
    pub fn ends_at(&self) -> Timestamp {
        later(self.seen_at, IDLE_MAX).min(self.expires_at)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at()
    }

    fn must_be_seen(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen_at) >= SEEN_EVERY
    }
}

/// Why sessions cannot be read or written.
#[derive(Debug)]
pub enum Unavailable {
    /// The database.
    Database(StoreError),
    /// Redis: why.
    Redis(String),
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}

/// Where sessions are kept.
#[derive(Clone)]
pub enum Sessions {
    /// In the database.
    Database(Store),
    /// In Redis.
    Redis(InRedis),
}

impl Sessions {
    /// In Redis if there is one.
    pub fn new(store: &Store, redis: Option<(&Redis, &str)>) -> Self {
        match redis {
            Some((redis, prefix)) => {
                Self::Redis(InRedis { redis: redis.clone(), prefix: format!("{prefix}admin_").into() })
            }
            None => Self::Database(store.clone()),
        }
    }

    /// Keeps a new one; of too many those go that were not used for longest.
    pub async fn add(&self, session: &Session, now: Timestamp) -> Result<(), Unavailable> {
        match self {
            Self::Database(store) => Ok(store.add_session(record(session), OF_ACCOUNT_MAX).await?),
            Self::Redis(redis) => {
                redis.add(session, now).await?;
                // Only now, so that of several logins at once the last to come here sees them all.
                let mut others = self.of(session.admin_id, now).await?;
                others.retain(|other| other.id_hash != session.id_hash);
                for over in others.iter().skip(OF_ACCOUNT_MAX - 1) {
                    redis.remove(over).await?;
                }
                Ok(())
            }
        }
    }

    /// Whether a session that was found is still one. It does not count as used.
    pub async fn is_alive(&self, session: &Session, now: Timestamp) -> Result<bool, Unavailable> {
        Ok(self.by_hash(&session.id_hash).await?.is_some_and(|found| !found.is_over(now)))
    }

    /// The session of an id that a browser showed, which counts as used; `None` if it is over or never was.
    pub async fn find(&self, id: &str, now: Timestamp) -> Result<Option<Session>, Unavailable> {
        let Some(mut session) = self.by_hash(&secret::digest(id)).await? else { return Ok(None) };
        if session.is_over(now) {
            return Ok(None);
        }
        if session.must_be_seen(now) {
            session.seen_at = now;
            match self {
                Self::Database(store) => store.touch_session(&session.id_hash, now).await?,
                Self::Redis(redis) => redis.touch(&session, now).await?,
            }
        }
        Ok(Some(session))
    }

    async fn by_hash(&self, id_hash: &str) -> Result<Option<Session>, Unavailable> {
        match self {
            Self::Database(store) => Ok(store.session(id_hash).await?.map(session)),
            Self::Redis(redis) => redis.by_hash(id_hash).await,
        }
    }

    /// Those of an account, the one that was used last first.
    pub async fn of(&self, admin_id: u64, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        let mut all: Vec<Session> = match self {
            Self::Database(store) => store.sessions_of(admin_id).await?.into_iter().map(session).collect(),
            Self::Redis(redis) => redis.of(admin_id).await?,
        };
        all.retain(|session| !session.is_over(now));
        all.sort_by_key(|session| std::cmp::Reverse((session.seen_at, session.created_at)));
        Ok(all)
    }

    /// Ends one.
    pub async fn remove(&self, session: &Session) -> Result<(), Unavailable> {
        match self {
            Self::Database(store) => Ok(store.remove_session(&session.id_hash).await?),
            Self::Redis(redis) => redis.remove(session).await,
        }
    }

    /// Ends all of an account but `keep`.
    pub async fn remove_of(&self, admin_id: u64, keep: Option<&str>) -> Result<(), Unavailable> {
        match self {
            Self::Database(store) => Ok(store.remove_sessions_of(admin_id, keep).await?),
            Self::Redis(redis) => {
                for session in redis.of(admin_id).await? {
                    if keep != Some(session.id_hash.as_str()) {
                        redis.remove(&session).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Forgets those that are over. Redis does so by itself.
    pub async fn forget(&self, now: Timestamp) -> Result<(), Unavailable> {
        match self {
            Self::Database(store) => {
                let seen_before = now.checked_sub(IDLE_MAX).unwrap_or(Timestamp::MIN);
                Ok(store.forget_sessions(now, seen_before).await?)
            }
            Self::Redis(_) => Ok(()),
        }
    }
}

/// Sessions in Redis.
#[derive(Clone)]
pub struct InRedis {
    redis: Redis,
    prefix: Arc<str>,
}

impl InRedis {
    async fn add(&self, session: &Session, now: Timestamp) -> Result<(), Unavailable> {
        let all = self.all_key(session.admin_id);
        let life_ms = milliseconds(LIFE_MAX);
        self.run(vec![
            Call::command(
                "SET",
                vec![self.key(&session.id_hash)],
                [text(session)?.into(), "PX".into(), left_ms(session, now).into()].into(),
            ),
            Call::command("SADD", vec![all.clone()], vec![session.id_hash.as_str().into()]),
            Call::command("PEXPIRE", vec![all], vec![life_ms.into()]),
        ])
        .await
        .map(drop)
    }

    async fn by_hash(&self, id_hash: &str) -> Result<Option<Session>, Unavailable> {
        let replies = self.run(vec![Call::command("GET", vec![self.key(id_hash)], vec![])]).await?;
        Ok(replies.first().and_then(read))
    }

    /// `XX`: a session that was revoked meanwhile does not come back.
    async fn touch(&self, session: &Session, now: Timestamp) -> Result<(), Unavailable> {
        let args = [text(session)?.into(), "XX".into(), "PX".into(), left_ms(session, now).into()];
        self.run(vec![Call::command("SET", vec![self.key(&session.id_hash)], args.into())]).await.map(drop)
    }

    async fn of(&self, admin_id: u64) -> Result<Vec<Session>, Unavailable> {
        let key = self.all_key(admin_id);
        let replies = self.run(vec![Call::command("SMEMBERS", vec![key.clone()], vec![])]).await?;
        let hashes: Vec<String> = match replies.into_iter().next() {
            Some(Reply::Array(members)) => {
                members.into_iter().filter_map(|member| member.as_string()).collect()
            }
            _ => Vec::new(),
        };
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let gets = hashes.iter().map(|hash| Call::command("GET", vec![self.key(hash)], vec![])).collect();
        let replies = self.run(gets).await?;
        let mut sessions = Vec::new();
        let mut gone = Vec::new();
        for (hash, reply) in hashes.into_iter().zip(&replies) {
            match read(reply) {
                Some(session) => sessions.push(session),
                None => gone.push(Call::command("SREM", vec![key.clone()], vec![hash.into()])),
            }
        }
        if !gone.is_empty() {
            self.run(gone).await?;
        }
        Ok(sessions)
    }

    async fn remove(&self, session: &Session) -> Result<(), Unavailable> {
        let hash = session.id_hash.as_str();
        self.run(vec![
            Call::command("DEL", vec![self.key(hash)], vec![]),
            Call::command("SREM", vec![self.all_key(session.admin_id)], vec![hash.into()]),
        ])
        .await
        .map(drop)
    }

    async fn run(&self, calls: Vec<Call>) -> Result<Vec<Reply>, Unavailable> {
        let results = self
            .redis
            .run(calls)
            .await
            .map_err(|failure: Failure| Unavailable::Redis(failure.to_string()))?;
        results
            .into_iter()
            .collect::<Result<_, Refused>>()
            .map_err(|Refused(why)| Unavailable::Redis(why.to_string()))
    }

    fn key(&self, id_hash: &str) -> String {
        format!("{}session_{id_hash}", self.prefix)
    }

    fn all_key(&self, admin_id: u64) -> String {
        format!("{}sessions_{admin_id}", self.prefix)
    }
}

fn record(session: &Session) -> SessionRecord {
    let Session { id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent } =
        session.clone();
    SessionRecord { id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent }
}

fn session(record: SessionRecord) -> Session {
    let SessionRecord { id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent } =
        record;
    Session { id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent }
}

fn text(session: &Session) -> Result<String, Unavailable> {
    serde_json::to_string(session).map_err(|error| Unavailable::Redis(error.to_string()))
}

fn read(reply: &Reply) -> Option<Session> {
    serde_json::from_str(&reply.as_str()?).ok()
}

fn left_ms(session: &Session, now: Timestamp) -> i64 {
    milliseconds(session.ends_at().duration_since(now)).max(1)
}

fn milliseconds(time: SignedDuration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
