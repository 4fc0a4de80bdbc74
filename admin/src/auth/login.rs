//! From a name and a password to a session; the first account; links to set a password.
//!
//! There is no default password. Without an account the process has a set-up token, out of its environment or made at start
//! and printed as a link; whoever shows it makes the first account, once. A wrong name, a wrong password and a disabled
//! account get the same answer, after the same work.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::password::weakness;
use super::session::Session;
use super::throttle::{later, lock_for};
use super::{Identity, secret};
use crate::api::error::{ApiError, Code};
use crate::app::{App, Client};
use crate::model::Actor;
use crate::store::{AdminRecord, LinkPurpose, LinkRecord, RecordError, Store, StoreError};

/// Bytes of an account's name.
const NAME_BYTES_MAX: usize = 64;
/// How long a link to set a password is good.
const LINK_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Fewest characters of a set-up token out of the environment.
const TOKEN_CHARACTERS_MIN: usize = 16;

/// What somebody is told whose account is locked.
const LOCKED: &str = "too many wrong passwords for this account";

/// The token that makes the first account.
pub struct SetUp {
    digest: Option<String>,
    open: AtomicBool,
}

impl SetUp {
    /// None: there are accounts.
    pub fn done() -> Self {
        Self { digest: None, open: AtomicBool::new(false) }
    }

    /// This one.
    pub fn with(token: &str) -> Self {
        Self { digest: Some(secret::digest(token)), open: AtomicBool::new(true) }
    }

    /// Checks one that somebody chose.
    pub fn check(token: &str) -> Result<(), String> {
        if token.chars().count() < TOKEN_CHARACTERS_MIN {
            return Err(format!(
                "COREGATE_ADMIN_SETUP_TOKEN has fewer than {TOKEN_CHARACTERS_MIN} characters; right would be a random \
                 text such as the output of: openssl rand -hex 32"
            ));
        }
        Ok(())
    }

    /// Whether there may be no account yet.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    fn fits(&self, token: &str) -> bool {
        let digest = secret::digest(token);
        self.digest.as_ref().is_some_and(|own| secret::same(own, &digest))
    }

    fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }
}

/// Somebody who has just logged in.
pub struct LoggedIn {
    /// Who.
    pub account: AdminRecord,
    /// The new session.
    pub session: Session,
    /// What the browser gets.
    pub id: String,
}

/// A name and a password.
pub async fn login(
    app: &App,
    client: Client,
    name: &str,
    password: String,
    user_agent: &str,
) -> Result<LoggedIn, ApiError> {
    let now = Timestamp::now();
    take_try(app, client, now).await?;
    let account = app.store.admin_by_name(name).await?;
    let unknown = secret::digest(name);
    let locked = match &account {
        Some(account) => account.locked(now),
        None => app.auth.throttle.lock().await.unknown_locked(&unknown, now),
    };
    let actor = Actor {
        // A name that is no account's may be a password that was typed into the wrong field.
        name: account
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), |account| format!("admin:{}", account.name)),
        address: Some(client.address),
    };
    if let Some(left) = locked {
        app.store.audit(&actor, "login_refused", &actor.name, &json!({ "why": "locked" }), now).await?;
        return Err(too_many(LOCKED, left));
    }
    let stored = account.as_ref().filter(|account| account.enabled).and_then(|it| it.password_hash.clone());
    let right = app.auth.hasher.verify(password, stored).await?;
    match account {
        Some(account) if right => {
            let (session, id) = begin(app, &account, client, user_agent, now).await?;
            app.store.audit(&actor, "login", &actor.name, &json!({}), now).await?;
            Ok(LoggedIn { account, session, id })
        }
        account => {
            match &account {
                Some(account) => {
                    let lock = |failures| lock_for(failures).map(|lock| later(now, lock));
                    app.store.note_failed_login(account.id, lock).await?;
                }
                None => app.auth.throttle.lock().await.unknown_failed(unknown, now),
            }
            app.store.audit(&actor, "login_failed", &actor.name, &json!({}), now).await?;
            Err(ApiError::new(Code::Unauthenticated, "the name or the password is not right"))
        }
    }
}

/// The first account.
pub async fn set_up(
    app: &App,
    client: Client,
    token: &str,
    name: &str,
    password: String,
    user_agent: &str,
) -> Result<LoggedIn, ApiError> {
    let now = Timestamp::now();
    take_try(app, client, now).await?;
    let done =
        || ApiError::new(Code::Conflict, "there are accounts already: log in, or ask an admin for one");
    if !app.auth.needs_set_up(&app.store).await {
        return Err(done());
    }
    if !app.auth.set_up.fits(token) {
        let actor = Actor { name: "unknown".to_owned(), address: Some(client.address) };
        app.store.audit(&actor, "setup_refused", "account", &json!({}), now).await?;
        return Err(ApiError::new(
            Code::Unauthenticated,
            "the set-up link is not right; the admin's log has printed the one that is, at its start",
        ));
    }
    check_name(name)?;
    check_password("password", &password, name)?;
    let hash = app.auth.hasher.hash(password).await?;
    let account = match app.store.add_first_admin(name, &hash, now).await {
        Ok(account) => account,
        Err(RecordError::TooMany) => {
            app.auth.set_up.close();
            return Err(done());
        }
        Err(error) => return Err(error.into()),
    };
    app.auth.set_up.close();
    let (session, id) = begin(app, &account, client, user_agent, now).await?;
    let actor = Actor { name: format!("admin:{name}"), address: Some(client.address) };
    app.store.audit(&actor, "setup", &actor.name, &json!({}), now).await?;
    Ok(LoggedIn { account, session, id })
}

/// A new link with which an account's password can be set; only its last part is secret. Its old password is of no use any
/// more.
pub async fn make_link(
    store: &Store,
    admin_id: u64,
    base: &str,
    now: Timestamp,
) -> Result<String, StoreError> {
    let token = secret::random();
    let link = LinkRecord {
        purpose: LinkPurpose::Password,
        admin_id: Some(admin_id),
        expires_at: later(now, LINK_LIFE),
    };
    store.add_link(&secret::digest(&token), &link, now).await?;
    Ok(format!("{base}/#/set-password?token={token}"))
}

/// Sets a password by a link, which is spent then; logs in.
pub async fn set_password(
    app: &App,
    client: Client,
    token: &str,
    password: String,
    user_agent: &str,
) -> Result<LoggedIn, ApiError> {
    let now = Timestamp::now();
    take_try(app, client, now).await?;
    let spent = || {
        ApiError::new(
            Code::Unauthenticated,
            "the link is spent or too old; an admin can make another one, or: coregate-admin reset-password NAME",
        )
    };
    let digest = secret::digest(token);
    let good = |link: &LinkRecord| link.purpose == LinkPurpose::Password && link.expires_at > now;
    let link = app.store.link(&digest).await?.filter(good).and_then(|link| link.admin_id);
    let link = link.ok_or_else(spent)?;
    let account = app.store.admin(link).await?.filter(|account| account.enabled).ok_or_else(spent)?;
    // A weak password does not spend the link.
    check_password("password", &password, &account.name)?;
    let hash = app.auth.hasher.hash(password).await?;
    if app.store.take_link(&digest).await?.is_none() {
        return Err(spent());
    }
    app.store.set_password(account.id, &hash).await?;
    app.auth.sessions.remove_of(account.id, None).await?;
    let (session, id) = begin(app, &account, client, user_agent, now).await?;
    let actor = Actor { name: format!("admin:{}", account.name), address: Some(client.address) };
    app.store.audit(&actor, "password_set", &actor.name, &json!({ "by": "link" }), now).await?;
    Ok(LoggedIn { account, session, id })
}

/// Changes one's own password; ends the other sessions.
pub async fn change_password(
    app: &App,
    who: &Identity,
    current: String,
    new: String,
) -> Result<(), ApiError> {
    let now = Timestamp::now();
    let (Some(admin_id), Some(session)) = (who.admin_id, &who.session) else {
        return Err(ApiError::new(Code::Forbidden, "a token has no password"));
    };
    if let Some(address) = who.actor.address {
        take_try(app, Client { address, tls: false }, now).await?;
    }
    let account = app.store.admin(admin_id).await?.ok_or_else(|| ApiError::not_found("account", admin_id))?;
    if let Some(left) = account.locked(now) {
        app.store
            .audit(&who.actor, "password_refused", &who.actor.name, &json!({ "why": "locked" }), now)
            .await?;
        return Err(too_many(LOCKED, left));
    }
    if !app.auth.hasher.verify(current, account.password_hash.clone()).await? {
        // A session that was left open must not become a way to guess the password.
        let lock = |failures| lock_for(failures).map(|lock| later(now, lock));
        app.store.note_failed_login(account.id, lock).await?;
        app.store.audit(&who.actor, "password_refused", &who.actor.name, &json!({}), now).await?;
        return Err(ApiError::field("current", "is not the password of this account"));
    }
    check_password("new", &new, &account.name)?;
    let hash = app.auth.hasher.hash(new).await?;
    app.store.set_password(account.id, &hash).await?;
    app.auth.sessions.remove_of(account.id, Some(&session.id_hash)).await?;
    app.store.audit(&who.actor, "password_set", &who.actor.name, &json!({ "by": "its owner" }), now).await?;
    Ok(())
}

async fn begin(
    app: &App,
    account: &AdminRecord,
    client: Client,
    user_agent: &str,
    now: Timestamp,
) -> Result<(Session, String), ApiError> {
    app.store.note_login(account.id, now).await?;
    let (session, id) = Session::new(account.id, Some(client.address), user_agent, now);
    app.auth.sessions.add(&session, now).await?;
    Ok((session, id))
}

async fn take_try(app: &App, client: Client, now: Timestamp) -> Result<(), ApiError> {
    let taken = app.auth.throttle.lock().await.address(client.address, now);
    taken.map_err(|left| too_many("too many logins were tried from this address", left))
}

fn too_many(what: &str, left: SignedDuration) -> ApiError {
    let seconds = u64::try_from(left.as_secs()).unwrap_or(0) + 1;
    ApiError {
        retry_after: Some(seconds),
        ..ApiError::new(Code::TooManyRequests, format!("{what}; try again in {seconds} seconds"))
    }
}

/// What an account may be called.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return Err(ApiError::field(
            "name",
            format!("right would be 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ - @"),
        ));
    }
    Ok(())
}

/// What a new password must be.
pub fn check_password(key: &str, password: &str, name: &str) -> Result<(), ApiError> {
    match weakness(password, name) {
        Some(why) => Err(ApiError::field(key, why)),
        None => Ok(()),
    }
}
