//! What is needed before the first item is copied: the lead's table is looked at, and the followers' tables are made.

use std::sync::Arc;

use crate::error::EngineError;
use migrate_core::{
    model::PlaceIndex,
    plan::{Dataset, Property},
    report::count,
    table::{Moment, Structure, differences},
};
use migrate_store::{
    ErrorKind, StoreError,
    table::{Described, TableState, TableStore},
};

/// The structure of a lead as its followers are to have it before they lead.
///
/// # Errors
///
/// If its table cannot be read.
pub(crate) async fn for_followers(dataset: &Dataset, lead: &dyn TableStore) -> Result<Structure, EngineError> {
    let mut structure = of_lead(dataset, lead).await?;
    if dataset.live {
        // Its stream is there for the copy.
        structure.stream = None;
    }
    Ok(structure)
}

/// The structure of a table that is to be read.
pub(crate) async fn of_lead(dataset: &Dataset, lead: &dyn TableStore) -> Result<Structure, EngineError> {
    let unfit = |reason| EngineError::TableUnfit { dataset: dataset.name.clone(), reason };
    match lead.describe().await? {
        None => Err(unfit(format!("there is no table {}: create it, or correct the plan", lead.location()))),
        Some(Described { structure, state, .. }) => is_usable(dataset, lead, state).map(|()| structure),
    }
}

/// What became of a follower's table.
#[derive(Debug)]
pub(crate) enum Fitted {
    /// It was missing, and was made.
    Made,
    /// It was there; what a person should know of it.
    Found(Vec<String>),
}

/// Makes a follower's table if it is missing, or checks that the one that is there is fit.
///
/// # Errors
///
/// If the table that is there differs in what the plan does not waive, or cannot be used.
pub(crate) async fn of_follower(
    dataset: &Dataset,
    place: PlaceIndex,
    follower: &Arc<dyn TableStore>,
    lead: &Structure,
) -> Result<Fitted, EngineError> {
    let Some(found) = follower.describe().await? else {
        let unfit = |reason| EngineError::TableUnfit { dataset: dataset.name.clone(), reason };
        let waived = waived_at(dataset, place);
        let without = follower.create(lead).await?;
        let is_waived =
            |name: &&str| waived.iter().any(|waived| waived.as_str() == *name || *waived == Property::Properties);
        if let Some(lacks) = without.iter().find(|name| !is_waived(name)) {
            let at = follower.location();
            return Err(unfit(format!("{at} cannot have {lacks}: accept it with waive = [\"{lacks}\"]")));
        }
        return Ok(Fitted::Made);
    };
    is_fit(dataset, place, &**follower, &found, lead).map(Fitted::Found)
}

/// Checks that a follower's table, which is there, is fit, and changes nothing. Returns what a person should know.
///
/// # Errors
///
/// If it differs in what the plan does not waive, or cannot be used.
pub(crate) fn is_fit(
    dataset: &Dataset,
    place: PlaceIndex,
    follower: &dyn TableStore,
    found: &Described,
    lead: &Structure,
) -> Result<Vec<String>, EngineError> {
    let unfit = |reason| EngineError::TableUnfit { dataset: dataset.name.clone(), reason };
    let waived = waived_at(dataset, place);
    is_usable(dataset, follower, found.state)?;
    let differing = differences(lead, &found.structure, Moment::BeforeSwitch);
    let blocking: Vec<_> = differing.iter().filter(|one| one.blocks(&waived)).collect();
    if let Some(first) = blocking.first() {
        let mend = mend(first.waive());
        let more = match blocking.len() - 1 {
            0 => String::new(),
            more => format!(", and {} more", count(more as u64, "difference", "differences")),
        };
        let at = follower.location();
        return Err(unfit(format!("{at} differs from {}: {}{more}; {mend}", dataset.source, first.what)));
    }
    Ok(differing.into_iter().map(|one| format!("{}: {}", follower.location(), one.what)).collect())
}

/// What a follower's server says of its table.
///
/// # Errors
///
/// If it has none.
pub(crate) async fn must_be_there(follower: &dyn TableStore) -> Result<Described, StoreError> {
    follower
        .describe()
        .await?
        .ok_or_else(|| StoreError::new(ErrorKind::NoContainer, "scan", follower.location(), "there is no such table"))
}

/// Whether a table can be read and written.
pub(crate) fn is_usable(dataset: &Dataset, store: &dyn TableStore, state: TableState) -> Result<(), EngineError> {
    if matches!(state, TableState::Active | TableState::Updating) {
        return Ok(());
    }
    let reason = format!("{} is {}: wait, or mend it", store.location(), word(state));
    Err(EngineError::TableUnfit { dataset: dataset.name.clone(), reason })
}

/// What can be done about a difference that a plan accepts under this name, if it can.
pub(crate) fn mend(waive: Option<&str>) -> String {
    match waive {
        Some(waive) => format!("change the table, or accept it with waive = [\"{waive}\"]"),
        None => "choose another table".to_owned(),
    }
}

/// What the plan waives at a place.
pub(crate) fn waived_at(dataset: &Dataset, place: PlaceIndex) -> Vec<Property> {
    let target = dataset.numbered_targets().find(|(of, _)| *of == place);
    let own = target.into_iter().flat_map(|(_, target)| target.waive.iter());
    dataset.waive.iter().chain(own).copied().collect()
}

fn word(state: TableState) -> &'static str {
    match state {
        TableState::Active => "active",
        TableState::Creating => "being created",
        TableState::Updating => "being changed",
        TableState::Deleting => "being deleted",
        TableState::Inaccessible => "inaccessible",
    }
}
