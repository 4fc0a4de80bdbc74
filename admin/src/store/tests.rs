//! The store on SQLite: what a revision is, what is refused, what comes back.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::database::values;
use super::*;
use crate::auth::Role;
use crate::model::{Actor, Cause, Change, Kind, Proposal, Revision};

/// A store in a folder that goes away.
async fn store() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("admin.db").display());
    (Store::open(&url.parse().unwrap(), None).await.unwrap(), folder)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn alice() -> Actor {
    Actor { name: "admin:alice".to_owned(), address: None }
}

fn service(name: &str, prefix: &str) -> Value {
    json!({ "name": name, "routes": [{ "path_prefix": prefix }], "nodes": [{ "address": "127.0.0.1:2003" }] })
}

fn change(kind: Kind, name: &str, body: Option<Value>, based_on: Option<u64>) -> Change {
    Change { kind, name: name.to_owned(), body, based_on }
}

async fn publish(store: &Store, changes: Vec<Change>, second: i64) -> Result<Revision, PublishError> {
    let (message, cause) = ("a reason".to_owned(), Cause::Change);
    let proposal = Proposal { changes, message, author: alice(), cause, confirm_within: None };
    store.publish(proposal, at(second)).await
}

#[tokio::test]
async fn a_change_is_a_revision_that_survives_a_restart() {
    let (store, folder) = store().await;
    let new = change(Kind::Service, "a", Some(service("a", "/a")), None);
    let revision = publish(&store, vec![new], 1).await.unwrap();
    assert_eq!((revision.id, revision.changes, revision.author.as_str()), (1, 1, "admin:alice"));
    drop(store);
    let url = format!("sqlite:{}", folder.path().join("admin.db").display());
    let store = Store::open(&url.parse().unwrap(), None).await.unwrap();
    let state = store.state();
    assert_eq!(state.revision, 1);
    assert_eq!(state.get(Kind::Service, "a").unwrap().body.value(), service("a", "/a"));
    assert_eq!(store.revisions(Page::new(1, 10)).await.unwrap(), (vec![revision], 1));
}

#[tokio::test]
async fn a_stale_edit_is_refused_with_both_versions() {
    let (store, _folder) = store().await;
    publish(&store, vec![change(Kind::Service, "a", Some(service("a", "/a")), None)], 1).await.unwrap();
    publish(&store, vec![change(Kind::Service, "a", Some(service("a", "/b")), Some(1))], 2).await.unwrap();
    let stale = vec![change(Kind::Service, "a", Some(service("a", "/c")), Some(1))];
    let Err(PublishError::Stale(conflicts)) = publish(&store, stale, 3).await else { panic!("it was taken") };
    assert_eq!(conflicts[0].version, Some(2));
    assert_eq!(conflicts[0].yours, Some(service("a", "/c")));
    assert_eq!(conflicts[0].theirs, Some(service("a", "/b")));
}

#[tokio::test]
async fn what_does_not_check_is_refused_with_keys_of_its_own() {
    let (store, _folder) = store().await;
    let mut body = service("a", "/a");
    body["nodes"][0]["weight"] = json!(0);
    let new = vec![change(Kind::Service, "a", Some(body), None)];
    let Err(PublishError::Invalid(problems)) = publish(&store, new, 1).await else { panic!("it was taken") };
    assert_eq!((problems[0].name.as_deref(), problems[0].key.as_str()), (Some("a"), "nodes[0].weight"));
    assert_eq!(store.state().revision, 0);
}

#[tokio::test]
async fn a_rollback_brings_the_old_state_back_as_a_new_revision() {
    let (store, _folder) = store().await;
    publish(&store, vec![change(Kind::Service, "a", Some(service("a", "/a")), None)], 1).await.unwrap();
    let changes = vec![
        change(Kind::Service, "a", None, Some(1)),
        change(Kind::Service, "b", Some(service("b", "/b")), None),
    ];
    publish(&store, changes, 2).await.unwrap();
    let back = store.rollback(1, alice(), String::new(), None, at(3)).await.unwrap();
    assert_eq!((back.id, back.restores, back.cause), (3, Some(1), Cause::Rollback));
    let state = store.state();
    assert!(state.get(Kind::Service, "a").is_some() && state.get(Kind::Service, "b").is_none());
    assert_eq!(store.diff(1, 3).await.unwrap(), Some(StateDiff::default()));
    assert_eq!(store.diff(1, 2).await.unwrap().unwrap().items.len(), 2);
}

#[tokio::test]
async fn what_nobody_confirms_is_taken_back_once() {
    let (store, _folder) = store().await;
    let changes = vec![change(Kind::Service, "a", Some(service("a", "/a")), None)];
    let (message, cause) = (String::new(), Cause::Change);
    let confirm_within = Some(Duration::from_secs(60));
    let proposal = Proposal { changes, message, author: alice(), cause, confirm_within };
    store.publish(proposal, at(0)).await.unwrap();
    let other = vec![change(Kind::Service, "b", Some(service("b", "/b")), None)];
    assert!(matches!(publish(&store, other, 1).await, Err(PublishError::Pending(_))));
    assert_eq!(store.revert_due(at(59)).await.unwrap(), None);
    let taken_back = store.revert_due(at(60)).await.unwrap().unwrap();
    assert_eq!((taken_back.id, taken_back.cause), (2, Cause::Revert));
    assert_eq!(store.revert_due(at(61)).await.unwrap(), None);
    assert!(store.state().get(Kind::Service, "a").is_none());
    assert_eq!(store.revision(1).await.unwrap().unwrap().reverted_by, Some(2));
}

#[tokio::test]
async fn a_tenants_secret_is_hashed_before_it_is_written_anywhere() {
    let (store, folder) = store().await;
    let tenant = json!({ "app_id": "app", "name": "App", "secret": "do-not-keep-me" });
    store
        .put_draft(1, Over::Any, vec![change(Kind::Tenant, "app", Some(tenant.clone()), None)], at(1))
        .await
        .unwrap();
    publish(&store, vec![change(Kind::Tenant, "app", Some(tenant), None)], 2).await.unwrap();
    let draft = store.draft(1).await.unwrap().unwrap();
    assert!(draft.changes[0].body.as_ref().unwrap()["secret_sha256"].is_string());
    drop(store);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"do-not-keep-me"));
    }
}

#[tokio::test]
async fn somebody_is_always_left_who_may_administer() {
    let (store, _folder) = store().await;
    let first = store.add_first_admin("alice", "hash", at(1)).await.unwrap();
    assert_eq!(store.add_first_admin("eve", "hash", at(1)).await.err(), Some(RecordError::TooMany));
    assert_eq!(store.add_admin("alice", Role::Viewer, None, at(1)).await.err(), Some(RecordError::Exists));
    let demoted = store.update_admin(first.id, 1, "alice", Role::Operator, true).await;
    assert_eq!(demoted.err(), Some(RecordError::LastAdmin));
    assert_eq!(store.remove_admin(first.id, 1).await.err(), Some(RecordError::LastAdmin));
    let second = store.add_admin("bob", Role::Admin, Some("hash"), at(2)).await.unwrap();
    assert_eq!(
        store.update_admin(first.id, 7, "alice", Role::Operator, true).await.err(),
        Some(RecordError::Stale)
    );
    store.update_admin(first.id, 1, "alice", Role::Operator, true).await.unwrap();
    assert_eq!(store.remove_admin(second.id, 1).await.err(), Some(RecordError::LastAdmin));
}

#[tokio::test]
async fn failures_lock_an_account_and_a_login_ends_that() {
    let (store, _folder) = store().await;
    let account = store.add_first_admin("alice", "hash", at(1)).await.unwrap();
    let rule = |failures: u32| (failures >= 2).then(|| at(100));
    assert_eq!(store.note_failed_login(account.id, rule).await.unwrap(), None);
    assert_eq!(store.note_failed_login(account.id, rule).await.unwrap(), Some(at(100)));
    store.note_login(account.id, at(3)).await.unwrap();
    let after = store.admin_by_name("alice").await.unwrap().unwrap();
    assert_eq!((after.failed_logins, after.locked_until, after.last_login_at), (0, None, Some(at(3))));
}

#[tokio::test]
async fn a_link_works_once_and_the_newest_counts() {
    let (store, _folder) = store().await;
    let link = LinkRecord { purpose: LinkPurpose::Setup, admin_id: None, expires_at: at(100) };
    store.add_link("old", &link, at(1)).await.unwrap();
    store.add_link("new", &link, at(2)).await.unwrap();
    assert_eq!(store.take_link("old").await.unwrap(), None);
    assert_eq!(store.take_link("new").await.unwrap(), Some(link));
    assert_eq!(store.take_link("new").await.unwrap(), None);
}

#[tokio::test]
async fn the_audit_is_found_by_what_it_says() {
    let (store, _folder) = store().await;
    for (second, action) in [(1, "login"), (2, "login_failed"), (3, "logout")] {
        store.audit(&alice(), action, "account alice", &json!({ "by": "100%_!" }), at(second)).await.unwrap();
    }
    let found = async |filter: AuditFilter| {
        let (records, total) = store.audits(&filter, Page::new(1, 2)).await.unwrap();
        (records.into_iter().map(|it| it.action).collect::<Vec<_>>(), total)
    };
    assert_eq!(
        found(AuditFilter::default()).await,
        (vec!["logout".to_owned(), "login_failed".to_owned()], 3)
    );
    let failed = AuditFilter { action: Some("login_failed".to_owned()), ..AuditFilter::default() };
    assert_eq!(found(failed).await.1, 1);
    let literal = AuditFilter { search: Some("100%_!".to_owned()), ..AuditFilter::default() };
    assert_eq!(found(literal).await.1, 3);
    let wildcard = AuditFilter { search: Some("1%0".to_owned()), ..AuditFilter::default() };
    assert_eq!(found(wildcard).await.1, 0);
}

#[tokio::test]
async fn the_audit_keeps_its_last_million_records() {
    let (store, _folder) = store().await;
    let say = async |second| store.audit(&alice(), "login", "a", &json!(null), at(second)).await.unwrap();
    let ids = async || {
        let (records, _) = store.audits(&AuditFilter::default(), Page::new(1, 10)).await.unwrap();
        records.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    say(1).await;
    say(2).await;
    // As if so many had been written since.
    let last = records::audit::RECORDS_MAX;
    let sql = "INSERT INTO audit (id, at, actor, action, object, detail) VALUES (?, 0, '', '', '', 'null')";
    store.0.database.execute(sql, values![last]).await.unwrap();
    say(3).await;
    assert_eq!(ids().await, [last + 1, last, 2]);
    say(4).await;
    assert_eq!(ids().await, [last + 2, last + 1, last]);
}
