//! Surveys the datasets of a plan, one after the other.

use std::path::Path;

use tokio::sync::mpsc;

use crate::{
    asked::{InFlightMax, asked},
    cutover::moves::NOTHING_COMPARED,
    error::EngineError,
    migration::Inspection,
    shutdown::cancellable,
    sites::{opening::DatasetStores, probed::lacks},
    star::Star,
    survey::{
        listed::{List, Listed},
        preview::{DatasetPreview, PhasePreview, Preview, TargetPreview, TotalPreview},
        total::Adding,
    },
};
use migrate_core::{
    lifecycle::{Goal, Lead, Lifecycle},
    model::DatasetName,
    plan::{Dataset, policy},
    report::Redactor,
    routing::Routing,
};
use migrate_store::{Capabilities, ErrorKind, ObjectStore};

/// What a survey is asked to do.
#[derive(Debug, Clone)]
pub struct SurveyOptions {
    /// Only these datasets; all if empty.
    pub datasets: Vec<DatasetName>,
    /// Whether to probe endpoints with a scratch key.
    pub probe: bool,
    /// The bounds of the survey.
    pub limits: InFlightMax,
}

/// A survey under way.
pub(super) struct Surveyor<'a> {
    pub(super) inspection: &'a Inspection<'a>,
    pub(super) options: &'a SurveyOptions,
    pub(super) list: List,
}

impl Inspection<'_> {
    /// Surveys the datasets asked for; writes nothing but the scratch keys of probes, and not even these without
    /// `probe`.
    ///
    /// # Errors
    ///
    /// If the survey itself failed. An error of one dataset (a missing bucket, say) blocks that dataset in the preview.
    pub async fn survey(&self, options: &SurveyOptions) -> Result<Preview, EngineError> {
        self.surveyed(options, List::default()).await
    }

    /// The same, and lists every record that a run would touch, in no order. It waits for who reads the list. The items
    /// of tables are not listed.
    ///
    /// # Errors
    ///
    /// As [`survey`](Self::survey).
    pub async fn survey_and_list(
        &self,
        options: &SurveyOptions,
        list: mpsc::Sender<Listed>,
    ) -> Result<Preview, EngineError> {
        self.surveyed(options, List(Some(list))).await
    }

    async fn surveyed(&self, options: &SurveyOptions, list: List) -> Result<Preview, EngineError> {
        let Self { plan, shutdown, .. } = self;
        let (phases, total) = (Vec::new(), TotalPreview::default());
        let mut preview = Preview { plan: plan.name.clone(), phases, total, runnable: true, stopped: false };
        self.adopt_places().await?;
        let surveyor = Surveyor { inspection: self, options, list };
        let mut adding = Adding::default();
        for phase in &plan.phases {
            let mut datasets = Vec::new();
            for dataset in asked(plan, std::slice::from_ref(&phase.name), &options.datasets) {
                let seen = surveyor.dataset(dataset).await?;
                preview.runnable &= seen.blocks.is_empty();
                adding.add(dataset, &seen);
                datasets.push(seen);
            }
            preview.phases.push(PhasePreview { name: phase.name.clone(), after: phase.after.clone(), datasets });
        }
        preview.total = adding.sum(|site, bytes, requests| surveyor.seconds(site, bytes, requests));
        preview.stopped = shutdown.is_draining();
        preview.runnable &= !preview.stopped;
        Ok(preview)
    }
}

impl Surveyor<'_> {
    async fn dataset(&self, dataset: &Dataset) -> Result<DatasetPreview, EngineError> {
        let shutdown = &self.inspection.shutdown;
        let mut seen = DatasetPreview::unseen(dataset);
        if shutdown.is_draining() {
            return Ok(seen);
        }
        tell_unsupported(&self.inspection.plan.file, dataset, &mut seen);
        let lifecycle = self.inspection.lifecycle(&dataset.name).await?;
        seen.state = lifecycle.state().name();
        self.tell_lead(dataset, &lifecycle, &mut seen);
        if Star::of(self.inspection.plan, dataset, &lifecycle)?.followers.is_empty() {
            return Ok(seen);
        }
        let waits = self.fills(dataset).await?;
        if !waits.is_empty() {
            seen.notes.push(format!(
                "its source is filled by {}, which comes first: what it will hold is not known yet",
                waits.join(" and ")
            ));
        }
        let looked = cancellable(shutdown, self.look(dataset, &mut seen)).await;
        if seen.records.is_none() {
            // If the source was not counted, the targets were not either.
            seen.targets.clear();
        }
        if shutdown.is_draining() {
            // The survey was stopped, so an error or a block may be due to that.
            return Ok(seen);
        }
        match looked {
            // The datasets that come first make the bucket or directory.
            Err(EngineError::Store(error)) if error.kind() == ErrorKind::NoContainer && !waits.is_empty() => {}
            // Only errors of the ledger or of the program concern all datasets.
            Err(error @ (EngineError::Ledger(_) | EngineError::Panicked(_) | EngineError::Illegal(_))) => {
                return Err(error);
            }
            // Applications use the lead: what follows it may be down, and a run goes on without it.
            Err(error) if lifecycle.moved_to().is_some() => seen.notes.push(self.with_mend(&error)),
            Err(error) => seen.blocks.push(self.with_mend(&error)),
            Ok(()) => {}
        }
        if seen.records == Some(0) && seen.blocks.is_empty() && waits.is_empty() {
            seen.nothing_to_compare = !dataset.accept_empty;
            let accepted = "0 records: nothing is there to compare, as accept_empty allows";
            seen.notes.push(if dataset.accept_empty { accepted } else { NOTHING_COMPARED }.to_owned());
        }
        // The route of a lead that has moved is asked by the run that claims what follows it.
        if lifecycle.moved_to().is_none()
            && let Err(error) = self.look_at_route(dataset, &mut seen).await
        {
            seen.blocks.push(self.with_mend(&error));
        }
        Ok(seen)
    }

    /// Notes which place leads, and which does not follow it.
    fn tell_lead(&self, dataset: &Dataset, lifecycle: &Lifecycle, seen: &mut DatasetPreview) {
        let stays = policy::stays(self.inspection.plan, dataset);
        if let Some(Lead { lead, epoch }) = lifecycle.moved_to() {
            seen.notes
                .push(format!("{lead} leads it since epoch {epoch}: a run brings what is written there to the others"));
        }
        if let Some(why) = stays.filter(|_| dataset.cutover.is_some() && dataset.follow_back) {
            seen.notes.push(format!("its source does not follow a new lead: {why}"));
        }
    }

    pub(super) fn with_mend(&self, error: &EngineError) -> String {
        let text = error.shown(Redactor::new(self.inspection.plan.redact_keys));
        match error.mend() {
            Some(mend) => format!("{text}; {mend}"),
            None => text,
        }
    }

    /// The datasets that fill this one's source and are not proved yet.
    pub(super) async fn fills(&self, dataset: &Dataset) -> Result<Vec<String>, EngineError> {
        let mut open = Vec::new();
        for first in self.inspection.plan.filled_by(dataset) {
            if !self.inspection.lifecycle(first).await?.reached(Goal::Verified) {
                open.push(first.to_string());
            }
        }
        Ok(open)
    }

    /// Opens both sides, counts, and judges what was counted.
    async fn look(&self, dataset: &Dataset, seen: &mut DatasetPreview) -> Result<(), EngineError> {
        if dataset.unsupported.iter().any(|key| !key.cutover_only) {
            return Ok(());
        }
        let Inspection { plan, sites, ledger, sink, .. } = self.inspection;
        let known = self.inspection.begun(dataset).await?;
        let star = Star::of(plan, dataset, &self.inspection.lifecycle(&dataset.name).await?)?;
        seen.source = dataset.location(star.lead).to_string();
        if dataset.is_table() {
            return self.look_at_tables(dataset, star, seen).await;
        }
        let stores = sites.open_to_look(plan, dataset, star, ledger.as_deref(), self.options.probe, sink).await?;
        seen.targets = stores.star.followers.iter().map(|place| target_of(&**stores.at(*place))).collect();
        tell_routing(&stores.routing, seen);
        self.count(dataset, &stores, known, seen).await?;
        if seen.complete {
            self.judge(dataset, seen);
        }
        Ok(())
    }
}

/// Blocks a dataset whose plan asks for what this build cannot do; what it lacks for the cutover alone is a note.
fn tell_unsupported(plan: &Path, dataset: &Dataset, seen: &mut DatasetPreview) {
    for key in &dataset.unsupported {
        let at = &key.problem;
        let told = format!("{}:{}:{}: {}", plan.display(), at.line, at.column, at.message);
        if key.cutover_only {
            seen.notes.push(format!("{told}; only the cutover needs it: run with --until verified"));
        } else {
            seen.blocks.push(told);
        }
    }
}

/// Says what a routing asks of applications, and of a run.
fn tell_routing(routing: &Routing, seen: &mut DatasetPreview) {
    // An object's key is what applications know of it.
    let beyond: Vec<_> = routing.beyond_key(&["key"]).into_iter().collect();
    if !beyond.is_empty() {
        seen.notes.push(format!(
            "an application that knows only a key cannot tell which target has a record: the where of the targets also \
             asks for {}",
            beyond.join(" and ")
        ));
    }
    let looks: Vec<_> = ["metadata", "tags"].into_iter().filter(|name| routing.needs().contains(*name)).collect();
    if !looks.is_empty() {
        seen.notes.push(format!(
            "where an object belongs depends on its {}: each object that is not copied yet is looked at, {}",
            looks.join(" and "),
            if looks.contains(&"tags") || routing.has_policies() {
                "and in every run each one again"
            } else {
                "and in every run those that belong to no target"
            }
        ));
    }
}

fn target_of(store: &dyn ObjectStore) -> TargetPreview {
    let known = store.capabilities();
    let probed = known != Capabilities::unproved() && known != DatasetStores::ASSUMED;
    TargetPreview {
        target: store.location().to_owned(),
        proof: probed.then_some(known.proof),
        conditions: probed.then(|| known.conditions()),
        lacks: if probed { lacks(&known) } else { Vec::new() },
        ..TargetPreview::default()
    }
}
