//! Keys of certificates: never in the database as they are, and found again with the right key alone.

use coregate_admin::model::{Change, Kind};
use coregate_admin::store::{DatabaseUrl, Over, PublishError, SealingKey, Store};
use coregate_tests::mariadb::MariaDb;
use serde_json::{Value, json};

use super::{Place, on_both, publish};

on_both!(
    a_key_is_sealed_and_engines_get_it_in_clear,
    a_key_that_is_not_given_stays_and_follows_its_certificate_to_a_new_name,
    without_the_right_key_a_database_with_certificates_does_not_open,
    without_a_key_certificates_are_refused_with_the_reason,
    a_key_that_does_not_fit_its_chain_is_refused,
);

fn key(fill: &str) -> SealingKey {
    fill.repeat(32).parse().unwrap()
}

/// Chain and key, in PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["www.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn certificate(name: &str, body: Value, based_on: Option<u64>) -> Change {
    Change { kind: Kind::Certificate, name: name.to_owned(), body: Some(body), based_on }
}

async fn open(place: &Place) -> Store {
    Store::open(&place.url, Some(key("5a"))).await.unwrap()
}

/// The key as engines get it.
fn in_clear(store: &Store, place: usize) -> Value {
    let text = store.configuration(&store.state()).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["certificates"][place]["key"].clone()
}

async fn a_key_is_sealed_and_engines_get_it_in_clear(place: &Place) {
    let store = open(place).await;
    let (chain, secret) = pair();
    let body = json!({ "name": "www", "chain": chain, "key": secret });
    store.put_draft(1, Over::Any, vec![certificate("www", body.clone(), None)], super::at(1)).await.unwrap();
    let draft = store.draft(1).await.unwrap().unwrap().changes;
    assert!(draft[0].body.as_ref().unwrap()["key"].as_str().unwrap().starts_with("enc:v1:"));
    publish(&store, draft, 1).await.unwrap();
    assert!(!store.state().document().contains("PRIVATE KEY"));
    assert_eq!(in_clear(&store, 0), json!(secret));
    let diff = store.diff(0, 1).await.unwrap().unwrap().items;
    assert_eq!(diff[0].after.as_ref().unwrap()["key"], "***");
    // The same once more is no change, although a nonce would differ.
    let again = publish(&store, vec![certificate("www", body, Some(1))], 2).await;
    assert_eq!(again, Err(PublishError::Empty));
    if let Some(path) = place.url.sqlite_path() {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.extend(std::fs::read(path.with_extension("db-wal")).unwrap_or_default());
        assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"));
    }
}

async fn a_key_that_is_not_given_stays_and_follows_its_certificate_to_a_new_name(place: &Place) {
    let store = open(place).await;
    let (chain, secret) = pair();
    let body = json!({ "name": "www", "chain": chain, "key": secret });
    publish(&store, vec![certificate("www", body, None)], 1).await.unwrap();
    let without = json!({ "name": "web", "chain": chain });
    publish(&store, vec![certificate("www", without, Some(1))], 2).await.unwrap();
    assert!(store.state().get(Kind::Certificate, "www").is_none());
    assert_eq!(in_clear(&store, 0), json!(secret));
    let (chain, other) = pair();
    let shown = json!({ "name": "web", "chain": chain, "key": "***" });
    let refused = publish(&store, vec![certificate("web", shown, Some(2))], 3).await;
    assert!(matches!(refused, Err(PublishError::Invalid(_))), "the old key does not fit: {refused:?}");
    let both = json!({ "name": "web", "chain": chain, "key": other });
    publish(&store, vec![certificate("web", both, Some(2))], 4).await.unwrap();
    assert_eq!(in_clear(&store, 0), json!(other));
    store.rollback(1, super::alice(), String::new(), None, super::at(5)).await.unwrap();
    assert_eq!(in_clear(&store, 0), json!(secret));
}

async fn without_the_right_key_a_database_with_certificates_does_not_open(place: &Place) {
    let store = open(place).await;
    let refused = Store::open(&place.url, Some(key("77"))).await.err().unwrap().to_string();
    assert!(refused.contains("is not the one"), "{refused}");
    assert!(Store::open(&place.url, None).await.is_ok(), "there is nothing to open yet");
    let (chain, secret) = pair();
    let body = json!({ "name": "www", "chain": chain, "key": secret });
    publish(&store, vec![certificate("www", body, None)], 1).await.unwrap();
    let refused = Store::open(&place.url, None).await.err().unwrap().to_string();
    assert!(refused.contains("--key-file"), "{refused}");
}

async fn without_a_key_certificates_are_refused_with_the_reason(place: &Place) {
    let store = place.store().await;
    let (chain, secret) = pair();
    let body = json!({ "name": "www", "chain": chain, "key": secret });
    let refused = publish(&store, vec![certificate("www", body, None)], 1).await;
    let Err(PublishError::Invalid(problems)) = refused else { panic!("{refused:?}") };
    assert_eq!(problems[0].key, "key");
    assert!(problems[0].message.contains("--key-file"), "{}", problems[0].message);
}

async fn a_key_that_does_not_fit_its_chain_is_refused(place: &Place) {
    let store = open(place).await;
    let ((chain, _), (_, other)) = (pair(), pair());
    let body = json!({ "name": "www", "chain": chain, "key": other });
    let problems = store.check(&[certificate("www", body, None)]).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].kind, problems[0].name.as_deref()), (Some(Kind::Certificate), Some("www")));
    let nothing = json!({ "name": "www", "chain": chain });
    let problems = store.check(&[certificate("www", nothing, None)]).await;
    assert_eq!(problems[0].key, "key", "{problems:?}");
    assert!(problems.iter().all(|it| !it.message.contains("PRIVATE")), "{problems:?}");
}

#[tokio::test]
async fn no_key_is_on_a_servers_disk() {
    let server = MariaDb::start();
    let url: DatabaseUrl = server.url().parse().unwrap();
    let store = Store::open(&url, Some(key("5a"))).await.unwrap();
    let (chain, secret) = pair();
    let body = json!({ "name": "www", "chain": chain, "key": secret });
    publish(&store, vec![certificate("www", body, None)], 1).await.unwrap();
    let rows = server.execute("coregate", "SELECT body FROM items");
    assert!(rows.contains("enc:v1:") && !rows.contains("PRIVATE KEY"), "{rows}");
}
