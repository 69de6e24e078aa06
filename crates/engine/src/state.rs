//! Where a dataset stands, from the ledger alone.

use migrate_core::{lifecycle::State, model::DatasetName};
use migrate_ledger::Ledger;

use crate::error::EngineError;

/// Replays the events of a dataset; [`State::Pending`] if it has none.
pub(crate) async fn state_of(ledger: &Ledger, dataset: &DatasetName) -> Result<State, EngineError> {
    let events = ledger.events(dataset).await?;
    Ok(State::replay(events.iter().map(|(event, _)| event))?)
}
