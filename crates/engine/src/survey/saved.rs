//! Reads what a saved plan is bound to: when it is saved, and again before it is carried out.
//!
//! Both looks use this code, so any difference between them is a real change. Endpoints are probed
//! with a scratch key, as in a survey, unless the ledger knows them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    asked::asked,
    cutover::moves::Move,
    error::EngineError,
    meaning::meaning_of,
    migration::Inspection,
    rules::rules_of,
    shutdown::cancellable,
    sites::{places::Present, tables::TablesOf},
    star::Star,
    survey::bindings::{
        Bindings, CutoverBinding, DatasetBinding, LeadBinding, PhaseBinding, PlaceBinding, PlaceRole, PolicyBinding,
        RouteBinding, SiteBinding,
    },
};
use migrate_core::{
    lifecycle::{Lead, Moving},
    model::{DatasetName, Epoch, PlaceIndex, SiteName},
    plan::{Dataset, Plan, Policy},
};

impl Inspection<'_> {
    /// Reads the bindings of a saved plan for these datasets (all if empty); writes nothing but the scratch keys of
    /// probes.
    ///
    /// # Errors
    ///
    /// If a look fails. A missing place is an answer and no error.
    pub async fn bindings(&self, datasets: &[DatasetName]) -> Result<Bindings, EngineError> {
        let Self { plan, shutdown, .. } = self;
        self.adopt_places().await?;
        let work = async {
            let mut bound = Vec::new();
            for dataset in asked(plan, &[], datasets) {
                if shutdown.is_draining() {
                    return Err(EngineError::Cancelled);
                }
                bound.push(self.binding(dataset).await?);
            }
            Ok(bound)
        };
        let bound = cancellable(shutdown, Box::pin(work)).await?;
        Ok(Bindings {
            plan: plan.name.clone(),
            phases: phases(plan, datasets),
            sites: used_sites(plan, datasets),
            policies: policies(plan, datasets),
            datasets: bound,
        })
    }
}

fn phases(plan: &Plan, datasets: &[DatasetName]) -> Vec<PhaseBinding> {
    let used = |name: &DatasetName| datasets.is_empty() || datasets.contains(name);
    let phases = plan.phases.iter().filter(|phase| phase.datasets.iter().any(|dataset| used(&dataset.name)));
    phases
        .map(|phase| PhaseBinding {
            name: phase.name.clone(),
            after: phase.after.iter().cloned().collect(),
            // All datasets of a phase move together, also those that were not asked for.
            datasets: phase.datasets.iter().map(|dataset| dataset.name.clone()).collect(),
        })
        .collect()
}

fn used_sites(plan: &Plan, datasets: &[DatasetName]) -> BTreeMap<SiteName, SiteBinding> {
    let mut used = BTreeSet::new();
    for dataset in asked(plan, &[], datasets) {
        used.insert(&dataset.source.site);
        used.extend(dataset.targets.iter().map(|target| &target.at.site));
        used.extend(dataset.cutover.iter().map(|cutover| &cutover.route.site));
    }
    let site = |name: &SiteName| {
        let site = plan.sites.get(name)?;
        let (jurisdiction, owner) = (site.jurisdiction.clone(), site.expected_bucket_owner.clone());
        Some((name.clone(), SiteBinding { jurisdiction, expected_bucket_owner: owner }))
    };
    used.into_iter().filter_map(site).collect()
}

fn policies(plan: &Plan, datasets: &[DatasetName]) -> BTreeMap<String, Vec<PolicyBinding>> {
    let rule = |policy: &Policy| PolicyBinding {
        stays_in: policy.stays_in.clone(),
        r#where: policy.filter.as_ref().map(|filter| filter.text().to_owned()),
    };
    let of = |class: &String| plan.policies.iter().filter(|policy| policy.class == *class).map(rule).collect();
    let classes = asked(plan, &[], datasets).filter_map(|dataset| dataset.class.as_ref());
    classes.map(|class| (class.clone(), of(class))).collect()
}

impl Inspection<'_> {
    async fn binding(&self, dataset: &Dataset) -> Result<DatasetBinding, EngineError> {
        let lead = self.bound_lead(&dataset.name).await?;
        let what = Move::of(dataset);
        let mut bound = DatasetBinding {
            name: dataset.name.clone(),
            meaning: meaning_of(self.plan, dataset),
            rules: rules_of(dataset),
            cutover: what.as_ref().map(cutover),
            lead,
            route: None,
            places: Vec::new(),
        };
        // A dataset that this build cannot carry out may not open; the run refuses it.
        if dataset.unsupported.iter().any(|key| !key.cutover_only) {
            return Ok(bound);
        }
        let moved = matches!(bound.lead, LeadBinding::Moved { .. });
        if !moved {
            bound.places = self.bound_places(dataset).await?;
        }
        if let Some(what) = what.filter(|_| dataset.unsupported.is_empty()) {
            let (route, folder) = self.bound_route(dataset, &what, moved).await?;
            bound.route = route;
            if !moved {
                bound.places.push(folder);
            }
        }
        Ok(bound)
    }

    async fn bound_lead(&self, dataset: &DatasetName) -> Result<LeadBinding, EngineError> {
        let lifecycle = self.lifecycle(dataset).await?;
        Ok(match (lifecycle.moving, lifecycle.leading.moved) {
            (Moving::Switching { lead, attempt, .. }, _) => LeadBinding::Switching { to: lead, attempt },
            (_, Some(to)) => LeadBinding::Moved { to },
            (_, None) => LeadBinding::Unmoved,
        })
    }

    /// The source and the targets.
    async fn bound_places(&self, dataset: &Dataset) -> Result<Vec<PlaceBinding>, EngineError> {
        if dataset.is_table() {
            return self.bound_tables(dataset).await;
        }
        let location = dataset.source.to_string();
        let found = self.sites.find(self.plan, dataset, &dataset.source).await?;
        let mut places = vec![place(PlaceRole::Source, location, found)];
        for target in &dataset.targets {
            let found = self.sites.find(self.plan, dataset, &target.at).await?;
            let mut place = place(PlaceRole::Target, target.at.to_string(), found);
            if place.is_there {
                let can = self.sites.capabilities_of(self.plan, dataset, target, self.ledger.as_deref()).await?;
                place.capabilities = Some(serde_json::to_value(can).expect("capabilities are plain data"));
            }
            places.push(place);
        }
        Ok(places)
    }

    /// The tables of the source and of the targets. A run describes each again, so what they can do is not bound.
    async fn bound_tables(&self, dataset: &Dataset) -> Result<Vec<PlaceBinding>, EngineError> {
        let star = Star::of(self.plan, dataset, &self.lifecycle(&dataset.name).await?)?;
        let stores = self.sites.open_tables(TablesOf { plan: self.plan, dataset, writes: None }, star).await?;
        let mut places = Vec::new();
        for (number, at) in dataset.places() {
            let role = if number == PlaceIndex::SOURCE { PlaceRole::Source } else { PlaceRole::Target };
            let is_there = stores.at(number).describe().await?.is_some();
            let found = is_there.then(|| Present { identity: self.sites.identity_of(self.plan, at) });
            places.push(place(role, at.to_string(), found));
        }
        Ok(places)
    }

    /// What the route shows, and its folder. Without the folder the route is unknown: the missing folder is
    /// the change then, unless the lead has moved, which makes it an error.
    async fn bound_route(
        &self,
        dataset: &Dataset,
        what: &Move,
        moved: bool,
    ) -> Result<(Option<RouteBinding>, PlaceBinding), EngineError> {
        let route = &what.cutover.route;
        let (folder, _) = route.folder_and_name();
        let found = self.sites.find(self.plan, dataset, &folder).await?;
        let mut place = place(PlaceRole::Route, folder.to_string(), found);
        if !place.is_there && !moved {
            return Ok((None, place));
        }
        let opened = self.open_route(dataset, route, true).await?;
        place.capabilities = Some(opened.found());
        let document = opened.read().await?.map(|shown| shown.document);
        let (shows, attempt) = match document {
            Some(document) => (Lead { epoch: document.epoch, lead: document.lead }, Some(document.attempt)),
            None => (Lead { epoch: Epoch(0), lead: what.from.clone() }, None),
        };
        Ok((Some(RouteBinding { location: route.to_string(), shows, attempt }), place))
    }
}

fn place(role: PlaceRole, location: String, found: Option<Present>) -> PlaceBinding {
    let is_there = found.is_some();
    PlaceBinding { role, location, is_there, identity: found.and_then(|found| found.identity), capabilities: None }
}

fn cutover(what: &Move) -> CutoverBinding {
    CutoverBinding {
        from: what.from.clone(),
        to: what.to.clone(),
        route: what.cutover.route.to_string(),
        fence: json!(what.cutover.fence).as_str().unwrap_or_default().to_owned(),
    }
}
