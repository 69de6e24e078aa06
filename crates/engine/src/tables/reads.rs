//! Reads items by their keys.

use crate::{error::EngineError, shutdown::Shutdown};
use migrate_core::item::{Item, ItemKey};
use migrate_store::table::{GET_MAX, TableStore};

/// What a store holds of each of these keys, by strong reads; `None` if the run is to stop.
pub(super) async fn get_all(
    store: &dyn TableStore,
    keys: &[ItemKey],
    shutdown: &Shutdown,
) -> Result<Option<Vec<Option<Item>>>, EngineError> {
    let mut items = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(GET_MAX) {
        // A server that answers nothing is asked for minutes: a run that is to stop does not wait for that.
        tokio::select! {
            biased;
            () = shutdown.draining() => return Ok(None),
            got = store.get(chunk) => items.extend(got?.whole(chunk, store.location())?),
        }
    }
    Ok(Some(items))
}
