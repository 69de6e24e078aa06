//! Reads items by their keys.

use std::time::Duration;

use crate::error::EngineError;
use migrate_core::item::{Item, ItemKey};
use migrate_store::{
    ErrorKind, StoreError,
    table::{GET_MAX, Got, TableStore},
};

/// How long a store may leave keys unanswered until that is an error.
const UNANSWERED_MAX: Duration = Duration::from_mins(5);

/// What a store holds of each of these keys, by strong reads.
pub(super) async fn get_all(store: &dyn TableStore, keys: &[ItemKey]) -> Result<Vec<Option<Item>>, EngineError> {
    let mut items = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(GET_MAX) {
        items.extend(get_chunk(store, chunk).await?);
    }
    Ok(items)
}

async fn get_chunk(store: &dyn TableStore, keys: &[ItemKey]) -> Result<Vec<Option<Item>>, EngineError> {
    let mut items = vec![None; keys.len()];
    let (mut asked, mut pause, mut waited) = (keys.to_vec(), Duration::from_millis(20), Duration::ZERO);
    loop {
        let Got { found, left, .. } = store.get(&asked).await?;
        for (key, item) in found {
            if let Some(position) = keys.iter().position(|asked| *asked == key) {
                items[position] = Some(item);
            }
        }
        if left.is_empty() {
            return Ok(items);
        }
        if left.len() < asked.len() {
            (pause, waited) = (Duration::from_millis(20), Duration::ZERO);
        }
        if waited > UNANSWERED_MAX {
            let detail = "keys were left unanswered for five minutes";
            return Err(StoreError::new(ErrorKind::Throttled, "read items", store.location(), detail).into());
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_secs(5));
        asked = left;
    }
}
