//! Checks that need all datasets together: overlapping places, order, parts, routes and residency.

use std::collections::BTreeMap;

use crate::{
    model::{DatasetName, SiteName},
    plan::{
        check::context::{Built, Context},
        checked::Policy,
        diagnostics::{Spot, closest, did_you_mean},
        graph,
        location::{Place, Scheme},
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
    for (index, dataset) in placed.iter().enumerate() {
        for other in &placed[..index] {
            check_pair(context, after, other, dataset);
            check_pair(context, after, dataset, other);
            check_same_target(context, other, dataset);
        }
    }
    check_parts(context, after, &placed);
    check_routes(context, sites, &placed);
    let shared: Vec<_> = placed.iter().map(|dataset| shares_source(dataset, &placed)).collect();
    drop(placed);
    // Without a place some dataset has none of these; the plan is wrong then.
    for (built, shared) in built.iter_mut().zip(shared) {
        built.dataset.source_shared_with = shared;
    }
    check_residency(context, sites, policies, built);
}

/// The first other dataset that reads or writes where this one's source lies: what is written there for one of them
/// would be written over what the other one leads or copies.
fn shares_source(dataset: &Placed<'_, '_>, all: &[Placed<'_, '_>]) -> Option<DatasetName> {
    let name = |of: &Placed<'_, '_>| of.built.dataset.name.clone();
    let is_there = |other: &&Placed<'_, '_>| {
        let mut places = std::iter::once(&other.source).chain(&other.targets);
        name(other) != name(dataset) && places.any(|place| place.overlaps(&dataset.source))
    };
    all.iter().find(is_there).map(name)
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
    let written: Vec<&str> = context.file.phase.iter().flat_map(|p| &p.dataset).map(|d| d.name.as_str()).collect();
    for part in placed {
        let spot = part.built.spot.key("part_of");
        let Some(parent_name) = &part.built.dataset.part_of else { continue };
        if !written.contains(&parent_name.as_str()) {
            if !context.report.names_are_unread() {
                let own = part.built.dataset.name.as_str();
                let others: Vec<&str> = written.iter().copied().filter(|name| *name != own).collect();
                let mend = did_you_mean(parent_name.as_str(), &others, "other dataset");
                context.report.at(&spot, format!("there is no dataset {:?}", parent_name.as_str()), mend);
            }
            continue;
        }
        let Some(parent) = placed.iter().find(|parent| parent.built.dataset.name == *parent_name) else { continue };
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
fn check_routes(context: &mut Context<'_>, sites: &BTreeMap<SiteName, Site>, placed: &[Placed<'_, '_>]) {
    let mut routes: Vec<(Place, &str)> = Vec::new();
    for dataset in placed {
        let Some(cutover) = &dataset.built.dataset.cutover else { continue };
        let Some(site) = sites.get(&cutover.route.site) else { continue };
        let place = Place::of_route(&cutover.route, site, context.directory);
        let spot = dataset.built.spot.key("cutover").key("route");
        let holder =
            placed.iter().find(|data| data.source.overlaps(&place) || data.targets.iter().any(|t| t.overlaps(&place)));
        if let Some(holder) = holder {
            let message = format!("the route lies in the data of dataset {:?}", holder.built.dataset.name.as_str());
            context.report.at(&spot, message, "keep routes in a place of their own".to_owned());
        }
        let shared = routes.iter().find(|(other, _)| cutover.route.scheme != Scheme::DynamoDb && *other == place);
        if let Some((_, other)) = shared {
            let mend = "give each dataset a route of its own".to_owned();
            context.report.at(&spot, format!("this is the route of dataset {other:?}"), mend);
        }
        routes.push((place, dataset.built.dataset.name.as_str()));
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
            let mend = match policy::judge(policies, sites, class, &target.at.site) {
                Ok(()) => continue,
                Err(ref refusal @ policy::Refusal::NoJurisdiction { ref site, .. }) => {
                    let site_spot = context.root.key("sites").key(site);
                    let mend = format!("add jurisdiction = \"...\" to [sites.{site}]");
                    context.lacks(&site_spot, &["jurisdiction"], at, refusal.to_string(), mend);
                    continue;
                }
                Err(refusal) => (refusal.to_string(), "choose another target, or change the policy".to_owned()),
            };
            context.report.at(at, mend.0, mend.1);
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
