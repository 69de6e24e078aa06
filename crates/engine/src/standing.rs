//! The standing of a migration, from the ledger alone: `status` shows it, and `run` ends with it.

use serde::Serialize;

use crate::{
    asked::goal_of,
    error::EngineError,
    meaning::{meaning_of, same_meaning},
    run::{approval, leftovers::exceeds_share},
    verify::recorded::asks_more,
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::{Goal, LATE_KEYS_MAX, State, Transition},
    model::{DatasetName, Decided, Epoch, Key, PhaseName, SiteName, TargetIndex},
    plan::{Dataset, Phase, Plan},
    report::Redactor,
    shard::{Cursor, Tally},
};
use migrate_ledger::{Counts, LateCounts, Ledger, Open, Resolved, ShardRow};

/// Failed records that are listed; all are counted.
pub const FAILURES_SHOWN: usize = 20;
/// Failed records read from the ledger at once.
const FAILURES_PAGE: usize = 1000;

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
    /// Whether the totals are those of a whole pass; while a pass is under way they grow.
    pub total_known: bool,
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
    /// How far the plan and the command want it to come.
    #[serde(skip)]
    pub goal: Goal,
    /// Its state in the lifecycle.
    #[serde(skip)]
    pub lifecycle: State,
    /// Whether it is verified, but by less than the plan asks for now.
    #[serde(skip)]
    pub asks_more: bool,
    /// Whether the plan accepts that there is nothing to compare.
    #[serde(skip)]
    pub accepts_empty: bool,
}

/// The standing of one target of a dataset.
#[derive(Debug, Serialize)]
pub struct TargetStanding {
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

    /// Whether everything is proved and only the lead has not moved yet.
    pub fn is_ready(&self) -> bool {
        let verified = matches!(self.lifecycle, State::Verified { .. }) && !self.asks_more;
        self.goal == Goal::CutOver && verified && !self.lacks_proof()
    }

    /// Whether it is proved, or its lead moves or has moved on a proof.
    pub fn is_proved(&self) -> bool {
        let moves = matches!(self.lifecycle, State::Switching { .. });
        moves || self.lifecycle.reached(Goal::Verified) && !self.asks_more
    }

    /// Whether it was given up, and no run has begun it anew.
    pub fn is_given_up(&self) -> bool {
        matches!(self.lifecycle, State::Aborted { .. })
    }

    /// Whether it waits only for another phase.
    pub fn waits_for_phase(&self) -> bool {
        matches!(self.waits_for, Some(WaitsFor::Phase(_)))
    }

    /// Whether its lead is to move, but its proof compared nothing, which the plan does not accept.
    pub fn lacks_proof(&self) -> bool {
        let empty = matches!(self.lifecycle, State::Verified { compared: 0, .. });
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
    /// How many records were found equal, by what decided it.
    pub decided: Decided,
    /// What was not compared and why, as texts.
    pub blind_spots: Vec<String>,
    /// The time at which the verification ended, in RFC 3339.
    pub at: String,
}

impl Proof {
    /// Whether the verification compared nothing.
    pub fn is_of_nothing(&self) -> bool {
        self.compared == Some(0)
    }
}

/// What reading a standing needs.
#[derive(Debug)]
struct Reader<'a> {
    plan: &'a Plan,
    redactor: Redactor,
    look_again: &'a str,
}

/// Reads the standing of every phase, judged by `goal`. For each dataset it lists at most `failures_max` failed
/// records and as many unclaimed uploads; `look_again` is the command that looks again for these uploads.
pub async fn standing(
    plan: &Plan,
    ledger: Option<&Ledger>,
    goal: Goal,
    failures_max: usize,
    look_again: &str,
) -> Result<Vec<PhaseStanding>, EngineError> {
    let reader = &Reader { plan, redactor: Redactor::new(plan.redact_keys), look_again };
    let approvals = match ledger {
        Some(ledger) => ledger.approvals().await?,
        None => Vec::new(),
    };
    let mut phases: Vec<PhaseStanding> = Vec::new();
    for phase in &reader.plan.phases {
        let short = phase.after.iter().find(|before| {
            phases.iter().any(|done| done.name == **before && !done.datasets.iter().all(DatasetStanding::is_done))
        });
        let binds = approval::binds(reader.plan, phase);
        let approval = approvals.iter().find(|given| given.phase == phase.name && given.binds == binds);
        let mut datasets = Vec::new();
        for dataset in &phase.datasets {
            let mut standing = of_dataset(reader, ledger, dataset, failures_max).await?;
            standing.goal = goal_of(dataset, goal);
            if dataset.cutover.is_some() {
                standing.approved = approval.map(|given| Approved { by: given.by.clone(), at: given.at.to_string() });
            }
            if let Some(before) = short.filter(|_| !standing.is_done()) {
                standing.waits_for = Some(WaitsFor::Phase(before.clone()));
            } else if standing.waits_for.is_none() {
                standing.waits_for = reason(&standing, &phase.name);
            }
            datasets.push(standing);
        }
        phases.push(PhaseStanding { name: phase.name.clone(), state: least(phase, &datasets), datasets });
    }
    Ok(phases)
}

async fn of_dataset(
    reader: &Reader<'_>,
    ledger: Option<&Ledger>,
    dataset: &Dataset,
    failures_max: usize,
) -> Result<DatasetStanding, EngineError> {
    let mut standing = DatasetStanding {
        name: dataset.name.clone(),
        state: State::Pending.name(),
        lead: dataset.source.site.clone(),
        epoch: Epoch(0),
        approved: None,
        late_writes: 0,
        late_keys: Vec::new(),
        late_equal: 0,
        late_resolved: 0,
        late_decisions: Vec::new(),
        goal: Goal::Verified,
        asks_more: false,
        accepts_empty: dataset.accept_empty,
        records_done: 0,
        records_total: None,
        bytes_done: 0,
        bytes_total: None,
        total_known: false,
        failures: Vec::new(),
        failures_total: 0,
        unclaimed: Vec::new(),
        unclaimed_total: 0,
        lag_seconds: None,
        waits_for: None,
        verification: None,
        targets: dataset.targets.iter().map(|target| nothing_at(target.at.to_string())).collect(),
        lifecycle: State::default(),
    };
    let Some(ledger) = ledger else { return Ok(standing) };
    let events = ledger.events(&dataset.name).await?;
    standing.lifecycle = State::replay(events.iter().map(|(event, _)| event))?;
    standing.state = standing.lifecycle.name();
    for (event, at) in &events {
        match event {
            // A proof from before such an event no longer holds.
            Transition::PassBegun { .. }
            | Transition::PassEnded { .. }
            | Transition::SwitchAbandoned { .. }
            | Transition::Aborted => {
                standing.verification = None;
            }
            event => {
                standing.verification = proof(event, &at.to_string(), dataset.accept_empty).or(standing.verification);
            }
        }
    }
    let is_verified = matches!(standing.lifecycle, State::Verified { .. });
    standing.asks_more = is_verified && asks_more(dataset, events.iter().map(|(event, _)| event));
    if let Some(moved) = standing.lifecycle.moved_to() {
        (standing.lead, standing.epoch) = (moved.lead.clone(), moved.epoch);
    }
    if let State::CutOver { .. } = standing.lifecycle {
        read_late(reader, ledger, &mut standing).await?;
    }
    if let Some(begun) = ledger.meaning(&dataset.name).await?
        && let Err(changed) = same_meaning(&dataset.name, &begun, &meaning_of(reader.plan, dataset))
    {
        // The ledger's counts are those of another body of data.
        standing.waits_for = Some(WaitsFor::Meaning(changed.to_string()));
        return Ok(standing);
    }
    list_unclaimed(reader, ledger, &mut standing, failures_max).await?;
    let shards = ledger.shards(&dataset.name).await?;
    for place in 0..standing.targets.len() {
        let index = TargetIndex::at(place);
        let counts = ledger.counts(&dataset.name, index).await?;
        fill(&mut standing.targets[place], index, counts, &shards);
        standing.failures_total += counts.failed;
        list_failures(reader, ledger, &mut standing, index, failures_max).await?;
    }
    standing.waits_for = too_many_deletions(dataset, &standing, &shards);
    standing.records_done = standing.targets.iter().map(|target| target.records_done).min().unwrap_or(0);
    standing.bytes_done = standing.targets.iter().map(|target| target.bytes_done).min().unwrap_or(0);
    if let Some(first) = standing.targets.first().filter(|_| standing.lifecycle.pass() > 0) {
        standing.total_known = !matches!(standing.lifecycle, State::Copying { .. });
        // A pass under way has not seen again all records that earlier passes copied.
        let least = if standing.total_known { (0, 0) } else { (standing.records_done, standing.bytes_done) };
        standing.records_total = Some(first.pass.records.max(least.0));
        standing.bytes_total = Some(first.pass.bytes.max(least.1));
        // A record that the source has deleted stays paired as long as a target shows it; it does not count here.
        standing.records_done = standing.records_done.min(standing.records_total.unwrap_or(0));
        standing.bytes_done = standing.bytes_done.min(standing.bytes_total.unwrap_or(0));
    }
    Ok(standing)
}

async fn read_late(reader: &Reader<'_>, ledger: &Ledger, standing: &mut DatasetStanding) -> Result<(), EngineError> {
    let LateCounts { open, equal, resolved } = ledger.late_counts(&standing.name).await?;
    (standing.late_writes, standing.late_equal, standing.late_resolved) = (open, equal, resolved);
    let shown = |key: &Key| reader.redactor.key(key).as_str().to_owned();
    let keys = ledger.late_open(&standing.name, None, LATE_KEYS_MAX).await?;
    standing.late_keys = keys.iter().map(shown).collect();
    let decisions = ledger.late_resolved(&standing.name, LATE_KEYS_MAX).await?.into_iter();
    let decision = |Resolved { key, by, at, reason }| Decision { key: shown(&key), by, at: at.to_string(), reason };
    standing.late_decisions = decisions.map(decision).collect();
    Ok(())
}

fn nothing_at(target: String) -> TargetStanding {
    let (records_done, bytes_done, deferred, failed, to_delete, damaged) = (0, 0, 0, 0, 0, 0);
    TargetStanding { target, records_done, bytes_done, deferred, failed, to_delete, damaged, pass: Tally::default() }
}

fn fill(target: &mut TargetStanding, index: TargetIndex, counts: Counts, shards: &[ShardRow]) {
    target.records_done = counts.paired;
    target.bytes_done = counts.paired_bytes;
    target.deferred = counts.deferred;
    target.failed = counts.failed;
    target.to_delete = counts.doomed;
    target.damaged = counts.damaged;
    for (_, _, tally) in shards.iter().flat_map(|shard| &shard.targets).filter(|(of, ..)| *of == index) {
        target.pass += *tally;
    }
}

async fn list_failures(
    reader: &Reader<'_>,
    ledger: &Ledger,
    standing: &mut DatasetStanding,
    index: TargetIndex,
    failures_max: usize,
) -> Result<(), EngineError> {
    let mut after = None;
    while standing.failures.len() < failures_max {
        let limit = FAILURES_PAGE.min(failures_max - standing.failures.len());
        let page = ledger.open_records(&standing.name, index, Open::Failed, after.as_ref(), limit).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        standing.failures.extend(page.iter().map(|row| Failed {
            key: reader.redactor.key(&row.key).as_str().to_owned(),
            target: standing.targets[index.get()].target.clone(),
            reason: reader.redactor.text(row.reason.as_deref().unwrap_or("not told"), &row.key),
        }));
    }
    Ok(())
}

async fn list_unclaimed(
    reader: &Reader<'_>,
    ledger: &Ledger,
    standing: &mut DatasetStanding,
    max: usize,
) -> Result<(), EngineError> {
    let rows = ledger.unclaimed(&standing.name).await?;
    standing.unclaimed_total = rows.len() as u64;
    let next = reader.look_again.to_owned();
    standing.unclaimed.extend(rows.into_iter().take(max).map(|row| UnclaimedUpload {
        key: reader.redactor.key(&row.key).as_str().to_owned(),
        target: standing.targets[row.target.get()].target.clone(),
        asked_for: row.upload.at.to_string(),
        upload_ids: row.upload.ids,
        next: next.clone(),
    }));
    Ok(())
}

fn proof(event: &Transition, at: &str, accepts_empty: bool) -> Option<Proof> {
    let at = at.to_owned();
    match event {
        Transition::Verified { level, compared, decided, blind_spots, .. } => Some(Proof {
            equal: *compared > 0 || accepts_empty,
            level: level.clone(),
            compared: Some(*compared),
            differences: 0,
            strays: 0,
            unreadable: 0,
            decided: *decided,
            blind_spots: blind_spots.clone(),
            at,
        }),
        Transition::Differed { level, differences, unreadable, strays } => Some(Proof {
            equal: false,
            level: level.clone(),
            compared: None,
            differences: *differences,
            strays: *strays,
            unreadable: *unreadable,
            decided: Decided::default(),
            blind_spots: Vec::new(),
            at,
        }),
        _ => None,
    }
}

/// The first target at which a pass that has come to its deletions would delete more than the plan allows.
fn too_many_deletions(dataset: &Dataset, standing: &DatasetStanding, shards: &[ShardRow]) -> Option<WaitsFor> {
    let ended = |shard: &ShardRow| shard.targets.iter().filter(|(_, cursor, _)| *cursor == Cursor::End).count();
    let all_ended = !shards.is_empty() && shards.iter().all(|shard| ended(shard) == standing.targets.len());
    if !all_ended || !matches!(standing.lifecycle, State::Copying { .. }) {
        return None;
    }
    let permille = dataset.delete_share_permille;
    standing.targets.iter().find_map(|target| {
        let (doomed, held) = exceeds_share(target.to_delete, target.records_done, permille)?;
        Some(WaitsFor::DeleteShare { target: target.target.clone(), doomed, held, permille })
    })
}

fn reason(standing: &DatasetStanding, phase: &PhaseName) -> Option<WaitsFor> {
    Some(match (&standing.lifecycle, &standing.verification) {
        _ if standing.is_done() => return None,
        (State::Pending, _) => WaitsFor::Run,
        (State::Copying { .. }, _) => WaitsFor::PassEnd,
        (State::Incomplete { failed, .. }, _) => WaitsFor::Failed(*failed),
        (State::Different { .. }, Some(proof)) => {
            let Proof { differences, strays, unreadable, .. } = *proof;
            WaitsFor::Differences { differences, strays, unreadable, first: None }
        }
        (State::Different { differences, .. }, None) => {
            WaitsFor::Differences { differences: *differences, strays: 0, unreadable: 0, first: None }
        }
        (State::Verified { .. }, _) if standing.asks_more => WaitsFor::Verification,
        (State::Verified { .. }, _) if standing.lacks_proof() => WaitsFor::Proof,
        (State::Verified { .. }, _) if standing.approved.is_none() => WaitsFor::Approval(phase.clone()),
        (State::Verified { .. }, _) => WaitsFor::Cutover,
        (State::Copied { .. }, _) => WaitsFor::Verification,
        (State::Switching { .. }, _) => WaitsFor::Route,
        (State::Switched { .. }, _) => WaitsFor::Clients,
        (State::Aborted { .. }, _) => WaitsFor::Anew,
        // There is no further goal.
        (State::CutOver { .. }, _) => return None,
    })
}

/// The state of a phase: that of its least advanced dataset, except that a phase that has begun is never pending.
fn least(phase: &Phase, datasets: &[DatasetStanding]) -> &'static str {
    let rank = |state: &State| match state {
        State::Incomplete { .. } => 0,
        State::Different { .. } => 1,
        State::Pending | State::Aborted { .. } => 2,
        State::Copying { .. } => 3,
        State::Copied { .. } => 4,
        State::Switching { .. } => 5,
        State::Verified { .. } => 6,
        State::Switched { .. } => 7,
        State::CutOver { .. } => 8,
    };
    debug_assert_eq!(phase.datasets.len(), datasets.len(), "one standing a dataset");
    // A dataset without a lead to move ranks as verified at least, once it has reached that goal.
    let rank_of = |one: &&DatasetStanding| {
        if one.is_done() && one.goal == Goal::Verified { rank(&one.lifecycle).max(6) } else { rank(&one.lifecycle) }
    };
    let unmoved = |one: &&DatasetStanding| one.is_done() && one.goal < Goal::CutOver;
    let all = || datasets.iter();
    let some_move = all().any(|one| !unmoved(&one));
    let least = all().filter(|one| !some_move || !unmoved(one)).min_by_key(rank_of).map(|one| &one.lifecycle);
    match least {
        Some(State::Pending) if datasets.iter().any(|one| one.lifecycle.pass() > 0) => "copying",
        Some(state) => state.name(),
        None => State::Pending.name(),
    }
}
