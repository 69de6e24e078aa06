//! Where a dataset stands, from the ledger alone.

use migrate_core::{lifecycle::Lifecycle, model::DatasetName};
use migrate_ledger::Ledger;

use crate::error::EngineError;

/// Replays the events of a dataset.
pub(crate) async fn lifecycle_of(ledger: &Ledger, dataset: &DatasetName) -> Result<Lifecycle, EngineError> {
    let events = ledger.events(dataset).await?;
    Ok(Lifecycle::replay(events.iter().map(|(event, _)| event))?)
}
