//! What a revision is: made whole or not at all, looked up, compared, brought back, confirmed.

use std::time::Duration;

use coregate_admin::model::{Cause, Change, Kind};
use coregate_admin::store::{
    Action, AuditFilter, ConfirmError, Page, Problem, PublishError, SealingKey, StateDiff, Store,
};
use serde_json::json;

use super::{Place, alice, at, change, elements, on_both, proposal, publish, service};

on_both!(
    everything_is_there_after_a_restart,
    an_edit_of_something_that_was_changed_is_refused_with_both_versions,
    a_refused_proposal_changes_nothing,
    what_changes_nothing_is_no_revision,
    an_element_is_renamed_and_names_can_be_swapped,
    the_difference_of_two_revisions_names_elements_and_keys,
    a_revision_waits_for_its_confirmation_and_keeps_others_out,
    a_revision_can_be_taken_back_before_its_time_by_rollback_or_by_hand,
    a_confirmation_that_comes_too_late_is_refused,
    the_audit_tells_of_each_revision,
    names_in_any_writing_come_back_as_they_were,
    thousands_of_elements_are_one_revision,
);

async fn everything_is_there_after_a_restart(place: &Place) {
    let store = place.store().await;
    let revision = publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    let before = elements(&store.state());
    drop(store);
    let store = place.store().await;
    assert_eq!(elements(&store.state()), before);
    let item = store.state().get(Kind::Service, "a").cloned().unwrap();
    assert_eq!((item.version, item.changed_by.as_str(), item.changed_at), (1, "admin:alice", at(1)));
    assert_eq!(store.revision(1).await.unwrap(), Some(revision.clone()));
    assert_eq!(store.revisions(Page::new(1, 10)).await.unwrap(), (vec![revision], 1));
    assert_eq!(store.revision(2).await.unwrap(), None);
}

async fn an_edit_of_something_that_was_changed_is_refused_with_both_versions(place: &Place) {
    let store = place.store().await;
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    publish(&store, vec![change("a", Some(service("a", 2)), Some(1))], 2).await.unwrap();
    let stale = publish(&store, vec![change("a", Some(service("a", 3)), Some(1))], 3).await;
    let Err(PublishError::Stale(conflicts)) = stale else { panic!("{stale:?}") };
    let [conflict] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!((&conflict.yours, &conflict.theirs), (&Some(service("a", 3)), &Some(service("a", 2))));
    assert_eq!((conflict.version, conflict.changed_at), (Some(2), Some(at(2))));
    // A name that is taken, and an element that is gone, are conflicts as well.
    let taken = publish(&store, vec![change("a", Some(service("a", 3)), None)], 4).await;
    assert!(matches!(taken, Err(PublishError::Stale(_))), "{taken:?}");
    publish(&store, vec![change("a", None, Some(2))], 5).await.unwrap();
    let gone = publish(&store, vec![change("a", Some(service("a", 3)), Some(2))], 6).await;
    let Err(PublishError::Stale(conflicts)) = gone else { panic!("{gone:?}") };
    assert_eq!((&conflicts[0].theirs, conflicts[0].version), (&None, None));
    assert_eq!(store.state().revision, 3);
}

async fn a_refused_proposal_changes_nothing(place: &Place) {
    let store = place.store().await;
    let mut heavy = service("b", 1);
    heavy["nodes"][0]["weight"] = json!(0);
    let changes = vec![change("a", Some(service("a", 1)), None), change("b", Some(heavy), None)];
    assert_eq!(places(&store.check(&changes).await), ["b nodes[0].weight"]);
    let Err(PublishError::Invalid(problems)) = publish(&store, changes, 1).await else { panic!("taken") };
    assert_eq!(places(&problems), ["b nodes[0].weight"]);
    // Two elements that clash are told by their names, not by lines of a document that nobody has.
    let mut same = service("b", 1);
    same["routes"] = json!([{ "path_prefix": "/a" }]);
    let changes = vec![change("a", Some(service("a", 1)), None), change("b", Some(same), None)];
    let problems = store.check(&changes).await;
    assert_eq!(places(&problems), ["b routes[0]"], "{problems:?}");
    assert!(problems[0].message.contains("of service \"a\""), "{}", problems[0].message);
    assert!(!problems[0].message.contains("line"), "{}", problems[0].message);
    assert_eq!(elements(&store.state()), []);
    assert_eq!(store.revisions(Page::new(1, 10)).await.unwrap().1, 0);
}

fn places(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|it| format!("{} {}", it.name.as_deref().unwrap_or_default(), it.key)).collect()
}

async fn what_changes_nothing_is_no_revision(place: &Place) {
    let store = place.store().await;
    assert_eq!(publish(&store, vec![], 1).await, Err(PublishError::Empty));
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    let mut same = service("a", 1);
    same["description"] = json!(null);
    assert_eq!(publish(&store, vec![change("a", Some(same), Some(1))], 2).await, Err(PublishError::Empty));
    // Of several, only what differs gets a new version.
    let changes = vec![change("a", Some(service("a", 1)), Some(1)), change("b", Some(service("b", 1)), None)];
    assert_eq!(publish(&store, changes, 3).await.unwrap().changes, 1);
    assert_eq!(store.state().get(Kind::Service, "a").unwrap().version, 1);
}

async fn an_element_is_renamed_and_names_can_be_swapped(place: &Place) {
    let store = place.store().await;
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    publish(&store, vec![change("a", Some(service("b", 1)), Some(1))], 2).await.unwrap();
    assert_eq!(store.state().get(Kind::Service, "a"), None);
    publish(&store, vec![change("a", Some(service("a", 7)), None)], 3).await.unwrap();
    let taken = publish(&store, vec![change("b", Some(service("a", 1)), Some(2))], 4).await;
    assert!(matches!(taken, Err(PublishError::Stale(_))), "{taken:?}");
    let swap = vec![change("a", Some(service("b", 7)), Some(3)), change("b", Some(service("a", 1)), Some(2))];
    publish(&store, swap, 5).await.unwrap();
    let weight =
        |name| store.state().get(Kind::Service, name).unwrap().body.value()["nodes"][0]["weight"].clone();
    assert_eq!((weight("a"), weight("b")), (json!(1), json!(7)));
    let both = vec![change("a", None, Some(4)), change("a", Some(service("a", 9)), Some(4))];
    assert!(publish(&store, both, 6).await.is_err());
}

async fn the_difference_of_two_revisions_names_elements_and_keys(place: &Place) {
    let store = place.store().await;
    let changes = vec![change("a", Some(service("a", 1)), None), change("b", Some(service("b", 1)), None)];
    publish(&store, changes, 1).await.unwrap();
    let mut a = service("a", 5);
    a["description"] = json!("new");
    let changes = vec![
        change("a", Some(a), Some(1)),
        change("b", None, Some(1)),
        change("c", Some(service("c", 1)), None),
    ];
    publish(&store, changes, 2).await.unwrap();
    let diff = store.diff(1, 2).await.unwrap().unwrap().items;
    let told: Vec<_> = diff.iter().map(|it| (it.name.as_str(), it.action)).collect();
    assert_eq!(told, [("a", Action::Update), ("b", Action::Delete), ("c", Action::Create)]);
    let paths: Vec<_> = diff[0].paths.iter().map(|it| (it.path.as_str(), &it.before, &it.after)).collect();
    let (one, five, new) = (Some(json!(1)), Some(json!(5)), Some(json!("new")));
    assert_eq!(paths, [("description", &None, &new), ("nodes[0].weight", &one, &five)]);
    let back = store.diff(2, 1).await.unwrap().unwrap().items;
    assert_eq!(back[1].action, Action::Create);
    assert_eq!(store.diff(0, 2).await.unwrap().unwrap().items.len(), 2);
    assert_eq!(store.diff(1, 1).await.unwrap(), Some(StateDiff::default()));
    assert_eq!(store.diff(1, 3).await.unwrap(), None);
}

async fn a_revision_waits_for_its_confirmation_and_keeps_others_out(place: &Place) {
    let store = place.store().await;
    let minute = Some(Duration::from_secs(60));
    let first = proposal(vec![change("a", Some(service("a", 1)), None)], minute);
    let revision = store.publish(first, at(0)).await.unwrap();
    assert_eq!(revision.confirm_by, Some(at(60)));
    assert_eq!(store.pending().await.unwrap(), Some(revision.clone()));
    let other = vec![change("b", Some(service("b", 1)), None)];
    assert_eq!(publish(&store, other.clone(), 1).await, Err(PublishError::Pending(Box::new(revision))));
    let confirmed = store.confirm(1, alice(), at(59)).await.unwrap();
    assert_eq!((confirmed.confirm_by, confirmed.confirmed_by.as_deref()), (None, Some("admin:alice")));
    assert_eq!(store.revision(1).await.unwrap(), Some(confirmed));
    assert_eq!(store.confirm(1, alice(), at(59)).await, Err(ConfirmError::NotPending));
    assert_eq!(store.confirm(9, alice(), at(59)).await, Err(ConfirmError::NoSuchRevision));
    publish(&store, other, 61).await.unwrap();
    assert_eq!(store.revert_due(at(100)).await.unwrap(), None);
}

async fn a_revision_can_be_taken_back_before_its_time_by_rollback_or_by_hand(place: &Place) {
    let store = place.store().await;
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 0).await.unwrap();
    let minute = Some(Duration::from_secs(60));
    let pending = |version| proposal(vec![change("a", Some(service("a", 9)), Some(version))], minute);
    store.publish(pending(1), at(1)).await.unwrap();
    let back = store.rollback(1, alice(), "no".to_owned(), None, at(2)).await.unwrap();
    assert_eq!((back.id, back.restores, back.cause), (3, Some(1), Cause::Rollback));
    assert_eq!(store.revision(2).await.unwrap().unwrap().reverted_by, Some(3));
    store.publish(pending(3), at(3)).await.unwrap();
    assert_eq!(store.revert(3, alice(), at(4)).await, Err(PublishError::NotPending(3)));
    let back = store.revert(4, alice(), at(4)).await.unwrap();
    assert_eq!((back.id, back.restores, back.cause), (5, Some(3), Cause::Revert));
    assert!(store.state_at(1).await.unwrap().unwrap().same_as(&store.state()));
    assert_eq!(store.confirm(4, alice(), at(5)).await, Err(ConfirmError::Reverted(5)));
    let nowhere = store.rollback(99, alice(), String::new(), None, at(6)).await;
    assert_eq!(nowhere, Err(PublishError::NoSuchRevision(99)));
    assert_eq!(store.rollback(3, alice(), String::new(), None, at(6)).await, Err(PublishError::Empty));
}

async fn a_confirmation_that_comes_too_late_is_refused(place: &Place) {
    let store = place.store().await;
    let minute = Some(Duration::from_secs(60));
    let first = proposal(vec![change("a", Some(service("a", 1)), None)], minute);
    store.publish(first, at(0)).await.unwrap();
    assert_eq!(store.confirm(1, alice(), at(60)).await, Err(ConfirmError::TooLate));
    // Another process finds it, too.
    drop(store);
    let store = place.store().await;
    assert_eq!(store.revert_due(at(59)).await.unwrap(), None);
    let back = store.revert_due(at(60)).await.unwrap().unwrap();
    assert_eq!((back.author.as_str(), back.cause, back.restores), ("system", Cause::Revert, Some(0)));
    assert_eq!(elements(&store.state()), []);
}

async fn the_audit_tells_of_each_revision(place: &Place) {
    let store = place.store().await;
    publish(&store, vec![change("a", Some(service("a", 1)), None)], 1).await.unwrap();
    publish(&store, vec![change("a", None, Some(1))], 2).await.unwrap();
    store.rollback(1, alice(), String::new(), None, at(3)).await.unwrap();
    assert!(publish(&store, vec![], 4).await.is_err());
    let (entries, total) = store.audits(&AuditFilter::default(), Page::new(1, 10)).await.unwrap();
    assert_eq!(total, 3);
    let told: Vec<_> = entries.iter().map(|it| (it.action.as_str(), it.object.as_str())).collect();
    assert_eq!(told, [("rollback", "revision 3"), ("publish", "revision 2"), ("publish", "revision 1")]);
    assert_eq!(entries[0].actor, alice());
    assert_eq!(entries[2].detail["items"], json!(["service a"]));
}

async fn names_in_any_writing_come_back_as_they_were(place: &Place) {
    let store = place.store().await;
    let mut a = service("a", 1);
    let text = "\u{7f51}\u{5173} \u{1f6a6} \\ ' \" % _ \n";
    a["description"] = json!(text);
    let mut upper = service("A", 1);
    upper["routes"] = json!([{ "path_prefix": "/upper" }]);
    let changes = vec![change("a", Some(a), None), change("A", Some(upper), None)];
    publish(&store, changes, 1).await.unwrap();
    let message = format!("{text}\u{0}\u{7f}\r{}", "\u{7f51}".repeat(4000));
    let mut second = proposal(vec![change("A", None, Some(1))], None);
    second.message.clone_from(&message);
    store.publish(second, at(2)).await.unwrap();
    drop(store);
    let store = place.store().await;
    assert_eq!(store.state().get(Kind::Service, "a").unwrap().body.value()["description"], json!(text));
    assert_eq!(store.state().get(Kind::Service, "A"), None, "names differ by case");
    let kept = store.revision(2).await.unwrap().unwrap().message;
    assert!(message.starts_with(&kept) && kept.len() > 4000, "cut, in whole characters");
}

async fn thousands_of_elements_are_one_revision(place: &Place) {
    let store = place.store().await;
    let names: Vec<String> = (0..2_500).map(|number| format!("service-{number}")).collect();
    let all = |weight, based_on| -> Vec<Change> {
        names.iter().map(|name| change(name, Some(service(name, weight)), based_on)).collect()
    };
    publish(&store, all(1, None), 1).await.unwrap();
    publish(&store, all(2, Some(1)), 2).await.unwrap();
    assert_eq!(store.state().count(Kind::Service), names.len());
    let fresh = Store::open(&place.url, None::<SealingKey>).await.unwrap();
    assert!(fresh.state().same_as(&store.state()));
    let deleted = names.iter().map(|name| change(name, None, Some(2))).collect();
    publish(&store, deleted, 3).await.unwrap();
    store.rollback(2, alice(), String::new(), None, at(4)).await.unwrap();
    assert!(fresh.refresh().await.unwrap().same_as(&store.state()));
    assert_eq!(fresh.state().count(Kind::Service), names.len());
}
