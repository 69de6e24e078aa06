//! All checks in turn, and those of the table itself.

use super::{ground::Table, scans, streams, suite::Suite, values, writes};
use crate::{error::ErrorKind, table::TableState};

/// Tries everything. Panics at the first thing that a backend does otherwise.
pub async fn conforms(suite: &Suite<'_>) {
    structure(suite).await;
    values::every_form_survives(suite).await;
    values::large_items_and_batches(suite).await;
    values::numbers_are_one_key(suite).await;
    writes::puts_and_deletes(suite).await;
    writes::bad_batches(suite).await;
    writes::gets(suite).await;
    writes::conditions(suite).await;
    scans::every_item_once(suite).await;
    scans::after_a_key_that_is_gone(suite).await;
    scans::what_was_acknowledged_is_shown(suite).await;
    streams::every_change_is_shown(suite).await;
}

/// A table is missing, is made, and is made once.
async fn structure(suite: &Suite<'_>) {
    let store = suite.open().await;
    let abilities = store.probe().await.expect("the probe ends");
    assert_eq!(store.abilities(), abilities, "what a probe finds is kept");
    store.adopt(abilities);
    assert!(store.describe().await.expect("a missing table is no error").is_none(), "it is not there yet");
    let missing = store.scan(Table::WHOLE, None, true).await.expect_err("there is nothing to scan");
    assert_eq!(missing.kind(), ErrorKind::NoContainer, "{missing}");
    assert!(!missing.outcome_unknown(), "{missing}");

    let wanted = Table::structure();
    let left_out = store.create(&wanted).await.expect("it is made");
    assert_eq!(left_out, Vec::<&str>::new(), "there is nothing to leave out");
    let described = store.describe().await.expect("it is looked at").expect("it is there");
    assert_eq!(described.state, TableState::Active);
    assert_eq!(described.structure.key_names(), wanted.key_names());
    assert_eq!(described.structure.key_types, wanted.key_types);
    assert_eq!(described.structure.ttl, None);
    let again = store.create(&wanted).await.expect_err("it is there");
    assert!(!again.outcome_unknown(), "{again}");
    let shown = store.describe().await.expect("it is looked at").expect("it is still there");
    assert_eq!(shown.structure, described.structure);
    if abilities.ttl {
        store.set_ttl(Some("expires")).await.expect("it is set");
        let described = store.describe().await.expect("it is looked at").expect("it is there");
        assert_eq!(described.structure.ttl.as_deref(), Some("expires"));
    }
    store.close().await.expect("it is closed");
}
