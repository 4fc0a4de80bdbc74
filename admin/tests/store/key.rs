//! The key that seals is replaced: everything opens with the new one alone, or nothing has changed.

use coregate_admin::model::{Change, Kind};
use coregate_admin::store::{AuditFilter, Over, Page, PublishError, Resealed, SealingKey, Store};
use serde_json::{Value, json};

use super::{Place, alice, at, on_both, publish};

on_both!(
    everything_opens_with_the_new_key_and_nothing_with_the_old_one,
    an_admin_with_the_old_key_writes_nothing_that_nobody_could_open,
    a_key_that_cannot_be_replaced_stays,
);

fn key(fill: &str) -> SealingKey {
    fill.repeat(32).parse().unwrap()
}

async fn open(place: &Place, fill: &str) -> Store {
    Store::open(&place.url, Some(key(fill))).await.unwrap()
}

/// A certificate with a key of its own, and that key.
fn certificate(name: &str, based_on: Option<u64>) -> (Change, String) {
    let made = rcgen::generate_simple_self_signed(vec!["www.example".to_owned()]).unwrap();
    let secret = made.signing_key.serialize_pem();
    let body = json!({ "name": name, "chain": made.cert.pem(), "key": secret });
    (Change { kind: Kind::Certificate, name: name.to_owned(), body: Some(body), based_on }, secret)
}

/// The keys as engines get them.
fn in_clear(store: &Store) -> Vec<String> {
    let text = store.configuration(&store.state()).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let certificates = document["certificates"].as_array().unwrap().iter();
    certificates.map(|it| it["key"].as_str().unwrap().to_owned()).collect()
}

async fn everything_opens_with_the_new_key_and_nothing_with_the_old_one(place: &Place) {
    let store = open(place, "5a").await;
    let ((first, old), (second, newer), (other, third)) =
        (certificate("a", None), certificate("a", Some(1)), certificate("b", None));
    publish(&store, vec![first], 1).await.unwrap();
    publish(&store, vec![second, other], 2).await.unwrap();
    let (drafted, fourth) = certificate("c", None);
    store.put_draft(1, Over::Any, vec![drafted], at(3)).await.unwrap();
    let done = store.replace_key(&key("77"), &alice(), at(4)).await.unwrap();
    assert_eq!(done, Resealed { certificates: 2, older: 1, in_drafts: 1 });
    let refused = Store::open(&place.url, Some(key("5a"))).await.err().unwrap().to_string();
    assert!(refused.contains("is not the one"), "{refused}");
    let store = open(place, "77").await;
    assert_eq!(store.state().revision, 2, "it is no revision");
    assert_eq!(in_clear(&store), [newer, third.clone()]);
    // What was before and what is to come, too.
    store.rollback(1, alice(), String::new(), None, at(5)).await.unwrap();
    assert_eq!(in_clear(&store), [old]);
    let draft = store.draft(1).await.unwrap().unwrap().changes;
    publish(&store, draft, 6).await.unwrap();
    assert!(in_clear(&store).contains(&fourth) && !in_clear(&store).contains(&third));
    let filter = AuditFilter { action: Some("key_replaced".to_owned()), ..AuditFilter::default() };
    let (records, _) = store.audits(&filter, Page::new(1, 10)).await.unwrap();
    assert_eq!((records.len(), &records[0].detail["certificates"]), (1, &json!(2)));
}

async fn an_admin_with_the_old_key_writes_nothing_that_nobody_could_open(place: &Place) {
    let running = open(place, "5a").await;
    let (first, secret) = certificate("a", None);
    publish(&running, vec![first], 1).await.unwrap();
    open(place, "5a").await.replace_key(&key("77"), &alice(), at(2)).await.unwrap();
    assert_eq!(in_clear(&running), [secret], "it goes on with what it has");
    let (new, _) = certificate("b", None);
    let refused = publish(&running, vec![new.clone()], 3).await;
    let Err(PublishError::Database(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("was replaced meanwhile"), "{error}");
    let refused = running.put_draft(1, Over::Any, vec![new.clone()], at(4)).await.err().unwrap().to_string();
    assert!(refused.contains("was replaced meanwhile"), "{refused}");
    // What has no key goes on.
    publish(&running, vec![super::change("s", Some(super::service("s", 1)), None)], 5).await.unwrap();
    publish(&open(place, "77").await, vec![new], 6).await.unwrap();
}

async fn a_key_that_cannot_be_replaced_stays(place: &Place) {
    let store = open(place, "5a").await;
    let (first, secret) = certificate("a", None);
    publish(&store, vec![first], 1).await.unwrap();
    let same = store.clone().replace_key(&key("5a"), &alice(), at(2)).await.unwrap_err().to_string();
    assert!(same.contains("in use already"), "{same}");
    // A row that somebody has spoiled: nothing is replaced, and it says which.
    let broken = json!({ "name": "b", "chain": "x", "key": "enc:v1:AAAA" });
    let draft = Change { kind: Kind::Certificate, name: "b".to_owned(), body: Some(broken), based_on: None };
    store.put_draft(1, Over::Any, vec![draft], at(3)).await.unwrap();
    let refused = store.replace_key(&key("77"), &alice(), at(4)).await.unwrap_err().to_string();
    assert!(refused.contains("the key of \"b\" cannot be opened"), "{refused}");
    assert_eq!(in_clear(&open(place, "5a").await), [secret]);
}
