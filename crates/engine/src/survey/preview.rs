//! What a survey has seen, as values.

use serde::Serialize;

use crate::survey::table_preview::TablePreview;
use migrate_core::{
    lifecycle::State,
    model::{DatasetName, Epoch, Key, PhaseName, PlanName, SiteName},
    plan::{Dataset, Level},
};
use migrate_store::{Conditions, Proof};

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The plan's name.
    pub plan: PlanName,
    /// The phases, in the order in which they would run.
    pub phases: Vec<PhasePreview>,
    /// What a run would do in all.
    pub total: TotalPreview,
    /// Whether everything was looked at and nothing blocks a run.
    pub runnable: bool,
    /// Whether the survey was stopped before its end: what it had not looked at is unknown.
    pub stopped: bool,
}

/// What a run would do in all, over all datasets and targets that were looked at. Tables are not in the counts of
/// records.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TotalPreview {
    /// Records to write because a target lacks them.
    pub create: u64,
    /// Records to write over another version.
    pub replace: u64,
    /// Records to compare first; copied if they differ or cannot be compared.
    pub compare: u64,
    /// Records that a target already holds.
    pub skip: u64,
    /// Records to delete.
    pub delete: u64,
    /// Most bytes to write.
    pub bytes: u64,
    /// Estimated requests, to sources and targets.
    pub requests: u64,
    /// Datasets that are tables: their items are not counted one by one.
    pub tables: u64,
    /// Datasets whose lead would move, once it is approved.
    pub moves: u64,
    /// Least seconds that the limits in the plan allow; `None` if they set none.
    pub seconds_min: Option<u64>,
    /// Whether both sides of every dataset were looked at to their end.
    pub complete: bool,
}

impl TotalPreview {
    /// Whether a run would write, delete or compare no record, as far as was looked.
    pub fn changes_nothing(&self) -> bool {
        self.create + self.replace + self.compare + self.delete == 0
    }
}

/// One phase of a preview.
#[derive(Debug, Clone, Serialize)]
pub struct PhasePreview {
    /// The phase's name.
    pub name: PhaseName,
    /// The phases that must come first.
    pub after: Vec<PhaseName>,
    /// The surveyed datasets of the phase.
    pub datasets: Vec<DatasetPreview>,
}

/// One dataset of a preview.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetPreview {
    /// The dataset's name.
    pub name: DatasetName,
    /// The name of its state in the ledger.
    pub state: &'static str,
    /// The location of the lead: the plan's source, until that has moved.
    pub source: String,
    /// Records of the dataset at the source, as far as it was listed; `None` if it was not. A table is not counted:
    /// 0 if it is empty, and otherwise `None`.
    pub records: Option<u64>,
    /// Bytes of these records; `None` as for `records`.
    pub bytes: Option<u64>,
    /// Whether both sides were listed to their end, so that the counts are whole.
    pub complete: bool,
    /// How thoroughly a run would prove it.
    pub verify: Level,
    /// What a run would do at each target; nothing for a table.
    pub targets: Vec<TargetPreview>,
    /// What a run would do with a table; `None` for other data, and if it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TablePreview>,
    /// Estimated requests to the source: listings and reads.
    pub source_requests: u64,
    /// Least seconds that the sites' limits in the plan allow; `None` if they set none.
    pub seconds_min: Option<u64>,
    /// Whether a cutover would be refused because there is nothing to compare, which the plan does not accept.
    #[serde(skip)]
    pub nothing_to_compare: bool,
    /// How its lead would move; `None` if the plan moves none, or it has moved.
    pub cutover: Option<CutoverPreview>,
    /// What blocks a run, as texts.
    pub blocks: Vec<String>,
    /// What the operator should know, as texts.
    pub notes: Vec<String>,
}

impl DatasetPreview {
    /// The preview of a dataset that was not looked at yet.
    pub(super) fn unseen(dataset: &Dataset) -> Self {
        Self {
            name: dataset.name.clone(),
            state: State::Pending.name(),
            source: dataset.source.to_string(),
            records: None,
            bytes: None,
            complete: false,
            verify: dataset.verify,
            targets: Vec::new(),
            table: None,
            source_requests: 0,
            seconds_min: None,
            nothing_to_compare: false,
            cutover: None,
            blocks: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// What the cutover of a dataset would do.
#[derive(Debug, Clone, Serialize)]
pub struct CutoverPreview {
    /// The site that leads now: by the route, or by the plan if there is no route yet.
    pub from: SiteName,
    /// The site that would lead.
    pub to: SiteName,
    /// The route's location.
    pub route: String,
    /// How often the lead has moved so far; `None` if the route could not be read.
    pub epoch: Option<Epoch>,
    /// The steps in their order, as texts.
    pub steps: Vec<String>,
    /// Seconds that the steps wait, beside the verification.
    pub waits_seconds: u64,
    /// How the route's store keeps the conditions of a switch; `None` if `probe` is off, or the look failed.
    pub conditions: Option<Conditions>,
}

/// One target of a preview.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TargetPreview {
    /// The target's location.
    pub target: String,
    /// Records to write because the target lacks them.
    pub create: u64,
    /// Records to write over another version.
    pub replace: u64,
    /// Records to compare by checksums and properties first, since both sides have them and no pair proves
    /// them equal: copied if they differ or cannot be compared.
    pub compare: u64,
    /// Records that the target already holds.
    pub skip: u64,
    /// Records to delete: the source has deleted them, or the plan deletes extra ones.
    pub delete: u64,
    /// Records that only the target has and that a run does not delete.
    pub extra: u64,
    /// Most bytes to write.
    pub bytes: u64,
    /// Estimated requests.
    pub requests: u64,
    /// How writes are proved; `None` if no probe of the endpoint is known.
    pub proof: Option<Proof>,
    /// How the conditions of writes and deletes are kept; `None` if no probe of the endpoint is known.
    pub conditions: Option<Conditions>,
    /// What the endpoint lacks, as names for people.
    pub lacks: Vec<&'static str>,
    /// Records whose keys the target cannot hold.
    pub unholdable: u64,
    /// The first such key, and the reason.
    #[serde(skip)]
    pub(super) first_unholdable: Option<(Key, &'static str)>,
}
