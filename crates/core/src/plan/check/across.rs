//! Checks that need all datasets together: overlapping places, order, parts, routes and residency.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{DatasetName, SiteName},
    plan::{
        check::context::{Built, Context},
        checked::Policy,
        diagnostics::{Spot, closest, did_you_mean},
        graph,
        location::{Place, Scheme},
        overlaps::Overlaps,
        policy,
        site::Site,
    },
};

/// A dataset with the real places of its data.
struct Placed<'b, 't> {
    built: &'b Built<'t>,
    source: Place,
    targets: Vec<Place>,
}

/// Checks all datasets against each other.
pub(super) fn check(
    context: &mut Context<'_>,
    sites: &BTreeMap<SiteName, Site>,
    policies: &[Policy],
    after: &[Vec<usize>],
    built: &mut [Built<'_>],
) {
    let place = |location| Some(Place::of(location, sites.get(&location.site)?, context.directory));
    let placed: Vec<Placed<'_, '_>> = built
        .iter()
        .filter_map(|built| {
            let targets = built.dataset.targets.iter().map(|target| place(&target.at)).collect::<Option<_>>()?;
            Some(Placed { built, source: place(&built.dataset.source)?, targets })
        })
        .collect();
    check_own_places(context, &placed);
    let map = Map::of(&placed);
    check_pairs(context, after, &placed, &map);
    check_parts(context, after, &placed);
    check_routes(context, sites, &placed, &map);
    let shared: Vec<_> = (0..placed.len()).map(|index| shares_source(index, &placed, &map)).collect();
    drop(placed);
    // Without a place some dataset has none of these; the plan is wrong then.
    for (built, shared) in built.iter_mut().zip(shared) {
        built.dataset.source_shared_with = shared;
    }
    check_residency(context, sites, policies, built);
}

/// Where the data of all datasets lies.
struct Map {
    sources: Overlaps,
    targets: Overlaps,
}

impl Map {
    fn of(placed: &[Placed<'_, '_>]) -> Self {
        let (mut sources, mut targets) = (Overlaps::default(), Overlaps::default());
        for (index, dataset) in placed.iter().enumerate() {
            sources.add(&dataset.source, index);
            dataset.targets.iter().for_each(|target| targets.add(target, index));
        }
        Self { sources, targets }
    }

    /// The first dataset but `but` that reads or writes where a place lies.
    fn first_at(&self, place: &Place, but: Option<usize>) -> Option<usize> {
        let (sources, targets) = (self.sources.first_with(place, but), self.targets.first_with(place, but));
        sources.into_iter().chain(targets).min()
    }
}

/// Checks each two datasets of which one writes where the other reads or writes.
fn check_pairs(context: &mut Context<'_>, after: &[Vec<usize>], placed: &[Placed<'_, '_>], map: &Map) {
    for (index, writer) in placed.iter().enumerate() {
        let at = |map: &Overlaps| writer.targets.iter().flat_map(|target| map.with(target)).collect::<BTreeSet<_>>();
        for reader in at(&map.sources).into_iter().filter(|other| *other != index) {
            check_pair(context, after, writer, &placed[reader]);
        }
        for other in at(&map.targets).into_iter().filter(|other| *other < index) {
            check_same_target(context, &placed[other], writer);
        }
    }
}

/// The first other dataset that reads or writes where this one's source lies: what is written there for one of them
/// would be written over what the other one leads or copies.
fn shares_source(index: usize, placed: &[Placed<'_, '_>], map: &Map) -> Option<DatasetName> {
    let other = map.first_at(&placed[index].source, Some(index))?;
    Some(placed[other].built.dataset.name.clone())
}

/// A dataset must not write to the place that it reads, nor twice to one place.
fn check_own_places(context: &mut Context<'_>, placed: &[Placed<'_, '_>]) {
    for Placed { built, source, targets } in placed {
        for (index, (target, spot)) in targets.iter().zip(&built.targets).enumerate() {
            if target.overlaps(source) {
                let mend = "choose a target outside the source".to_owned();
                context.report.at(spot, "this target is, contains or lies in the dataset's own source", mend);
            }
            if targets[..index].iter().any(|earlier| earlier.overlaps(target)) {
                let mend = "give each target a place of its own".to_owned();
                context.report.at(spot, "two targets of this dataset are, or overlap in, one place", mend);
            }
        }
    }
}

/// If one dataset reads what another one writes, the writing comes first: `reader` must come after `writer`.
fn check_pair(context: &mut Context<'_>, after: &[Vec<usize>], writer: &Placed<'_, '_>, reader: &Placed<'_, '_>) {
    let meet = writer.targets.iter().any(|target| target.overlaps(&reader.source));
    let (first, then) = (writer.built.phase, reader.built.phase);
    if !meet {
        return;
    }
    if graph::comes_after(after, then, first) {
        return check_reads_from_lead(context, writer, reader);
    }
    let name = |built: &Built<'_>| built.dataset.name.to_string();
    let phase = |index: usize| context.file.phase[index].name.as_str();
    let message =
        format!("{:?} reads what {:?} writes, and does not come after it", name(reader.built), name(writer.built));
    let mend = if first == then {
        format!("move {:?} into a phase with after = [{:?}]", name(reader.built), phase(first))
    } else if graph::comes_after(after, first, then) {
        format!(
            "choose another target for {:?}: it would overwrite what {:?} copied from",
            name(writer.built),
            name(reader.built)
        )
    } else {
        format!("add {:?} to \"after\" of phase {:?}", phase(first), phase(then))
    };
    context.report.at(&reader.built.spot.key("source"), message, mend);
}

/// Once the lead of `writer` has moved, its other targets only follow it: a dataset that reads from one of them misses
/// what was written since the last run.
fn check_reads_from_lead(context: &mut Context<'_>, writer: &Placed<'_, '_>, reader: &Placed<'_, '_>) {
    let dataset = &writer.built.dataset;
    let mut leads = dataset.lead.iter().chain(dataset.targets.iter().map(|target| &target.at.site));
    let (Some(_), Some(lead)) = (&dataset.cutover, leads.next()) else { return };
    for (target, place) in dataset.targets.iter().zip(&writer.targets) {
        if target.at.site != *lead && target.filter.is_none() && place.overlaps(&reader.source) {
            let (name, site) = (dataset.name.as_str(), &target.at.site);
            let message = format!("it would read from {site}, which only follows when {lead} leads {name:?}");
            context.report.at(
                &reader.built.spot.key("source"),
                message,
                format!("read from {lead}, which leads by then"),
            );
        }
    }
}

fn check_same_target(context: &mut Context<'_>, first: &Placed<'_, '_>, second: &Placed<'_, '_>) {
    for (target, spot) in second.targets.iter().zip(&second.built.targets) {
        if first.targets.iter().any(|other| other.overlaps(target)) {
            let message = format!("dataset {:?} writes here too", first.built.dataset.name.as_str());
            context.report.at(spot, message, "give each dataset a place of its own".to_owned());
        }
    }
}

/// A part comes after its parent and begins where the parent went.
fn check_parts(context: &mut Context<'_>, after: &[Vec<usize>], placed: &[Placed<'_, '_>]) {
    let written: BTreeSet<&str> =
        context.file.phase.iter().flat_map(|phase| &phase.dataset).map(|dataset| dataset.name.as_str()).collect();
    let by_name: BTreeMap<_, _> = placed.iter().rev().map(|one| (&one.built.dataset.name, one)).collect();
    for part in placed {
        let spot = part.built.spot.key("part_of");
        let Some(parent_name) = &part.built.dataset.part_of else { continue };
        if !written.contains(parent_name.as_str()) {
            if !context.report.names_are_unread() {
                let own = part.built.dataset.name.as_str();
                let others: Vec<&str> = written.iter().copied().filter(|name| *name != own).collect();
                let mend = did_you_mean(parent_name.as_str(), &others, "other dataset");
                context.report.at(&spot, format!("there is no dataset {:?}", parent_name.as_str()), mend);
            }
            continue;
        }
        let Some(parent) = by_name.get(parent_name) else { continue };
        if !graph::comes_after(after, part.built.phase, parent.built.phase) {
            let phase = &context.file.phase[parent.built.phase].name;
            let mend = format!("move it into a phase with after = [{phase:?}]");
            context.report.at(&spot, "a part moves on after its parent has moved", mend);
        } else if !parent.targets.iter().any(|target| target.overlaps(&part.source)) {
            let all: Vec<String> = parent.built.dataset.targets.iter().map(|target| target.at.to_string()).collect();
            let message = format!("a part of {:?} begins where that one went", parent_name.as_str());
            context.report.at(&part.built.spot.key("source"), message, format!("use (a part of) {}", all.join(" or ")));
        }
    }
}

/// A route must lie in no dataset's data, and must not be another dataset's route, unless it is an item of a table.
fn check_routes(context: &mut Context<'_>, sites: &BTreeMap<SiteName, Site>, placed: &[Placed<'_, '_>], map: &Map) {
    let mut routes: BTreeMap<String, &str> = BTreeMap::new();
    for dataset in placed {
        let Some(cutover) = &dataset.built.dataset.cutover else { continue };
        let Some(site) = sites.get(&cutover.route.site) else { continue };
        let place = Place::of_route(&cutover.route, site, context.directory);
        let spot = dataset.built.spot.key("cutover").key("route");
        if let Some(holder) = map.first_at(&place, None) {
            let holder = placed[holder].built.dataset.name.as_str();
            let message = format!("the route lies in the data of dataset {holder:?}");
            context.report.at(&spot, message, "keep routes in a place of their own".to_owned());
        }
        let shared = routes.get(&place.trail()).filter(|_| cutover.route.scheme != Scheme::DynamoDb);
        if let Some(other) = shared {
            let mend = "give each dataset a route of its own".to_owned();
            context.report.at(&spot, format!("this is the route of dataset {other:?}"), mend);
        }
        routes.entry(place.trail()).or_insert(dataset.built.dataset.name.as_str());
    }
}

/// Policies: a forbidden target is an error; a rule for single records is noted as unsupported.
fn check_residency(
    context: &mut Context<'_>,
    sites: &BTreeMap<SiteName, Site>,
    policies: &[Policy],
    built: &mut [Built<'_>],
) {
    for Built { spot, targets, dataset, .. } in built {
        let class = dataset.class.as_deref();
        near_class(context, spot, class, policies);
        for (target, at) in dataset.targets.iter().zip(targets.iter()) {
            let forbidden = match policy::judge(policies, sites, class, &target.at.site) {
                Ok(()) => continue,
                Err(ref refusal @ policy::Refusal::NoJurisdiction { ref site, .. }) => {
                    let site_spot = context.root.key("sites").key(site);
                    let mend = format!("add jurisdiction = \"...\" to [sites.{site}]");
                    context.lacks(&site_spot, &["jurisdiction"], at, refusal.to_string(), mend);
                    continue;
                }
                Err(refusal) => refusal.to_string(),
            };
            context.report.forbidden(at, forbidden, "choose another target, or change the policy");
        }
        // The engine moves no lead of objects that are routed.
        let is_refused = dataset.cutover.is_some() && !dataset.is_table();
        for (index, policy) in policies.iter().enumerate().filter(|_| is_refused) {
            let mut sites = dataset.targets.iter().map(|target| sites.get(&target.at.site));
            if sites.any(|site| policy::judges_records(policy, dataset, site)) {
                let at = context.root.key("policy").index(index).key("where");
                dataset.unsupported.push(context.not_built(&at, "policy.where", true));
            }
        }
    }
}

/// A class without a policy may be on purpose. A class that is nearly a policy's is a typo, and its records would
/// go unprotected.
fn near_class(context: &mut Context<'_>, spot: &Spot<'_>, class: Option<&str>, policies: &[Policy]) {
    let Some(class) = class.filter(|class| policies.iter().all(|policy| policy.class != *class)) else { return };
    if let Some(meant) = closest(class, policies.iter().map(|policy| policy.class.as_str())) {
        let message = format!("no policy speaks of class {class:?}");
        context.report.at(&spot.key("class"), message, format!("did you mean {meant:?}?"));
    }
}
