//! The standing of a migration, as values.

use serde::Serialize;

use crate::{standing::table::TableStanding, waits::WaitsFor};
use migrate_core::{
    lifecycle::{Down, Goal, Lifecycle, Moving, Stage},
    model::{DatasetName, Decided, Epoch, PhaseName, PlaceIndex, SiteName},
    shard::Tally,
};

/// Failed records that are listed; all are counted.
pub const FAILURES_SHOWN: usize = 20;

/// The standing of one phase.
#[derive(Debug, Serialize)]
pub struct PhaseStanding {
    /// The phase's name.
    pub name: PhaseName,
    /// The least of its datasets' states; a phase that has begun is never pending.
    pub state: &'static str,
    /// Its datasets, in the plan's order.
    pub datasets: Vec<DatasetStanding>,
}

/// The standing of one dataset.
#[derive(Debug, Serialize)]
pub struct DatasetStanding {
    /// The dataset's name.
    pub name: DatasetName,
    /// The name of its state, as in JSON.
    pub state: &'static str,
    /// The site to which applications write.
    pub lead: SiteName,
    /// How often the lead has moved.
    pub epoch: Epoch,
    /// Records that every target is known to hold.
    pub records_done: u64,
    /// Records that the last pass has seen at the source; `None` before the first pass.
    pub records_total: Option<u64>,
    /// Bytes that every target is known to hold.
    pub bytes_done: u64,
    /// Bytes that the last pass has seen at the source; `None` before the first pass.
    pub bytes_total: Option<u64>,
    /// Whether the totals are those of a whole pass, or were counted beside the one under way; otherwise they grow.
    pub total_known: bool,
    /// The share of the records that every target holds, in whole percent, rounded down; `None` if the total is not
    /// known, or 0.
    pub percent: Option<u64>,
    /// The first records that failed.
    pub failures: Vec<Failed>,
    /// Number of failed records, over all targets.
    pub failures_total: u64,
    /// The first uploads that may be left at targets and cannot be told from those of other writers.
    pub unclaimed: Vec<UnclaimedUpload>,
    /// Number of such uploads.
    pub unclaimed_total: u64,
    /// Seconds by which the targets lag behind; `None` if nothing measures it.
    pub lag_seconds: Option<u64>,
    /// What must happen before it goes further; `None` if it has reached its goal.
    pub waits_for: Option<WaitsFor>,
    /// The last verification, unless a pass, an abandoned switch or an abort came after it.
    pub verification: Option<Proof>,
    /// The approval of its phase's cutover, if it still holds.
    pub approved: Option<Approved>,
    /// Open late writes: records written at the old lead after the final verification that no operator has
    /// decided on and that the leads were not found to hold alike.
    pub late_writes: u64,
    /// The first keys of the open late writes, redacted if the plan says so.
    pub late_keys: Vec<String>,
    /// Late writes that both leads were found to hold alike.
    pub late_equal: u64,
    /// Late writes that an operator has decided on.
    pub late_resolved: u64,
    /// The last decisions on late writes.
    pub late_decisions: Vec<Decision>,
    /// The standing of its targets, in the plan's order.
    pub targets: Vec<TargetStanding>,
    /// How far the copy of a table is; `None` for other data, and before anything has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableStanding>,
    /// The move of its lead that is open before its switch; a run that finds one takes it back first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving: Option<MoveStanding>,
    /// How far the followers of a lead that has moved are, once a pass from it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub following: Option<Following>,
    /// Which of its targets leads, counted from 0; `None` while its source leads.
    #[serde(skip)]
    pub lead_target: Option<usize>,
    /// How many places follow its lead.
    #[serde(skip)]
    pub followers_total: usize,
    /// How far the plan and the command want it to come.
    #[serde(skip)]
    pub goal: Goal,
    /// Where it stands in its lifecycle.
    #[serde(skip)]
    pub lifecycle: Lifecycle,
    /// Whether it is verified, but by less than the plan asks for now.
    #[serde(skip)]
    pub asks_more: bool,
    /// Whether the plan accepts that there is nothing to compare.
    #[serde(skip)]
    pub accepts_empty: bool,
}

/// A move of the lead that is open.
#[derive(Debug, Serialize)]
pub struct MoveStanding {
    /// The site that is to lead.
    pub to: SiteName,
    /// The step that was begun last, as in the documentation; `None` before the first.
    pub step: Option<&'static str>,
}

impl MoveStanding {
    /// The move that is open before its switch, if one is.
    pub(crate) fn of(lifecycle: &Lifecycle) -> Option<Self> {
        let open = lifecycle.moving.open()?;
        Some(Self { to: open.to.clone(), step: open.steps.last().map(|(step, _)| step.as_str()) })
    }
}

/// How far the followers of a lead that has moved are.
#[derive(Debug, Serialize)]
pub struct Following {
    /// The name of their state, by the last pass from the lead.
    pub state: &'static str,
    /// The standing of the old lead, if it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_lead: Option<TargetStanding>,
}

/// The standing of one target of a dataset.
#[derive(Debug, Serialize)]
pub struct TargetStanding {
    /// Its place.
    #[serde(skip)]
    pub place: PlaceIndex,
    /// The target's location.
    pub target: String,
    /// Records that the target is known to hold.
    pub records_done: u64,
    /// Bytes of these records.
    pub bytes_done: u64,
    /// Records that wait until the shards of the pass have ended.
    pub deferred: u64,
    /// Records that could not be copied.
    pub failed: u64,
    /// Records to delete.
    pub to_delete: u64,
    /// Records to copy again, since a verification found them damaged.
    pub damaged: u64,
    /// Why it takes no part in the pass under way, if it does not.
    pub down: Option<Down>,
    /// Counts of the last pass.
    pub pass: Tally,
}

/// An approval that holds.
#[derive(Debug, Clone, Serialize)]
pub struct Approved {
    /// The approver's name.
    pub by: String,
    /// The time of the approval, in RFC 3339.
    pub at: String,
}

impl DatasetStanding {
    /// Whether it has reached its goal.
    pub fn is_done(&self) -> bool {
        self.lifecycle.reached(self.goal) && !(self.asks_more && self.goal >= Goal::Verified)
    }

    /// Whether the followers of a lead that has moved are as far as the goal asks.
    pub fn has_followed(&self) -> bool {
        self.followers_total == 0 || self.lifecycle.follows(self.goal)
    }

    /// The standing of the places that follow.
    pub fn followers(&self) -> impl Iterator<Item = &TargetStanding> {
        let old_lead = self.following.as_ref().and_then(|following| following.old_lead.as_ref());
        let lead = self.lead_target.filter(|_| self.following.is_some());
        let targets = self.targets.iter().enumerate().filter(move |(target, _)| Some(*target) != lead);
        old_lead.into_iter().chain(targets.map(|(_, target)| target))
    }

    /// Whether everything is proved and only the lead has not moved yet.
    pub fn is_ready(&self) -> bool {
        let verified = self.lifecycle.is_verified() && !self.asks_more;
        self.goal == Goal::CutOver && verified && !self.lacks_proof()
    }

    /// Whether it is proved, or its lead moves or has moved on a proof.
    pub fn is_proved(&self) -> bool {
        let moves = matches!(self.lifecycle.moving, Moving::Switching { .. });
        moves || self.lifecycle.reached(Goal::Verified) && !self.asks_more
    }

    /// Whether it was given up, and no run has begun it anew.
    pub fn is_given_up(&self) -> bool {
        self.lifecycle.syncing.stage == Stage::GivenUp
    }

    /// Whether targets take no part in its pass under way.
    pub fn has_targets_down(&self) -> bool {
        self.targets.iter().any(|target| target.down.is_some())
    }

    /// Whether its last verification did not look targets through to their end, and found nothing else.
    pub fn is_unlisted(&self) -> bool {
        self.verification.as_ref().is_some_and(|proof| proof.is_without_findings() && !proof.unlisted.is_empty())
    }

    /// Whether it waits only for another phase.
    pub fn waits_for_phase(&self) -> bool {
        matches!(self.waits_for, Some(WaitsFor::Phase(_)))
    }

    /// Whether its lead is to move, but its proof compared nothing, which the plan does not accept.
    pub fn lacks_proof(&self) -> bool {
        let empty = matches!(self.lifecycle.syncing.stage, Stage::Verified { compared: 0, .. });
        self.goal == Goal::CutOver && empty && !self.accepts_empty
    }
}

/// An operator's decision on a late write.
#[derive(Debug, Serialize)]
pub struct Decision {
    /// The key, redacted if the plan says so.
    pub key: String,
    /// The operator's name.
    pub by: String,
    /// The time of the decision, in RFC 3339.
    pub at: String,
    /// The reason, if the operator gave one.
    pub reason: Option<String>,
}

/// A record that could not be copied.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// The key, redacted if the plan says so.
    pub key: String,
    /// The target's location.
    pub target: String,
    /// Why it failed, as text.
    pub reason: String,
}

/// An upload that was requested and whose answer was lost. It is listed until it is known to be gone.
#[derive(Debug, Serialize)]
pub struct UnclaimedUpload {
    /// The key, redacted if the plan says so.
    pub key: String,
    /// The target's location.
    pub target: String,
    /// The time of the request, in RFC 3339.
    pub asked_for: String,
    /// The ids of the uploads that may be it; empty if the store lists none.
    pub upload_ids: Vec<String>,
    /// The command that looks for it again.
    pub next: String,
}

/// The result of a verification.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Whether all targets equal their lead; `false` also if nothing was compared and the plan does not accept that.
    pub equal: bool,
    /// The level of the verification, as in the plan.
    pub level: String,
    /// Records compared, over all targets; `None` unless all were equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<u64>,
    /// Records that differ.
    pub differences: u64,
    /// Those of them that neither a pass nor a repair removes.
    #[serde(skip)]
    pub strays: u64,
    /// Records that could not be compared.
    pub unreadable: u64,
    /// Followers that were not looked through to their end, each with the reason.
    #[serde(skip)]
    pub unlisted: Vec<(String, String)>,
    /// How many records were found equal, by what decided it.
    pub decided: Decided,
    /// What was not compared and why, as texts.
    pub blind_spots: Vec<String>,
    /// The time at which the verification ended, in RFC 3339.
    pub at: String,
}

impl Proof {
    /// Whether it found nothing that differs, and nothing that could not be compared.
    pub fn is_without_findings(&self) -> bool {
        self.differences + self.unreadable == 0
    }
}

impl Proof {
    /// Whether the verification compared nothing.
    pub fn is_of_nothing(&self) -> bool {
        self.compared == Some(0)
    }
}
