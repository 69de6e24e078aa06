//! What the tables of a dataset must allow before its lead moves, found out without changing them.

use rand::{RngCore as _, SeedableRng as _};

use crate::{cutover::halt::Halt, error::EngineError, sites::opening::DatasetStores};
use migrate_core::{
    item::{Item, ItemKey, Value},
    model::PlaceIndex,
    plan::{Dataset, Plan, policy},
    table::KeyType,
};
use migrate_store::{
    ErrorKind, StoreError,
    table::{ChangeStream, Described, ItemWrite, Position, TableStore},
};

/// Between which places a lead moves.
#[derive(Debug, Clone)]
pub(crate) struct Leads {
    /// The place that leads before the switch.
    pub(crate) old: PlaceIndex,
    /// The places that lead after it; several if each leads its own part.
    pub(crate) new: Vec<PlaceIndex>,
    /// Whether the old lead follows the new one then.
    pub(crate) follows_back: bool,
}

impl Leads {
    /// The move that the plan describes.
    pub(crate) fn of(plan: &Plan, dataset: &Dataset) -> Self {
        let follows_back = policy::stays(plan, dataset).is_none();
        Self { old: PlaceIndex::SOURCE, new: dataset.new_leads(), follows_back }
    }

    /// Checks that the streams of both leads can be read, and that the old lead takes our writes if it is to follow.
    /// Enables no stream: of a table without one, a scratch table shows whether its server has streams.
    ///
    /// # Errors
    ///
    /// [`Halt::Refused`] if one of them does not.
    pub(crate) async fn check(&self, stores: &DatasetStores<dyn TableStore>) -> Result<(), Halt> {
        for place in std::iter::once(&self.old).chain(&self.new) {
            let store = &**stores.at(*place);
            if !shows_changes(store).await? {
                return Err(no_stream(store));
            }
        }
        if self.follows_back { takes_our_writes(&**stores.at(self.old)).await } else { Ok(()) }
    }
}

/// Whether the changes of a table can be read, or could be once its stream is enabled.
async fn shows_changes(store: &dyn TableStore) -> Result<bool, EngineError> {
    let Some(changes) = store.changes() else { return Ok(false) };
    match described(store).await?.stream {
        Some(stream) => Ok(read_some(changes, &stream).await.map(|()| true)?),
        None => match store.probe().await {
            // Who may not make a scratch table may still be allowed to enable the stream: the gate finds that out.
            Err(error) if error.kind() == ErrorKind::Denied => Ok(true),
            probed => Ok(probed?.streams),
        },
    }
}

/// Reads a stream as its tail would begin to.
async fn read_some(changes: &dyn ChangeStream, stream: &str) -> Result<(), StoreError> {
    let shards = changes.shards(stream).await?;
    let Some(shard) = shards.first() else { return Ok(()) };
    let read = async { changes.read(changes.iterator(stream, &shard.id, &Position::Oldest).await?).await };
    match read.await.map_err(|error| (error.kind(), error)) {
        // It has expired since it was listed: it could be asked, and that is what is to be known.
        Err((ErrorKind::NotFound | ErrorKind::Changed | ErrorKind::Precondition, _)) | Ok(_) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

/// The refusal of a table without a stream.
pub(super) fn no_stream(store: &dyn TableStore) -> Halt {
    Halt::Refused(format!(
        "{} has no stream of changes, so nobody could tell what is written there while the lead moves: the lead of a table \
         moves only between tables that have one",
        store.location()
    ))
}

/// Deletes an item that a table does not have: that changes nothing, and shows whether the table takes our writes.
///
/// # Errors
///
/// [`Halt::Refused`] if it takes none.
pub(super) async fn takes_our_writes(store: &dyn TableStore) -> Result<(), Halt> {
    let Some(key) = unlikely_key(store).await? else { return Ok(()) };
    match store.write(&[ItemWrite::Delete(key)]).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Denied => Err(Halt::Refused(format!(
            "{} takes no write of ours, so it could not follow the new lead: give the site's identity the right to write \
             there, or set follow_back = false ({})",
            store.location(),
            error.detail()
        ))),
        Err(error) => Err(EngineError::from(error).into()),
    }
}

/// A key of random text or bytes that a table does not hold; `None` if it does hold it.
async fn unlikely_key(store: &dyn TableStore) -> Result<Option<ItemKey>, EngineError> {
    let structure = described(store).await?.structure;
    let mut item = Item::new();
    for name in [Some(&structure.partition_key), structure.sort_key.as_ref()].into_iter().flatten() {
        let number = rand::rngs::StdRng::from_os_rng().next_u64();
        let value = match structure.key_types.get(name) {
            Some(KeyType::Number) => match format!("-{number}").parse() {
                Ok(number) => Value::Number(number),
                Err(_) => return Ok(None),
            },
            Some(KeyType::Binary) => Value::Binary(number.to_be_bytes().to_vec().into()),
            _ => Value::Text(format!("migrate-probe-{number:016x}")),
        };
        item.insert(name.clone(), value);
    }
    let Some(key) = structure.key_names().key_of(&item) else { return Ok(None) };
    let held = store.get(std::slice::from_ref(&key)).await?;
    Ok((held.found.is_empty() && held.left.is_empty()).then_some(key))
}

/// A table that must be there.
async fn described(store: &dyn TableStore) -> Result<Described, EngineError> {
    store.describe().await?.ok_or_else(|| {
        let detail = "there is no such table";
        StoreError::new(ErrorKind::NoContainer, "describe", store.location(), detail).into()
    })
}
