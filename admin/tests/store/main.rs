//! The store on both of its databases: the same promises on SQLite and on a real MariaDB.
//!
//! A scenario is an `async fn(&Place)`; [`on_both!`] makes two tests of each. Every test has a database, and for MariaDB
//! a server, of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod certificates;
mod drafts;
mod forget;
mod key;
mod model;
mod outages;
mod revisions;
mod sessions;
mod several_admins;
mod tls;

use std::time::Duration;

use coregate_admin::model::{Actor, Cause, Change, Kind, Proposal, Revision};
use coregate_admin::store::{DatabaseUrl, PublishError, State, Store};
use coregate_tests::PATIENCE;
use coregate_tests::mariadb::MariaDb;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where a test's database is.
pub struct Place {
    /// Its URL.
    pub url: DatabaseUrl,
    _folder: Option<TempDir>,
    _server: Option<MariaDb>,
}

impl Place {
    /// A file in a folder that goes away.
    pub fn sqlite() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = DatabaseUrl::sqlite(folder.path().join("admin.db"));
        Place { url, _folder: Some(folder), _server: None }
    }

    /// A server that goes away.
    pub fn mariadb() -> Place {
        let server = MariaDb::start();
        let url = server.url().parse().expect("a URL");
        Place { url, _folder: None, _server: Some(server) }
    }

    /// An admin's store on it.
    pub async fn store(&self) -> Store {
        Store::open(&self.url, None).await.expect("it opens")
    }
}

/// Each scenario as a test on SQLite and as one on MariaDB.
macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => {
        mod on_sqlite {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::$scenario(&$crate::Place::sqlite()).await; } )*
        }
        mod on_mariadb {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() { super::$scenario(&$crate::Place::mariadb()).await; } )*
        }
    };
}
pub(crate) use on_both;

/// A moment.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("within bounds")
}

/// Somebody.
pub fn alice() -> Actor {
    Actor { name: "admin:alice".to_owned(), address: Some([192, 0, 2, 7].into()) }
}

/// A service of that name with a route of its own.
pub fn service(name: &str, weight: u64) -> Value {
    json!({
        "name": name,
        "routes": [{ "path_prefix": format!("/{name}") }],
        "nodes": [{ "address": "127.0.0.1:2003", "weight": weight }],
    })
}

/// A change to a service.
pub fn change(name: &str, body: Option<Value>, based_on: Option<u64>) -> Change {
    Change { kind: Kind::Service, name: name.to_owned(), body, based_on }
}

/// A proposal of alice's.
pub fn proposal(changes: Vec<Change>, confirm_within: Option<Duration>) -> Proposal {
    let (message, cause) = ("a reason".to_owned(), Cause::Change);
    Proposal { changes, message, author: alice(), cause, confirm_within }
}

/// Publishes changes.
pub async fn publish(store: &Store, changes: Vec<Change>, second: i64) -> Result<Revision, PublishError> {
    store.publish(proposal(changes, None), at(second)).await
}

/// Waits until a store knows that revision.
pub async fn knows(store: &Store, revision: u64) {
    let mut watch = store.watch();
    let seen = watch.wait_for(|state| state.revision >= revision);
    tokio::time::timeout(PATIENCE, seen).await.expect("within time").expect("the store lives");
}

/// The elements of a state, as a naive map.
pub fn elements(state: &State) -> Vec<(Kind, String, Value)> {
    let all = Kind::ALL.into_iter().flat_map(|kind| state.list(kind));
    all.map(|item| (item.kind, item.name.clone(), item.body.value())).collect()
}
