//! [`ExpiresBy`]: which items the servers of a dataset's places delete by themselves.

use std::{collections::BTreeMap, sync::Arc};

use migrate_core::{
    item::{Item, Value},
    model::{PlaceIndex, Timestamp},
};
use migrate_store::table::TableStore;

/// Items whose time was over longer ago than this do not expire, in seconds.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html>
const AGE_MAX_S: i64 = 5 * 365 * 24 * 60 * 60;

/// The attribute by which items expire, of each place whose server deletes them.
///
/// What expires at one place alone is no reason to overlook it at two others.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExpiresBy(Arc<BTreeMap<PlaceIndex, String>>);

impl ExpiresBy {
    /// Asks each place. One that is not there yet, or cannot be read, deletes nothing that is compared.
    pub(crate) async fn of(places: impl Iterator<Item = (PlaceIndex, &dyn TableStore)>) -> Self {
        let asked = places.map(|(place, store)| async move {
            let described = store.describe().await.ok().flatten()?;
            Some((place, described.structure.ttl?))
        });
        Self(Arc::new(futures::future::join_all(asked).await.into_iter().flatten().collect()))
    }

    /// Whether the server of one of these places may have deleted an item at this moment, because its time was over.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html>
    pub(crate) fn is_over(&self, item: &Item, places: impl IntoIterator<Item = PlaceIndex>, now: Timestamp) -> bool {
        let now_s = now.0 / 1000;
        places.into_iter().filter_map(|place| self.0.get(&place)).any(|name| {
            let Some(Value::Number(at)) = item.get(name) else { return false };
            let seconds = at.to_string().split('.').next().and_then(|whole| whole.parse::<i64>().ok());
            seconds.is_some_and(|at| at < now_s && at > now_s - AGE_MAX_S)
        })
    }
}
