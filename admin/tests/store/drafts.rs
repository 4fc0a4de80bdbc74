//! Drafts that two write at the same time.

use coregate_admin::store::{Over, Store};

use super::{Place, at, change, on_both, service};

on_both!(a_draft_that_was_written_since_is_neither_replaced_nor_thrown_away);

async fn a_draft_that_was_written_since_is_neither_replaced_nor_thrown_away(place: &Place) {
    let store = place.store().await;
    let one = |name: &str| vec![change(name, Some(service(name, 1)), None)];
    let names = async |store: &Store| {
        let draft = store.draft(1).await.unwrap();
        draft.into_iter().flat_map(|it| it.changes).map(|it| it.name).collect::<Vec<_>>()
    };
    assert!(store.put_draft(1, Over::Written(None), one("a"), at(1)).await.unwrap().is_some());
    assert!(store.put_draft(1, Over::Written(None), one("b"), at(2)).await.unwrap().is_none());
    assert!(store.put_draft(1, Over::Written(Some(at(1))), one("c"), at(3)).await.unwrap().is_some());
    store.remove_draft(1, Over::Written(Some(at(1)))).await.unwrap();
    assert_eq!(names(&store).await, ["c"]);
    assert!(store.put_draft(1, Over::Any, one("d"), at(4)).await.unwrap().is_some());
    store.remove_draft(1, Over::Written(Some(at(4)))).await.unwrap();
    assert!(names(&store).await.is_empty());
}
