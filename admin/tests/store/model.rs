//! The history against a naive model: a list of whole maps, one for each revision.

use std::collections::BTreeMap;

use coregate_admin::model::{Change, Kind};
use coregate_admin::store::{Action, PublishError, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::{Place, alice, at, change, publish, service};

type Model = BTreeMap<String, Value>;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What somebody does.
#[derive(Debug, Clone)]
enum Step {
    /// Sets some services to these weights, or deletes them.
    Set(Vec<(usize, Option<u64>)>),
    /// Renames one.
    Rename(usize, usize),
    /// Brings back a revision: that share of those there are.
    Rollback(usize),
    /// Forgets all revisions but so many.
    Forget(u64),
    /// Starts the process anew.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let one = (0..NAMES.len(), prop::option::weighted(0.7, 1..4u64));
    prop_oneof![
        6 => prop::collection::vec(one, 1..4).prop_map(Step::Set),
        2 => (0..NAMES.len(), 0..NAMES.len()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => any::<prop::sample::Index>().prop_map(|index| Step::Rollback(index.index(1000))),
        1 => (2..5u64).prop_map(Step::Forget),
        1 => Just(Step::Restart),
    ]
}

/// Runs a history on a database and holds every revision of it to the model.
async fn follows_the_model(place: &Place, steps: Vec<Step>) {
    let mut store = place.store().await;
    let mut model: Vec<Model> = vec![Model::new()];
    let mut oldest = 1;
    for step in steps {
        let now = model.last().cloned().unwrap_or_default();
        let second = i64::try_from(model.len()).unwrap();
        let (expected, result) = match step {
            Step::Set(set) => {
                let set: BTreeMap<&str, Option<u64>> =
                    set.into_iter().map(|(name, weight)| (NAMES[name], weight)).collect();
                let mut expected = now.clone();
                for (name, weight) in &set {
                    match weight {
                        Some(weight) => expected.insert((*name).to_owned(), service(name, *weight)),
                        None => expected.remove(*name),
                    };
                }
                let changes = set
                    .into_iter()
                    .filter(|(name, weight)| weight.is_some() || now.contains_key(*name))
                    .map(|(name, weight)| edit(&store, name, weight.map(|it| service(name, it))))
                    .collect();
                (expected, publish(&store, changes, second).await)
            }
            Step::Rename(from, to) => {
                let (from, to) = (NAMES[from], NAMES[to]);
                if from == to || !now.contains_key(from) || now.contains_key(to) {
                    continue;
                }
                let mut expected = now.clone();
                expected.remove(from);
                expected.insert(to.to_owned(), service(to, 1));
                let renamed = edit(&store, from, Some(service(to, 1)));
                (expected, publish(&store, vec![renamed], second).await)
            }
            Step::Rollback(share) => {
                if model.len() < 2 {
                    continue;
                }
                let to = 1 + share * (model.len() - 1) / 1000;
                let back = store.rollback(to as u64, alice(), String::new(), None, at(second)).await;
                if (to as u64) < oldest {
                    assert_eq!(back, Err(PublishError::NoSuchRevision(to as u64)));
                    continue;
                }
                (model[to].clone(), back)
            }
            Step::Forget(keep) => {
                store.forget_revisions(keep).await.unwrap();
                oldest = oldest.max((model.len() as u64).saturating_sub(keep));
                continue;
            }
            Step::Restart => {
                store = place.store().await;
                continue;
            }
        };
        if expected == now {
            assert_eq!(result, Err(PublishError::Empty));
        } else {
            assert_eq!(result.map(|it| it.id), Ok(model.len() as u64));
            model.push(expected);
        }
    }
    holds(&store, &model, oldest).await;
}

fn edit(store: &Store, name: &str, body: Option<Value>) -> Change {
    let based_on = store.state().get(Kind::Service, name).map(|it| it.version);
    change(name, body, based_on)
}

/// Every state that is kept, and every difference of two, is the model's.
async fn holds(store: &Store, model: &[Model], oldest: u64) {
    for (id, expected) in (0u64..).zip(model) {
        let state = store.state_at(id).await.unwrap();
        if (1..oldest).contains(&id) {
            assert!(state.is_none(), "revision {id}");
            continue;
        }
        let state = state.unwrap();
        let found: Model = state.list(Kind::Service).map(|it| (it.name.clone(), it.body.value())).collect();
        assert_eq!(&found, expected, "revision {id}");
        assert!(state.list(Kind::Service).all(|it| it.version <= id));
    }
    assert!(store.state_at(model.len() as u64).await.unwrap().is_none());
    for (from, before) in (0u64..).zip(model) {
        for (to, after) in (0u64..).zip(model) {
            let diff = store.diff(from, to).await.unwrap();
            let is_gone = |id: u64| id > 0 && id + 1 < oldest;
            if is_gone(from) || is_gone(to) {
                assert_eq!(diff, None, "from {from} to {to}");
                continue;
            }
            let found: Vec<(String, Action)> =
                diff.unwrap().items.into_iter().map(|it| (it.name, it.action)).collect();
            let names = NAMES.iter().map(|name| (*name).to_owned());
            let expected: Vec<(String, Action)> = names
                .filter_map(|name| match (before.get(&name), after.get(&name)) {
                    (None, Some(_)) => Some((name, Action::Create)),
                    (Some(_), None) => Some((name, Action::Delete)),
                    (Some(old), Some(new)) if old != new => Some((name, Action::Update)),
                    _ => None,
                })
                .collect();
            assert_eq!(found, expected, "from {from} to {to}");
        }
    }
}

fn run(cases: u32, places: impl Fn() -> Place) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let histories = prop::collection::vec(step(), 1..14);
    TestRunner::new(config)
        .run(&histories, |steps| {
            runtime.block_on(follows_the_model(&places(), steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_state_is_that_of_a_naive_model_on_sqlite() {
    run(24, Place::sqlite);
}

#[test]
fn every_state_is_that_of_a_naive_model_on_mariadb() {
    run(4, Place::mariadb);
}
