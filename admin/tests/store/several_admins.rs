//! Several admins on one database: nobody's work is lost, and what has to happen once happens once.

use std::sync::Arc;
use std::time::Duration;

use coregate_admin::model::{Cause, Kind};
use coregate_admin::store::{PublishError, RecordError, Store, Told};
use serde_json::json;

use super::{Place, at, change, elements, knows, on_both, proposal, publish, service};

on_both!(
    an_admin_sees_what_another_publishes,
    all_admins_say_the_same_of_a_revision,
    an_edit_is_stale_although_this_admin_has_not_seen_why,
    of_many_who_publish_at_once_nobody_loses_anything,
    what_nobody_confirms_is_taken_back_by_exactly_one,
    a_new_database_may_be_opened_by_several_at_once,
    there_is_one_first_account,
    two_administrators_cannot_take_each_others_role,
    what_one_hears_of_instances_the_others_read,
);

async fn an_admin_sees_what_another_publishes(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    publish(&one, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    knows(&other, 1).await;
    let before = other.state();
    publish(&one, vec![change("b", Some(service("b", 1)), None)], 2).await.unwrap();
    publish(&one, vec![change("b", None, Some(2)), change("c", Some(service("c", 1)), None)], 3)
        .await
        .unwrap();
    knows(&other, 3).await;
    let after = other.state();
    assert_eq!(elements(&after), elements(&one.state()));
    assert_eq!((after.revision, after.at), (3, Some(at(3))));
    let (old, new) = (before.get(Kind::Service, "a").unwrap(), after.get(Kind::Service, "a").unwrap());
    assert!(Arc::ptr_eq(old, new), "what did not change is shared");
}

async fn all_admins_say_the_same_of_a_revision(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let changes = vec![change("a", Some(service("a", 1)), None)];
    // Finer than the database keeps it, as a clock is.
    let now = at(1) + jiff::SignedDuration::from_nanos(1_234_567);
    one.publish(proposal(changes, None), now).await.unwrap();
    knows(&other, 1).await;
    assert_eq!(one.state().at, other.state().at);
    let of = |store: &Store| store.state().get(Kind::Service, "a").unwrap().changed_at;
    assert_eq!(of(&one), of(&other));
}

async fn an_edit_is_stale_although_this_admin_has_not_seen_why(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    for version in 0..20 {
        let based_on = (version > 0).then_some(version);
        let mine = change("a", Some(service("a", 2 * version + 1)), based_on);
        publish(&one, vec![mine], 1).await.unwrap();
        let theirs =
            publish(&other, vec![change("a", Some(service("a", 2 * version + 2)), based_on)], 2).await;
        let Err(PublishError::Stale(conflicts)) = theirs else { panic!("{theirs:?}") };
        assert_eq!(conflicts[0].theirs, Some(service("a", 2 * version + 1)));
        assert_eq!(conflicts[0].version, Some(version + 1));
    }
}

/// Counts up the weight of a service that others count up, too.
async fn count_up(store: &Store, name: &str, seed: &mut u64) -> u64 {
    let mut refused = 0;
    loop {
        let known = store.state();
        let item = known.get(Kind::Service, name).expect("it is there");
        let mut body = item.body.value();
        body["nodes"][0]["weight"] = json!(body["nodes"][0]["weight"].as_u64().unwrap() + 1);
        for _ in 0..random(seed) % 4 {
            tokio::task::yield_now().await;
        }
        match publish(store, vec![change(name, Some(body), Some(item.version))], 1).await {
            Ok(_) => return refused,
            Err(PublishError::Stale(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
}

/// xorshift64.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

async fn of_many_who_publish_at_once_nobody_loses_anything(place: &Place) {
    const ADMINS: u64 = 3;
    const TASKS: u64 = 2;
    const EDITS: u64 = 8;
    let seed = u64::from(std::process::id()) << 20 | 1;
    println!("seed {seed}");
    let first = place.store().await;
    let names = ["a", "b", "c"];
    let changes = names.iter().map(|name| change(name, Some(service(name, 1)), None)).collect();
    publish(&first, changes, 1).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for admin in 0..ADMINS {
        let store = place.store().await;
        for task in 0..TASKS {
            let (store, mut seed) = (store.clone(), seed.wrapping_mul(admin * TASKS + task + 1));
            tasks.spawn(async move {
                for _ in 0..EDITS {
                    let index = random(&mut seed) % names.len() as u64;
                    let name = names[usize::try_from(index).unwrap()];
                    count_up(&store, name, &mut seed).await;
                }
            });
        }
    }
    tasks.join_all().await;
    let edits = ADMINS * TASKS * EDITS;
    let state = first.refresh().await.unwrap();
    assert_eq!(state.revision, 1 + edits, "each edit is one revision");
    let weight = |name: &&str| {
        state.get(Kind::Service, name).unwrap().body.value()["nodes"][0]["weight"].as_u64().unwrap() - 1
    };
    assert_eq!(names.iter().map(weight).sum::<u64>(), edits, "each edit is in force");
    let mut before = first.state_at(1).await.unwrap().unwrap();
    for id in 2..=state.revision {
        let after = first.state_at(id).await.unwrap().unwrap();
        let changed = before.difference(&after);
        assert_eq!(changed.len(), 1, "revision {id} is one edit of the one before it");
        assert_eq!(changed[0].1.unwrap().version, id);
        before = after;
    }
}

async fn what_nobody_confirms_is_taken_back_by_exactly_one(place: &Place) {
    let stores = [place.store().await, place.store().await, place.store().await];
    publish(&stores[0], vec![change("a", Some(service("a", 1)), None)], 0).await.unwrap();
    for round in 0..5 {
        let revision = 1 + round * 2;
        let minute = Some(Duration::from_secs(60));
        let risky = proposal(vec![change("a", Some(service("a", 9)), Some(revision))], minute);
        stores[0].publish(risky, at(0)).await.unwrap();
        let [one, two, three] = &stores;
        let due = at(60);
        let done = tokio::join!(one.revert_due(due), two.revert_due(due), three.revert_due(due));
        let done = [done.0.unwrap(), done.1.unwrap(), done.2.unwrap()];
        let by: Vec<_> = done.iter().flatten().collect();
        assert_eq!(by.len(), 1, "{by:?}");
        assert_eq!((by[0].id, by[0].cause, by[0].restores), (revision + 2, Cause::Revert, Some(revision)));
        assert_eq!(stores[2].refresh().await.unwrap().revision, revision + 2);
    }
    let state = stores[1].refresh().await.unwrap();
    assert_eq!(elements(&state), [(Kind::Service, "a".to_owned(), service("a", 1))]);
}

async fn a_new_database_may_be_opened_by_several_at_once(place: &Place) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = place.url.clone();
        tasks.spawn(async move { Store::open(&url, None).await.map(|store| store.state().revision) });
    }
    assert_eq!(tasks.join_all().await, [Ok(0), Ok(0), Ok(0), Ok(0)]);
}

async fn there_is_one_first_account(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let (a, b) = tokio::join!(
        one.add_first_admin("alice", "hash", at(1)),
        other.add_first_admin("bob", "hash", at(1))
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    assert_eq!(a.err().or(b.err()), Some(RecordError::TooMany));
    assert_eq!(other.admins().await.unwrap().len(), 1);
}

async fn two_administrators_cannot_take_each_others_role(place: &Place) {
    use coregate_admin::auth::Role::{Admin, Viewer};
    let (one, other) = (place.store().await, place.store().await);
    let alice = one.add_first_admin("alice", "hash", at(1)).await.unwrap();
    let bob = one.add_admin("bob", Admin, Some("hash"), at(1)).await.unwrap();
    let (a, b) = tokio::join!(
        one.update_admin(bob.id, 1, "bob", Viewer, true),
        other.update_admin(alice.id, 1, "alice", Admin, false)
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    assert_eq!(a.err().or(b.err()), Some(RecordError::LastAdmin));
}

async fn what_one_hears_of_instances_the_others_read(place: &Place) {
    const KEPT: Duration = Duration::from_secs(60);
    let (one, other) = (place.store().await, place.store().await);
    let told = |name: &str, second, report: &str| Told {
        name: name.into(),
        seen_at: at(second),
        report: report.into(),
    };
    let many: Vec<Told> = (0..500).map(|n| told(&format!("edge-{n:03}"), 1, "{}")).collect();
    one.tell_of_instances("one", many.clone(), at(1), KEPT).await.unwrap();
    assert_eq!(other.told_of_instances("other").await.unwrap(), many);
    assert!(one.told_of_instances("one").await.unwrap().is_empty(), "it knows itself what it told");
    // One of them goes over to the other admin.
    other.tell_of_instances("other", vec![told("edge-007", 2, "[2]")], at(2), KEPT).await.unwrap();
    assert_eq!(one.told_of_instances("one").await.unwrap(), [told("edge-007", 2, "[2]")]);
    assert_eq!(other.told_of_instances("other").await.unwrap().len(), 499);
    other.forget_told("edge-000").await.unwrap();
    assert_eq!(other.told_of_instances("other").await.unwrap().len(), 498);
    // Those that were not heard of for so long are forgotten by whoever writes.
    other.tell_of_instances("other", vec![], at(62), KEPT).await.unwrap();
    assert_eq!(one.told_of_instances("nobody").await.unwrap(), [told("edge-007", 2, "[2]")]);
}
