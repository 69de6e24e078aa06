//! Looks at both sides before anything moves, and tells what a run would do.
//!
//! A survey lists every side once, joins the listings with the ledger's pairs, and counts. It
//! writes nothing but the scratch key of a probe, and nothing at all if `probe` is off.
//!
//! [`Bindings`] holds what a saved plan is bound to, and finds what of it has changed.

use std::sync::Arc;

use serde::Serialize;

use crate::sink::Sink;
use crate::state::state_of;
use crate::{
    asked,
    cutover::{
        moves::{self, Move},
        steps::{self, Step},
    },
    error::EngineError,
    layout,
    meaning::{meaning_of, same_meaning},
    rows::Inputs,
    shutdown::{Shutdown, cancellable},
    sites::opening::{DatasetStores, Sites, lacks},
};
use migrate_core::{
    diff::{Change, decide},
    lifecycle::{Goal, Lead, State},
    model::{DatasetName, Epoch, Key, KeyRange, PhaseName, PlanName, SiteName},
    plan::{Dataset, Extra, Level, Plan},
    report::{EventKind, Redactor},
    shard::{self, Cursor},
};
use migrate_ledger::Ledger;
use migrate_store::{Conditions, ErrorKind, Proof};

mod bindings;
mod saved;

pub use bindings::{
    Bindings, Changed, CutoverBinding, DatasetBinding, LeadBinding, PhaseBinding, PlaceBinding, PlaceRole,
    PolicyBinding, RouteBinding, SiteBinding,
};
pub use saved::bindings;

/// Keys that one request of a listing returns: S3 returns at most 1,000.
const KEYS_PER_PAGE: u64 = 1000;
/// Problems that are shown with their keys; the rest are counted.
const PROBLEMS_SHOWN: usize = 20;
/// Keys between two progress events.
const TELL_EVERY: u64 = 5000;

/// What a survey is asked to do.
#[derive(Debug, Clone)]
pub struct SurveyOptions {
    /// Only these datasets; all if empty.
    pub datasets: Vec<DatasetName>,
    /// Whether to probe endpoints with a scratch key.
    pub probe: bool,
}

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// The plan's name.
    pub plan: PlanName,
    /// The phases, in the order in which they would run.
    pub phases: Vec<PhasePreview>,
    /// Whether everything was looked at and nothing blocks a run.
    pub runnable: bool,
    /// Whether the survey was stopped before its end: what it had not looked at is unknown.
    pub stopped: bool,
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
    /// The location of the plan's source.
    pub source: String,
    /// Records of the dataset at the source, as far as it was listed; `None` if it was not.
    pub records: Option<u64>,
    /// Bytes of these records; `None` as for `records`.
    pub bytes: Option<u64>,
    /// Whether both sides were listed to their end, so that the counts are whole.
    pub complete: bool,
    /// How thoroughly a run would prove it.
    pub verify: Level,
    /// What a run would do at each target.
    pub targets: Vec<TargetPreview>,
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
#[derive(Debug, Clone, Default, Serialize)]
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
    first_unholdable: Option<(Key, &'static str)>,
}

/// Surveys the datasets asked for.
///
/// An error of one dataset (a missing bucket, say) blocks that dataset in the preview; an error
/// here means that the survey itself failed.
pub async fn survey(
    plan: &Plan,
    sites: &Sites,
    ledger: Option<Arc<Ledger>>,
    options: &SurveyOptions,
    sink: &Sink,
    shutdown: &Shutdown,
) -> Result<Preview, EngineError> {
    let mut preview = Preview { plan: plan.name.clone(), phases: Vec::new(), runnable: true, stopped: false };
    sites.adopt_places(ledger.as_deref()).await?;
    for phase in &plan.phases {
        let mut datasets = Vec::new();
        for dataset in asked(plan, std::slice::from_ref(&phase.name), &options.datasets) {
            let surveyor = Surveyor { plan, sites, ledger: ledger.as_ref(), options, sink, shutdown };
            let seen = surveyor.dataset(dataset).await?;
            preview.runnable &= seen.blocks.is_empty();
            datasets.push(seen);
        }
        preview.phases.push(PhasePreview { name: phase.name.clone(), after: phase.after.clone(), datasets });
    }
    preview.stopped = shutdown.is_draining();
    preview.runnable &= !preview.stopped;
    Ok(preview)
}

struct Surveyor<'a> {
    plan: &'a Plan,
    sites: &'a Sites,
    ledger: Option<&'a Arc<Ledger>>,
    options: &'a SurveyOptions,
    sink: &'a Sink,
    shutdown: &'a Shutdown,
}

impl Surveyor<'_> {
    async fn dataset(&self, dataset: &Dataset) -> Result<DatasetPreview, EngineError> {
        let mut seen = DatasetPreview {
            name: dataset.name.clone(),
            state: State::Pending.name(),
            source: dataset.source.to_string(),
            records: None,
            bytes: None,
            complete: false,
            verify: dataset.verify,
            targets: Vec::new(),
            source_requests: 0,
            seconds_min: None,
            nothing_to_compare: false,
            cutover: None,
            blocks: Vec::new(),
            notes: Vec::new(),
        };
        if self.shutdown.is_draining() {
            return Ok(seen);
        }
        for key in &dataset.unsupported {
            let place = format!("{} (line {}, column {})", key.key, key.line, key.column);
            if key.cutover_only {
                seen.notes.push(format!("{place}: the cutover is not supported yet; run with --until verified"));
            } else {
                seen.blocks.push(format!("{place} is not supported yet"));
            }
        }
        if let Some(moved) = self.state(&dataset.name).await?.moved_to() {
            let Lead { lead, epoch } = moved;
            seen.state = self.state(&dataset.name).await?.name();
            seen.notes.push(format!("{lead} leads it since epoch {epoch}: a run copies nothing any more"));
            return Ok(seen);
        }
        let waits = self.fills(dataset).await?;
        if !waits.is_empty() {
            seen.notes.push(format!(
                "its source is filled by {}, which comes first: what it will hold is not known yet",
                waits.join(" and ")
            ));
        }
        let looked = cancellable(self.shutdown, self.look(dataset, &mut seen)).await;
        if seen.records.is_none() {
            // If the source was not counted, the targets were not either.
            seen.targets.clear();
        }
        if self.shutdown.is_draining() {
            // The survey was stopped, so an error or a block may be due to that.
            return Ok(seen);
        }
        if let Err(error) = looked {
            match &error {
                // The datasets that come first make the bucket or directory.
                EngineError::Store(error) if error.kind() == ErrorKind::NoContainer && !waits.is_empty() => {}
                // Only errors of the ledger or of the program concern all datasets.
                EngineError::Ledger(_) | EngineError::Panicked(_) | EngineError::Illegal(_) => return Err(error),
                _ => seen.blocks.push(self.with_mend(&error)),
            }
        }
        if seen.records == Some(0) && seen.blocks.is_empty() && waits.is_empty() {
            seen.nothing_to_compare = !dataset.accept_empty;
            let accepted = "0 records: nothing is there to compare, as accept_empty allows";
            seen.notes.push(if dataset.accept_empty { accepted } else { moves::NOTHING_COMPARED }.to_owned());
        }
        if let Err(error) = self.look_at_route(dataset, &mut seen).await {
            seen.blocks.push(self.with_mend(&error));
        }
        Ok(seen)
    }

    async fn state(&self, dataset: &DatasetName) -> Result<State, EngineError> {
        match self.ledger {
            Some(ledger) => state_of(ledger, dataset).await,
            None => Ok(State::default()),
        }
    }

    fn with_mend(&self, error: &EngineError) -> String {
        let text = error.shown(Redactor::new(self.plan.redact_keys));
        match error.mend() {
            Some(mend) => format!("{text}; {mend}"),
            None => text,
        }
    }

    /// Previews the cutover, and blocks it if the route does not allow it.
    async fn look_at_route(&self, dataset: &Dataset, seen: &mut DatasetPreview) -> Result<(), EngineError> {
        let Some(what) = Move::of(dataset) else { return Ok(()) };
        if dataset.unsupported.iter().any(|key| key.cutover_only) {
            return Ok(());
        }
        let steps = steps::steps(&what.cutover);
        let describe = |step: &dyn Step| format!("{}: {}", step.name(), step.describe(&what));
        let preview = seen.cutover.insert(CutoverPreview {
            from: what.from.clone(),
            to: what.to.clone(),
            route: what.cutover.route.to_string(),
            epoch: None,
            steps: steps.iter().map(|step| describe(&**step)).collect(),
            conditions: None,
            waits_seconds: (what.cutover.quiet.max(what.cutover.settle) + what.cutover.route_max_age).as_secs(),
        });
        let (ledger, probe) = (self.ledger.map(|ledger| &**ledger), self.options.probe);
        let route = self.sites.open_route_to_look(self.plan, dataset, &what.cutover.route, ledger, probe).await?;
        if probe {
            preview.conditions = Some(route.capabilities().conditions());
            route.check()?;
        }
        let shown = route.read().await?;
        preview.epoch = Some(shown.as_ref().map_or(Epoch(0), |shown| shown.document.epoch));
        if let Some(driver) = shown.as_ref().and_then(|shown| shown.document.driver.as_ref()) {
            let ours = match self.ledger {
                Some(ledger) => Some(ledger.id().await?),
                None => None,
            };
            if ours.as_ref() != Some(&driver.ledger) {
                let (dataset, driver) = (dataset.name.clone(), Box::new(driver.clone()));
                seen.blocks.push(EngineError::Driven { dataset, driver }.to_string());
            }
        }
        if let Some(shown) = shown.filter(|shown| shown.document.lead != what.from) {
            seen.blocks.push(format!(
                "the route {} says that {} leads since epoch {}, and the plan moves the lead from {}",
                route.location(),
                shown.document.lead,
                shown.document.epoch,
                what.from
            ));
            preview.from = shown.document.lead;
        }
        Ok(())
    }

    /// The datasets that fill this one's source and are not proved yet.
    async fn fills(&self, dataset: &Dataset) -> Result<Vec<String>, EngineError> {
        let mut open = Vec::new();
        for first in self.plan.filled_by(dataset) {
            if !self.state(first).await?.reached(Goal::Verified) {
                open.push(first.to_string());
            }
        }
        Ok(open)
    }

    async fn look(&self, dataset: &Dataset, seen: &mut DatasetPreview) -> Result<(), EngineError> {
        if dataset.unsupported.iter().any(|key| !key.cutover_only) {
            return Ok(());
        }
        let mut known = None;
        if let Some(ledger) = self.ledger {
            seen.state = self.state(&dataset.name).await?.name();
            if let Some(begun) = ledger.meaning(&dataset.name).await? {
                same_meaning(&dataset.name, &begun, &meaning_of(self.plan, dataset))?;
                known = Some(ledger);
            }
        }
        let stores = self.sites.open_to_look(self.plan, dataset, self.ledger, self.options.probe, self.sink).await?;
        seen.targets = stores.targets.iter().map(|store| target_of(&**store)).collect();
        self.count(dataset, &stores, known, seen).await?;
        if seen.complete {
            self.judge(dataset, seen);
        }
        Ok(())
    }

    async fn count(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores,
        known: Option<&Arc<Ledger>>,
        seen: &mut DatasetPreview,
    ) -> Result<(), EngineError> {
        let inputs = Inputs::new(dataset, stores, known);
        let waived = inputs.waived();
        let mut rows = inputs.rows(&KeyRange::all());
        let (mut problems, mut count) = (0_u64, 0_u64);
        while let Some(row) = rows.next().await? {
            count += 1;
            if self.shutdown.is_draining() {
                return Ok(());
            }
            let (records, bytes) = (seen.records.get_or_insert(0), seen.bytes.get_or_insert(0));
            if count.is_multiple_of(TELL_EVERY) {
                let fraction = shard::progress(&KeyRange::all(), &Cursor::At(row.key.clone()));
                self.sink.tell(EventKind::Surveying { dataset: dataset.name.clone(), records: *records, fraction });
            }
            let source = row.source.as_ref().map(|entry| &entry.token);
            if let Some(token) = source {
                *records += 1;
                *bytes += token.size;
            }
            if let Some(problem) = row.source.as_ref().and_then(|entry| entry.problem.as_deref()) {
                problems += 1;
                if problems <= PROBLEMS_SHOWN as u64 {
                    let redactor = Redactor::new(self.plan.redact_keys);
                    seen.blocks.push(format!("{} {}", redactor.key(&row.key), redactor.text(problem, &row.key)));
                }
                continue;
            }
            let mut read = false;
            let sides = row.targets.iter().zip(&row.pairs).zip(waived.iter());
            for (((shown, pair), waived), (target, store)) in sides.zip(seen.targets.iter_mut().zip(&stores.targets)) {
                if source.is_some()
                    && let Some(reason) = store.refuses(&row.key)
                {
                    target.unholdable += 1;
                    target.first_unholdable.get_or_insert_with(|| (row.key.clone(), reason));
                    continue;
                }
                let shown = shown.as_ref().map(|entry| &entry.token);
                let pair = pair.as_ref().map(|row| row.pair.paired(*waived));
                read |= add(target, decide(source, shown, pair), source.map_or(0, |token| token.size), dataset.extra);
            }
            if read {
                seen.source_requests += source.map_or(0, |token| parts_of(token.size));
            }
        }
        if problems > PROBLEMS_SHOWN as u64 {
            seen.blocks
                .push(format!("... and {} more records that cannot be copied", problems - PROBLEMS_SHOWN as u64));
        }
        seen.complete = true;
        seen.bytes.get_or_insert(0);
        let pages = |records: u64| records.div_ceil(KEYS_PER_PAGE).max(1);
        seen.source_requests += pages(*seen.records.get_or_insert(0));
        for target in &mut seen.targets {
            target.requests += pages(target.skip + target.replace + target.compare + target.delete + target.extra);
        }
        Ok(())
    }

    /// Draws conclusions from the counts: refusals, and the least time that limits allow.
    fn judge(&self, dataset: &Dataset, seen: &mut DatasetPreview) {
        for target in &seen.targets {
            if target.extra > 0 && dataset.extra == Extra::Refuse {
                seen.blocks.push(format!(
                    "{} records only {} has, and the plan says extra = \"refuse\"",
                    target.extra, target.target
                ));
            }
            let held = target.skip + target.replace + target.compare + target.delete;
            let allowed = u128::from(held) * u128::from(dataset.delete_share_permille);
            if u128::from(target.delete) * 1000 > allowed {
                seen.blocks.push(format!(
                    "{} of {held} records would be deleted at {}, more than delete_share allows ({}%): look at the \
                     source; if that is what you want, run with --force",
                    target.delete,
                    target.target,
                    f64::from(dataset.delete_share_permille) / 10.0
                ));
            }
            if let Some((key, reason)) = &target.first_unholdable {
                seen.blocks.push(format!(
                    "{} cannot be held by {} under their keys, such as {}: {reason}; exclude them, or choose a target \
                     that can hold them",
                    if target.unholdable == 1 {
                        "1 record".to_owned()
                    } else {
                        format!("{} records", target.unholdable)
                    },
                    target.target,
                    Redactor::new(self.plan.redact_keys).key(key)
                ));
            }
            if target.proof.is_none() {
                seen.notes.push(format!("{} was not probed: what it can do is not known", target.target));
            }
        }
        let read = seen.targets.iter().map(|target| target.bytes).max().unwrap_or(0);
        let mut seconds = self.seconds(&dataset.source.site, read, seen.source_requests);
        for (target, described) in dataset.targets.iter().zip(&seen.targets) {
            seconds = seconds.max(self.seconds(&target.at.site, described.bytes, described.requests));
        }
        seen.seconds_min = seconds;
    }

    fn seconds(&self, site: &migrate_core::model::SiteName, bytes: u64, requests: u64) -> Option<u64> {
        let limits = &self.plan.sites.get(site)?.limits;
        let by_bytes = limits.bandwidth.map(|bandwidth| bytes.div_ceil(bandwidth.max(1)));
        let by_requests = limits.requests_per_second.map(|rate| requests.div_ceil(u64::from(rate.max(1))));
        by_bytes.max(by_requests)
    }
}

/// Adds one record's change; returns whether the source must be read for it.
fn add(target: &mut TargetPreview, change: Change, size: u64, extra: Extra) -> bool {
    match change {
        Change::Create => target.create += 1,
        Change::Replace => target.replace += 1,
        Change::Look | Change::Review => {
            target.compare += 1;
            target.requests += 1;
        }
        Change::Same => target.skip += 1,
        Change::Delete => target.delete += 1,
        Change::Extra if extra == Extra::Delete => target.delete += 1,
        Change::Extra | Change::Stray => target.extra += 1,
        Change::Absent | Change::Gone => {}
    }
    let writes = matches!(change, Change::Create | Change::Replace | Change::Look);
    if writes {
        target.bytes += size;
        // An upload in parts takes three requests more: to look for it, to begin it, to finish it.
        let parts = parts_of(size);
        target.requests += if parts > 1 { parts + 3 } else { 1 };
    }
    if matches!(change, Change::Delete) {
        target.requests += 1;
    }
    writes
}

/// Requests that reading or writing an object takes if the source's part size is unknown.
fn parts_of(size: u64) -> u64 {
    layout::part_size(size, None, None, migrate_store::PartRules::S3).map_or(1, |part| size.div_ceil(part))
}

fn target_of(store: &dyn migrate_store::ObjectStore) -> TargetPreview {
    let known = store.capabilities();
    let probed = known != migrate_store::Capabilities::unproved() && known != DatasetStores::ASSUMED;
    TargetPreview {
        target: store.location().to_owned(),
        proof: probed.then_some(known.proof),
        conditions: probed.then(|| known.conditions()),
        lacks: if probed { lacks(&known) } else { Vec::new() },
        ..TargetPreview::default()
    }
}
