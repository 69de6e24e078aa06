//! The plan as a whole: its policies, its phases and their order.

use std::{collections::BTreeMap, path::Path};

use super::{
    across,
    context::{Built, Context},
    datasets, expression, sites,
};
use crate::{
    expression::Subject,
    model::{PhaseName, PlanName},
    plan::{
        checked::{Plan, Policy},
        dataset::Phase,
        diagnostics::{Report, Spot, did_you_mean},
        graph,
        lines::Lines,
        source::Node,
        syntax::{self, PlanFile},
    },
};

/// Checks the meaning of a plan. Problems go into `report`; there is a plan only without problems.
pub(in crate::plan) fn check(
    text: &str,
    path: &Path,
    tree: &Node,
    file: &PlanFile,
    report: &mut Report,
) -> Option<Plan> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let lines = &Lines::of(text);
    let mut context = Context { lines, root: Spot::root(tree), file, directory, report };
    let name = context.name::<PlanName>(&context.root.key("name"), &file.name);
    let sites = sites::check(&mut context);
    let policies = policies(&mut context);
    let order = phase_order(&mut context);
    let mut built = datasets::check(&mut context, &sites);
    across::check(&mut context, &sites, &policies, &order.after, &mut built);

    let mut phases: Vec<Option<Phase>> = file.phase.iter().map(phase).collect();
    for Built { phase, dataset, .. } in built {
        if let Some(phase) = &mut phases[phase] {
            phase.datasets.push(dataset);
        }
    }
    Some(Plan {
        name: name?,
        file: path.to_owned(),
        directory: directory.to_owned(),
        redact_keys: file.redact_keys.unwrap_or(false),
        sites,
        policies,
        phases: order.order?.into_iter().filter_map(|index| phases[index].take()).collect(),
    })
}

fn phase(phase: &syntax::Phase) -> Option<Phase> {
    let after = phase.after.iter().map(|name| PhaseName::new(name).ok()).collect::<Option<_>>()?;
    Some(Phase { name: PhaseName::new(&phase.name).ok()?, after, datasets: Vec::new() })
}

/// The policies. A class that no dataset has is most likely a typo, and would protect nothing.
fn policies(context: &mut Context<'_>) -> Vec<Policy> {
    let datasets = || context.file.phase.iter().flat_map(|phase| &phase.dataset);
    let mut classes: Vec<&str> = datasets().filter_map(|dataset| dataset.class.as_deref()).collect();
    classes.sort_unstable();
    classes.dedup();
    let mut policies = Vec::new();
    for (index, policy) in context.file.policy.iter().enumerate() {
        let spot = context.root.key("policy").index(index);
        let misread = context.report.is_unread_below("phase");
        if !classes.contains(&policy.class.as_str()) && !misread {
            let mend = did_you_mean(&policy.class, &classes, "dataset with a class");
            context.report.at(&spot.key("class"), format!("no dataset is of class {:?}", policy.class), mend);
        }
        let filter = policy.filter.as_ref();
        let filter = filter
            .map(|filter| expression::check(context, &spot.key("where"), filter, &[Subject::Item, Subject::Object]));
        for (at, jurisdiction) in policy.stays_in.iter().enumerate() {
            if jurisdiction.trim().is_empty() {
                let mend = "name a jurisdiction, such as \"SG\"".to_owned();
                context.report.at(&spot.key("stays_in").index(at), "this must not be empty", mend);
            }
        }
        if context.report.is_unread_below(spot.path()) {
            continue;
        }
        // Without its expression a rule for some records would bind all of them.
        if filter == Some(None) {
            continue;
        }
        let stays_in = policy.stays_in.iter().cloned().collect();
        policies.push(Policy { class: policy.class.clone(), filter: filter.flatten(), stays_in });
    }
    policies
}

struct PhaseOrder {
    /// For each phase of the file, the phases that must come first.
    after: Vec<Vec<usize>>,
    /// `None` if there is a cycle.
    order: Option<Vec<usize>>,
}

fn phase_order(context: &mut Context<'_>) -> PhaseOrder {
    let phases = &context.file.phase;
    let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    let mut after = vec![Vec::new(); phases.len()];
    // The first phase of each name: later ones of the same do not replace it.
    let first_of_name: BTreeMap<&str, usize> = names.iter().enumerate().rev().map(|(at, name)| (*name, at)).collect();
    for (index, phase) in phases.iter().enumerate() {
        let spot = context.root.key("phase").index(index);
        context.name::<PhaseName>(&spot.key("name"), &phase.name);
        let first = first_of_name[phase.name.as_str()];
        if first < index {
            let first = context.root.key("phase").index(first).key("name");
            context.taken("phase", &phase.name, &spot.key("name"), &first);
        }
        for (place, before) in phase.after.iter().enumerate() {
            let spot = spot.key("after").index(place);
            if let Some(&found) = first_of_name.get(before.as_str()) {
                after[index].push(found);
            } else if !context.report.names_are_unread() {
                let others: Vec<&str> = names.iter().copied().filter(|name| *name != phase.name).collect();
                let mend = did_you_mean(before, &others, "other phase");
                context.report.at(&spot, format!("there is no phase {before:?}"), mend);
            }
        }
    }
    let order = graph::order(&after).map_err(|cycle| {
        let path: Vec<&str> = cycle.iter().map(|&phase| names[phase]).collect();
        let spot = context.root.key("phase").index(cycle[0]).key("after");
        let message = format!("phases wait for each other: {}", path.join(" → "));
        context.report.at(&spot, message, "take one of these names out of an \"after\"".to_owned());
    });
    PhaseOrder { after, order: order.ok() }
}
