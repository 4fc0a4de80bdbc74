//! Old revisions are forgotten, and nothing that somebody may still need; differences are told up to a limit.

use std::time::Duration;

use coregate_admin::model::{Change, Kind};
use coregate_admin::store::{
    AuditFilter, CHANGES_MAX, KEYS_MAX, Over, Page, PublishError, Store, StoreError,
};
use coregate_tests::mariadb::MariaDb;
use serde_json::json;

use super::{Place, alice, at, change, elements, knows, on_both, proposal, publish, service};

on_both!(
    the_newest_are_kept_and_can_be_compared_and_brought_back,
    what_is_in_force_stays_whoever_old_it_is,
    what_waits_to_be_confirmed_can_be_taken_back,
    the_state_that_a_draft_is_based_on_stays_as_long_as_the_draft,
    an_admin_that_was_away_meanwhile_comes_back_to_the_newest,
    admins_that_forget_at_once_forget_the_same,
    a_long_history_is_forgotten_in_parts,
    a_difference_lists_so_much_and_counts_the_rest,
);

/// Revisions 1 to `count`: `a` is new, then has another weight in each, `b` is there from the second to the fourth.
async fn history(store: &Store, count: u64) {
    for id in 1..=count {
        let mut changes = vec![change("a", Some(service("a", id)), (id > 1).then(|| id - 1))];
        match id {
            2 => changes.push(change("b", Some(service("b", 1)), None)),
            4 => changes.push(change("b", None, Some(2))),
            _ => {}
        }
        publish(store, changes, at_second(id)).await.unwrap();
    }
}

fn at_second(id: u64) -> i64 {
    i64::try_from(id).unwrap()
}

/// Which revisions are listed.
async fn listed(store: &Store) -> Vec<u64> {
    let (revisions, total) = store.revisions(Page::new(1, 200)).await.unwrap();
    assert_eq!(total, revisions.len() as u64);
    revisions.into_iter().map(|it| it.id).collect()
}

async fn the_newest_are_kept_and_can_be_compared_and_brought_back(place: &Place) {
    let store = place.store().await;
    assert_eq!(store.forget_revisions(3).await, Ok(0), "there is nothing yet");
    history(&store, 6).await;
    assert_eq!(store.forget_revisions(6).await, Ok(0));
    let states = [store.state_at(3).await.unwrap(), store.state_at(4).await.unwrap()];
    assert_eq!(store.forget_revisions(4).await, Ok(2));
    assert_eq!(store.forget_revisions(4).await, Ok(0));
    assert_eq!(listed(&store).await, [6, 5, 4, 3]);
    let (page, total) = store.revisions(Page::new(2, 3)).await.unwrap();
    assert_eq!((page.len(), page[0].id, total), (1, 3, 4));
    for (id, before) in [3, 4].into_iter().zip(&states) {
        let state = store.state_at(id).await.unwrap();
        assert_eq!(state.as_ref().map(elements), before.as_ref().map(elements), "revision {id}");
    }
    for id in [1, 2] {
        assert_eq!(store.revision(id).await, Ok(None));
        assert!(store.state_at(id).await.unwrap().is_none());
        let back = store.rollback(id, alice(), String::new(), None, at(9)).await;
        assert_eq!(back, Err(PublishError::NoSuchRevision(id)));
    }
    // The oldest one can be compared with what was before it, and all with nothing.
    assert_eq!(store.diff(2, 3).await.unwrap().unwrap().items.len(), 1);
    assert_eq!(store.diff(0, 3).await.unwrap().unwrap().items.len(), 2);
    assert_eq!((store.diff(1, 3).await, store.diff(3, 1).await), (Ok(None), Ok(None)));
    let back = store.rollback(3, alice(), String::new(), None, at(10)).await.unwrap();
    assert_eq!((back.id, elements(&store.state())), (7, elements(states[0].as_ref().unwrap())));
    // It is the same after a restart.
    drop(store);
    let store = place.store().await;
    assert_eq!(listed(&store).await, [7, 6, 5, 4, 3]);
    assert_eq!(store.forget_revisions(0).await, Ok(3), "two are always kept");
    assert_eq!(listed(&store).await, [7, 6]);
}

async fn what_is_in_force_stays_whoever_old_it_is(place: &Place) {
    let store = place.store().await;
    publish(&store, vec![change("old", Some(service("old", 7)), None)], 0).await.unwrap();
    for id in 2..=6 {
        let edit = change("a", Some(service("a", id)), (id > 2).then(|| id - 1));
        publish(&store, vec![edit], at_second(id)).await.unwrap();
    }
    store.forget_revisions(2).await.unwrap();
    drop(store);
    let store = place.store().await;
    let old = store.state().get(Kind::Service, "old").cloned().unwrap();
    assert_eq!((old.version, old.changed_by.as_str(), old.changed_at), (1, "admin:alice", at(0)));
    assert_eq!(old.body.value(), service("old", 7));
    publish(&store, vec![change("old", Some(service("old", 8)), Some(1))], 7).await.unwrap();
    assert_eq!(store.revision(1).await, Ok(None), "although its row is there");
}

async fn what_waits_to_be_confirmed_can_be_taken_back(place: &Place) {
    let store = place.store().await;
    history(&store, 5).await;
    let before = elements(&store.state());
    let edit = proposal(vec![change("a", None, Some(5))], Some(Duration::from_secs(60)));
    store.publish(edit, at(6)).await.unwrap();
    store.forget_revisions(1).await.unwrap();
    assert_eq!(listed(&store).await, [6, 5]);
    store.revert_due(at(100)).await.unwrap().expect("it is taken back");
    assert_eq!(elements(&store.state()), before);
}

async fn the_state_that_a_draft_is_based_on_stays_as_long_as_the_draft(place: &Place) {
    let store = place.store().await;
    history(&store, 3).await;
    store.put_draft(7, Over::Any, vec![change("c", Some(service("c", 1)), None)], at(3)).await.unwrap();
    let base = elements(&store.state());
    for id in 4..=8 {
        publish(&store, vec![change("a", Some(service("a", id)), Some(id - 1))], at_second(id))
            .await
            .unwrap();
    }
    store.forget_revisions(2).await.unwrap();
    assert_eq!(listed(&store).await, [8, 7]);
    assert_eq!(elements(&store.state_at(3).await.unwrap().unwrap()), base);
    assert_eq!(store.revision(3).await.unwrap().map(|it| it.id), Some(3));
    assert_eq!(store.diff(3, 8).await.unwrap().unwrap().items.len(), 1);
    assert!(store.state_at(4).await.unwrap().is_none());
    store.remove_draft(7, Over::Any).await.unwrap();
    publish(&store, vec![change("a", Some(service("a", 9)), Some(8))], 9).await.unwrap();
    store.forget_revisions(2).await.unwrap();
    assert!(store.state_at(3).await.unwrap().is_none());
}

async fn an_admin_that_was_away_meanwhile_comes_back_to_the_newest(place: &Place) {
    let store = place.store().await;
    history(&store, 3).await;
    let away = place.store().await;
    knows(&away, 3).await;
    let known = away.state();
    for id in 4..=8 {
        publish(&store, vec![change("a", Some(service("a", id)), Some(id - 1))], at_second(id))
            .await
            .unwrap();
        store.forget_revisions(2).await.unwrap();
    }
    assert_eq!(known.revision, 3);
    let newest = away.refresh().await.unwrap();
    assert_eq!((newest.revision, elements(&newest)), (8, elements(&store.state())));
}

async fn admins_that_forget_at_once_forget_the_same(place: &Place) {
    let store = place.store().await;
    history(&store, 9).await;
    let admins = [place.store().await, place.store().await, store];
    let tasks = admins.clone().map(|store| tokio::spawn(async move { store.forget_revisions(3).await }));
    let mut forgotten = 0;
    for task in tasks {
        forgotten += task.await.unwrap().unwrap();
    }
    assert_eq!(forgotten, 6);
    for store in &admins {
        assert_eq!(listed(store).await, [9, 8, 7]);
    }
}

async fn a_long_history_is_forgotten_in_parts(place: &Place) {
    let store = place.store().await;
    history(&store, 610).await;
    assert_eq!(store.forget_revisions(10).await, Ok(600));
    assert_eq!(listed(&store).await.len(), 10);
    assert_eq!(store.state().get(Kind::Service, "a").unwrap().version, 610);
}

async fn a_difference_lists_so_much_and_counts_the_rest(place: &Place) {
    let store = place.store().await;
    let count = CHANGES_MAX + 3;
    let all: Vec<Change> = (0..count)
        .map(|number| change(&format!("s{number:04}"), Some(service(&format!("s{number:04}"), 1)), None))
        .collect();
    publish(&store, all, 1).await.unwrap();
    let diff = store.diff(0, 1).await.unwrap().unwrap();
    assert_eq!((diff.items.len(), diff.more), (CHANGES_MAX, 3));
    assert_eq!(diff.items[CHANGES_MAX - 1].name, format!("s{:04}", CHANGES_MAX - 1), "in order");
    let mut wide = service("s0000", 1);
    let nodes = |weight: u64| -> Vec<_> {
        let node = |number: usize| json!({ "address": format!("10.0.{}.{}:80", number / 250, number % 250 + 1), "weight": weight });
        (0..KEYS_MAX + 5).map(node).collect()
    };
    wide["nodes"] = json!(nodes(1));
    publish(&store, vec![change("s0000", Some(wide.clone()), Some(1))], 2).await.unwrap();
    wide["nodes"] = json!(nodes(2));
    publish(&store, vec![change("s0000", Some(wide), Some(2))], 3).await.unwrap();
    let diff = store.diff(2, 3).await.unwrap().unwrap();
    assert_eq!((diff.items.len(), diff.more), (1, 0));
    assert_eq!((diff.items[0].paths.len(), diff.items[0].more_paths), (KEYS_MAX, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_of_a_server_keeps_its_last_million_records() {
    let server = MariaDb::start();
    let store = Store::open(&server.url().parse().unwrap(), None).await.unwrap();
    let say = async |second| store.audit(&alice(), "login", "a", &json!(null), at(second)).await.unwrap();
    let ids = async || -> Result<Vec<u64>, StoreError> {
        let (records, _) = store.audits(&AuditFilter::default(), Page::new(1, 10)).await?;
        Ok(records.into_iter().map(|it| it.id).collect())
    };
    say(1).await;
    say(2).await;
    // As if so many had been written since.
    let last = 1_000_000;
    let row = format!("({last}, 0, '', '', '', 'null')");
    server.execute(
        "coregate",
        &format!("INSERT INTO audit (id, at, actor, action, object, detail) VALUES {row}"),
    );
    say(3).await;
    assert_eq!(ids().await, Ok(vec![last + 1, last, 2]));
    say(4).await;
    assert_eq!(ids().await, Ok(vec![last + 2, last + 1, last]));
}
