//! Reads the standing of a migration from its ledger.

use crate::{
    asked::goal_of,
    clock::now,
    error::EngineError,
    meaning::{meaning_of, same_meaning},
    run::{approval, ends::all_ended, leftovers::exceeds_share},
    standing::table::of_table,
    standing::values::{
        Approved, DatasetStanding, Decision, Failed, Following, MoveStanding, PhaseStanding, Proof, TargetStanding,
        UnclaimedUpload,
    },
    star::Star,
    verify::recorded::asks_more,
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::{self, Down, Goal, LATE_KEYS_MAX, Lifecycle, Stage, State, Transition},
    model::{Decided, Epoch, Key, PhaseName, PlaceIndex, Timestamp},
    plan::{Dataset, Location, Phase, Plan},
    report::Redactor,
    shard::Tally,
};
use migrate_ledger::{Counts, LateCounts, Ledger, Open, Resolved, ShardRow};

/// Failed records read from the ledger at once.
const FAILURES_PAGE: usize = 1000;

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
    let mut standing = not_begun(dataset);
    let Some(ledger) = ledger else { return Ok(standing) };
    let events = ledger.events(&dataset.name).await?;
    replay(&mut standing, dataset, &events)?;
    if standing.lifecycle.reached(Goal::CutOver) {
        read_late(reader, ledger, &mut standing).await?;
    }
    if let Some(begun) = ledger.meaning(&dataset.name).await?
        && let Err(changed) = same_meaning(&dataset.name, &begun, &meaning_of(reader.plan, dataset))
    {
        // The ledger's counts are those of another body of data.
        standing.waits_for = Some(WaitsFor::Meaning(changed.reason(reader.redactor)));
        return Ok(standing);
    }
    list_unclaimed(reader, ledger, &mut standing, dataset, failures_max).await?;
    let star = Star::of(reader.plan, dataset, &standing.lifecycle)?;
    if standing.lifecycle.moved_to().is_some() {
        standing.lead_target = Some(star.lead.as_target());
        let state = || Following { state: State::of(&standing.lifecycle.syncing).name(), old_lead: None };
        standing.followers_total = star.followers.len();
        let has_begun = standing.lifecycle.syncing.stage != Stage::Unseen;
        standing.following = (standing.followers_total > 0 && has_begun).then(state);
    }
    if dataset.is_table() {
        let (table, lag) = of_table(ledger, dataset, &star, now()).await?;
        (standing.table, standing.lag_seconds) = (Some(table), lag);
    }
    let shards = ledger.shards(&dataset.name).await?;
    let down = lifecycle::down(&events);
    for (place, at) in dataset.places() {
        let counts = ledger.counts(&dataset.name, place).await?;
        if place == PlaceIndex::SOURCE {
            let Some(following) = &mut standing.following else { continue };
            if !star.followers.contains(&place) {
                continue;
            }
            fill(following.old_lead.insert(nothing_at(place, at)), counts, &shards, &down);
        } else {
            fill(&mut standing.targets[place.as_target()], counts, &shards, &down);
        }
        standing.failures_total += counts.failed;
        list_failures(reader, ledger, &mut standing, (place, at), failures_max).await?;
    }
    standing.waits_for = too_many_deletions(dataset, &standing, &shards);
    if standing.table.is_none() {
        let counted = ledger.counted(&dataset.name).await?;
        add_up(&mut standing, counted.and_then(|(records, bytes)| Some((records, bytes?))));
    }
    Ok(standing)
}

/// The standing of a dataset of which the ledger knows nothing.
fn not_begun(dataset: &Dataset) -> DatasetStanding {
    DatasetStanding {
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
        percent: None,
        failures: Vec::new(),
        failures_total: 0,
        unclaimed: Vec::new(),
        unclaimed_total: 0,
        lag_seconds: None,
        waits_for: None,
        verification: None,
        targets: dataset.places().skip(1).map(|(place, at)| nothing_at(place, at)).collect(),
        table: None,
        moving: None,
        following: None,
        lead_target: None,
        followers_total: dataset.targets.len(),
        lifecycle: Lifecycle::default(),
    }
}

/// Replays what has happened: the state, the lead, and the last verification that still holds.
fn replay(
    standing: &mut DatasetStanding,
    dataset: &Dataset,
    events: &[(Transition, Timestamp)],
) -> Result<(), EngineError> {
    standing.lifecycle = Lifecycle::replay(events.iter().map(|(event, _)| event))?;
    standing.state = standing.lifecycle.state().name();
    standing.moving = MoveStanding::of(&standing.lifecycle);
    for (event, at) in events {
        match event {
            // A proof from before such an event no longer holds.
            Transition::PassBegun { .. }
            | Transition::PassEnded { .. }
            | Transition::SwitchAbandoned { .. }
            | Transition::Aborted => {
                standing.verification = None;
            }
            event => {
                standing.verification =
                    proof(event, &at.to_string(), dataset.accept_empty).or(standing.verification.take());
            }
        }
    }
    standing.asks_more = standing.lifecycle.is_verified()
        && standing.lifecycle.moved_to().is_none()
        && asks_more(dataset, events.iter().map(|(event, _)| event));
    if let Some(moved) = standing.lifecycle.moved_to() {
        (standing.lead, standing.epoch) = (moved.lead.clone(), moved.epoch);
    }
    Ok(())
}

/// Adds up what every target holds, and how much there is to hold: while a pass is under way what was counted beside it.
fn add_up(standing: &mut DatasetStanding, counted: Option<(u64, u64)>) {
    standing.records_done = standing.followers().map(|target| target.records_done).min().unwrap_or(0);
    standing.bytes_done = standing.followers().map(|target| target.bytes_done).min().unwrap_or(0);
    let first = standing.followers().next().map(|first| first.pass);
    if let Some(pass) = first.filter(|_| standing.lifecycle.syncing.pass > 0) {
        let is_copying = standing.lifecycle.syncing.stage == Stage::Copying;
        let counted = counted.filter(|(records, _)| is_copying && *records >= pass.records);
        standing.total_known = !is_copying || counted.is_some();
        // A pass under way has not seen again all records that earlier passes copied.
        let least = if standing.total_known { (0, 0) } else { (standing.records_done, standing.bytes_done) };
        let (records, bytes) = counted.unwrap_or((pass.records, pass.bytes));
        standing.records_total = Some(records.max(least.0));
        standing.bytes_total = Some(bytes.max(least.1));
        // A record that the source has deleted stays paired as long as a target shows it; it does not count here.
        standing.records_done = standing.records_done.min(standing.records_total.unwrap_or(0));
        standing.bytes_done = standing.bytes_done.min(standing.bytes_total.unwrap_or(0));
    }
    let total = standing.records_total.filter(|total| standing.total_known && *total > 0);
    standing.percent = total.map(|total| standing.records_done * 100 / total);
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

fn nothing_at(place: PlaceIndex, at: &Location) -> TargetStanding {
    let target = at.to_string();
    let (records_done, bytes_done, deferred, failed, to_delete, damaged) = (0, 0, 0, 0, 0, 0);
    let (down, pass) = (None, Tally::default());
    TargetStanding { place, target, records_done, bytes_done, deferred, failed, to_delete, damaged, down, pass }
}

fn fill(target: &mut TargetStanding, counts: Counts, shards: &[ShardRow], down: &[Down]) {
    target.down = down.iter().find(|down| down.place == target.place).cloned();
    target.records_done = counts.paired;
    target.bytes_done = counts.paired_bytes;
    target.deferred = counts.deferred;
    target.failed = counts.failed;
    target.to_delete = counts.doomed;
    target.damaged = counts.damaged;
    for (_, _, tally) in shards.iter().flat_map(|shard| &shard.places).filter(|(of, ..)| *of == target.place) {
        target.pass += *tally;
    }
}

async fn list_failures(
    reader: &Reader<'_>,
    ledger: &Ledger,
    standing: &mut DatasetStanding,
    (place, at): (PlaceIndex, &Location),
    failures_max: usize,
) -> Result<(), EngineError> {
    let mut after = None;
    while standing.failures.len() < failures_max {
        let limit = FAILURES_PAGE.min(failures_max - standing.failures.len());
        let page = ledger.open_records(&standing.name, place, Open::Failed, after.as_ref(), limit).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        standing.failures.extend(page.iter().map(|row| Failed {
            key: reader.redactor.key(&row.key).as_str().to_owned(),
            target: at.to_string(),
            reason: reader.redactor.text(row.reason.as_deref().unwrap_or("not told"), &row.key),
        }));
    }
    Ok(())
}

async fn list_unclaimed(
    reader: &Reader<'_>,
    ledger: &Ledger,
    standing: &mut DatasetStanding,
    dataset: &Dataset,
    max: usize,
) -> Result<(), EngineError> {
    let rows = ledger.unclaimed(&standing.name).await?;
    standing.unclaimed_total = rows.len() as u64;
    let next = reader.look_again.to_owned();
    standing.unclaimed.extend(rows.into_iter().take(max).map(|row| UnclaimedUpload {
        key: reader.redactor.key(&row.key).as_str().to_owned(),
        target: dataset.location(row.place).to_string(),
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
            unlisted: Vec::new(),
            decided: *decided,
            blind_spots: blind_spots.clone(),
            at,
        }),
        Transition::Differed { level, differences, unreadable, strays, unlisted } => Some(Proof {
            equal: false,
            level: level.clone(),
            compared: None,
            differences: *differences,
            strays: *strays,
            unreadable: *unreadable,
            unlisted: unlisted.clone(),
            decided: Decided::default(),
            blind_spots: Vec::new(),
            at,
        }),
        _ => None,
    }
}

/// The first target at which a pass that has come to its deletions would delete more than the plan allows.
fn too_many_deletions(dataset: &Dataset, standing: &DatasetStanding, shards: &[ShardRow]) -> Option<WaitsFor> {
    let up: Vec<_> = standing.followers().filter(|target| target.down.is_none()).collect();
    let came_to_deletions = up.iter().all(|target| all_ended(shards, target.place));
    if !came_to_deletions || standing.lifecycle.syncing.stage != Stage::Copying {
        return None;
    }
    let permille = dataset.delete_share_permille;
    up.into_iter().find_map(|target| {
        let (doomed, held) = exceeds_share(target.to_delete, target.records_done, permille)?;
        Some(WaitsFor::DeleteShare { target: target.target.clone(), doomed, held, permille })
    })
}

fn reason(standing: &DatasetStanding, phase: &PhaseName) -> Option<WaitsFor> {
    // Once its lead has moved, only its followers can be waited for.
    let state = match standing.lifecycle.state() {
        State::CutOver { following: Some(following), .. } => *following,
        state => state,
    };
    Some(match (state, &standing.verification) {
        _ if standing.is_done() && standing.has_followed() => return None,
        (State::Pending, _) => WaitsFor::Run,
        (State::Copying { .. }, _) => {
            let down = |target: &TargetStanding| Some((target.target.clone(), target.down.as_ref()?.reason.clone()));
            match standing.followers().filter_map(down).collect::<Vec<_>>() {
                none if none.is_empty() => WaitsFor::PassEnd,
                down => WaitsFor::Targets(down),
            }
        }
        (State::Incomplete { failed, .. }, _) => WaitsFor::Failed(failed),
        (State::Different { .. }, _) if standing.late_writes > 0 => WaitsFor::LateWrites(standing.late_writes),
        (State::Different { .. }, Some(proof)) if proof.is_without_findings() => match &proof.unlisted[..] {
            [] => WaitsFor::Verification,
            unlisted => WaitsFor::Targets(unlisted.to_vec()),
        },
        (State::Different { .. }, Some(proof)) => {
            let Proof { differences, strays, unreadable, .. } = *proof;
            WaitsFor::Differences { differences, strays, unreadable, first: None }
        }
        (State::Different { differences, .. }, None) => {
            WaitsFor::Differences { differences, strays: 0, unreadable: 0, first: None }
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
    let rank = |lifecycle: &Lifecycle| match lifecycle.state() {
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
    match least.map(Lifecycle::state).unwrap_or_default() {
        State::Pending if datasets.iter().any(|one| one.lifecycle.syncing.pass > 0) => "copying",
        state => state.name(),
    }
}
