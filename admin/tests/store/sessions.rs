//! Sessions of browsers, in the database and in Redis: how many an account has, and when they end. The time is what the
//! test says, except for Redis' own clock, which only forgets.

use coregate::control::redis::{Address, Redis as Link};
use coregate_admin::auth::session::{IDLE_MAX, LIFE_MAX, OF_ACCOUNT_MAX, Session, Sessions};
use coregate_tests::redis::Redis;
use jiff::{SignedDuration, Timestamp};

use super::{Place, at};

/// Each scenario on the three places where sessions can be.
macro_rules! wherever_they_are {
    ($($scenario:ident),* $(,)?) => {
        mod in_sqlite {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::in_database(super::Place::sqlite(), super::$scenario).await; } )*
        }
        mod in_mariadb {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::in_database(super::Place::mariadb(), super::$scenario).await; } )*
        }
        mod in_redis {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::in_redis(super::$scenario).await; } )*
        }
    };
}

wherever_they_are!(
    a_login_beyond_the_limit_ends_the_session_that_was_not_used_for_longest,
    logins_at_once_do_not_go_beyond_the_limit,
    a_session_that_is_not_used_ends,
    a_session_that_is_used_ends_all_the_same,
    that_it_was_used_is_written_down_once_a_minute,
    what_is_revoked_does_not_come_back,
);

const SECOND: SignedDuration = SignedDuration::from_secs(1);

async fn in_database(place: Place, scenario: impl AsyncFnOnce(&Sessions, u64)) {
    let store = place.store().await;
    let account = store.add_first_admin("alice", "hash", at(0)).await.unwrap().id;
    scenario(&Sessions::new(&store, None), account).await;
}

async fn in_redis(scenario: impl AsyncFnOnce(&Sessions, u64)) {
    let (place, server) = (Place::sqlite(), Redis::start());
    let store = place.store().await;
    let redis = connected(&server).await;
    scenario(&Sessions::new(&store, Some((&redis, "test_"))), 1).await;
}

async fn connected(server: &Redis) -> Link {
    let link = Link::start(Address::parse(&server.url()).unwrap());
    tokio::time::timeout(coregate_tests::PATIENCE, link.connected()).await.expect("it connects");
    link
}

/// Logs in: the session, and what the browser holds.
async fn log_in(sessions: &Sessions, account: u64, now: Timestamp) -> (Session, String) {
    let (session, id) = Session::new(account, None, "a browser", now);
    sessions.add(&session, now).await.unwrap();
    (session, id)
}

async fn is_in(sessions: &Sessions, id: &str, now: Timestamp) -> bool {
    sessions.find(id, now).await.unwrap().is_some()
}

async fn a_login_beyond_the_limit_ends_the_session_that_was_not_used_for_longest(
    sessions: &Sessions,
    account: u64,
) {
    let other = account + 1;
    let (_, stranger) = log_in(sessions, other, at(0)).await;
    let mut ids = Vec::new();
    for second in 0..OF_ACCOUNT_MAX {
        ids.push(log_in(sessions, account, at(second as i64)).await.1);
    }
    // The first one is used, so the second one is next.
    assert!(is_in(sessions, &ids[0], at(100)).await);
    assert_eq!(sessions.of(account, at(100)).await.unwrap().len(), OF_ACCOUNT_MAX);
    let (_, new) = log_in(sessions, account, at(101)).await;
    assert_eq!(sessions.of(account, at(101)).await.unwrap().len(), OF_ACCOUNT_MAX);
    let mut left = Vec::new();
    for id in &ids {
        left.push(is_in(sessions, id, at(102)).await);
    }
    assert_eq!(left.iter().position(|is_in| !is_in), Some(1));
    assert_eq!(left.iter().filter(|is_in| !**is_in).count(), 1);
    assert!(is_in(sessions, &new, at(102)).await && is_in(sessions, &stranger, at(102)).await);
}

async fn logins_at_once_do_not_go_beyond_the_limit(sessions: &Sessions, account: u64) {
    for second in 0..OF_ACCOUNT_MAX - 1 {
        log_in(sessions, account, at(second as i64)).await;
    }
    let logins = (0..8).map(|number| {
        let sessions = sessions.clone();
        tokio::spawn(async move { log_in(&sessions, account, at(100 + number)).await.1 })
    });
    let logins: Vec<_> = logins.collect();
    for login in logins {
        let id = login.await.unwrap();
        assert!(is_in(sessions, &id, at(110)).await, "the new ones stay");
    }
    assert_eq!(sessions.of(account, at(110)).await.unwrap().len(), OF_ACCOUNT_MAX);
}

async fn a_session_that_is_not_used_ends(sessions: &Sessions, account: u64) {
    let (session, id) = log_in(sessions, account, at(0)).await;
    let end = at(0) + IDLE_MAX;
    assert_eq!(session.ends_at(), end);
    assert!(sessions.is_alive(&session, end - SECOND).await.unwrap());
    assert!(!sessions.is_alive(&session, end).await.unwrap());
    assert!(!is_in(sessions, &id, end).await);
    assert!(sessions.of(account, end).await.unwrap().is_empty(), "it is not listed");
    assert_eq!(sessions.of(account, end - SECOND).await.unwrap().len(), 1);
    // Once it is used it has as long again.
    assert!(is_in(sessions, &id, end - SECOND).await);
    assert!(is_in(sessions, &id, end + IDLE_MAX - SECOND - SECOND).await);
    assert!(!is_in(sessions, &id, end + IDLE_MAX + IDLE_MAX).await);
    sessions.forget(end + IDLE_MAX + IDLE_MAX).await.unwrap();
    if let Sessions::Database(store) = sessions {
        assert!(store.sessions_of(account).await.unwrap().is_empty(), "and it is not kept");
    }
}

async fn a_session_that_is_used_ends_all_the_same(sessions: &Sessions, account: u64) {
    let (session, id) = log_in(sessions, account, at(0)).await;
    let end = at(0) + LIFE_MAX;
    let mut now = at(0);
    while now < end {
        assert!(is_in(sessions, &id, now).await, "{now}");
        now += SignedDuration::from_hours(11);
    }
    assert!(is_in(sessions, &id, end - SECOND).await);
    let used = &sessions.of(account, end - SECOND).await.unwrap()[0];
    assert_eq!((used.seen_at, used.ends_at()), (end - SECOND, end));
    assert!(!is_in(sessions, &id, end).await);
    assert!(!sessions.is_alive(&session, end).await.unwrap());
    sessions.forget(end).await.unwrap();
    if let Sessions::Database(store) = sessions {
        assert!(store.sessions_of(account).await.unwrap().is_empty(), "and it is not kept");
    }
}

async fn that_it_was_used_is_written_down_once_a_minute(sessions: &Sessions, account: u64) {
    let (_, id) = log_in(sessions, account, at(0)).await;
    let seen_at = async |second| {
        assert!(is_in(sessions, &id, at(second)).await);
        sessions.of(account, at(second)).await.unwrap()[0].seen_at
    };
    assert_eq!(seen_at(59).await, at(0));
    assert_eq!(seen_at(60).await, at(60));
    assert_eq!(seen_at(119).await, at(60));
}

async fn what_is_revoked_does_not_come_back(sessions: &Sessions, account: u64) {
    let (one, first) = log_in(sessions, account, at(0)).await;
    let (two, second) = log_in(sessions, account, at(1)).await;
    sessions.remove(&one).await.unwrap();
    assert!(!is_in(sessions, &first, at(100)).await && is_in(sessions, &second, at(100)).await);
    let (_, third) = log_in(sessions, account, at(101)).await;
    sessions.remove_of(account, Some(&two.id_hash)).await.unwrap();
    assert!(is_in(sessions, &second, at(102)).await && !is_in(sessions, &third, at(102)).await);
    sessions.remove_of(account, None).await.unwrap();
    assert!(sessions.of(account, at(103)).await.unwrap().is_empty());
    assert!(!is_in(sessions, &second, at(200)).await);
}

/// Redis' own clock goes on meanwhile, by seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_forgets_a_session_at_its_end() {
    let (place, server) = (Place::sqlite(), Redis::start());
    let (store, redis) = (place.store().await, connected(&server).await);
    let sessions = Sessions::new(&store, Some((&redis, "test_")));
    let (session, id) = log_in(&sessions, 1, at(0)).await;
    let key = format!("test_admin_session_{}", session.id_hash);
    let is_left = |expected: SignedDuration| {
        let left = SignedDuration::from_millis(server.command(&["PTTL", &key]).number());
        assert!(left <= expected && left > expected - SignedDuration::from_mins(5), "{left:?}");
    };
    is_left(IDLE_MAX);
    let late = at(0) + SignedDuration::from_hours(11);
    assert!(is_in(&sessions, &id, late).await);
    is_left(IDLE_MAX);
    // Near its end no longer than that.
    let mut now = late;
    while now < at(0) + LIFE_MAX - SignedDuration::from_hours(2) {
        assert!(is_in(&sessions, &id, now).await);
        now += SignedDuration::from_hours(11);
    }
    let hour = SignedDuration::from_hours(1);
    assert!(is_in(&sessions, &id, at(0) + LIFE_MAX - hour).await);
    is_left(hour);
    // What Redis has forgotten is not listed, and its name goes out of the account's set.
    server.command(&["DEL", &key]);
    assert!(sessions.of(1, now).await.unwrap().is_empty());
    assert_eq!(server.command(&["SCARD", "test_admin_sessions_1"]).number(), 0);
}
