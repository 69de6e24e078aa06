//! Datasets, each by itself: locations, selection, partitions, limits, and unsupported keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    expression::Subject,
    model::{DatasetName, SiteName},
    plan::{
        check::{
            context::{Built, Context, reachable},
            cutover, expression, partitions,
        },
        choices::{Fence, Property, Retire, Versions},
        dataset::{Capacity, Dataset, DatasetLimits, Filter, Restore, Target, Unsupported},
        diagnostics::{Spot, did_you_mean},
        location::{Location, Scheme},
        select::Select,
        site::Site,
        syntax, values,
    },
};

/// The share of a target that may be deleted if the plan says nothing: 10 %.
const DELETE_SHARE_PERMILLE: u16 = 100;

/// S3's limits on the size of a part.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const PART_SIZE_MIN: u64 = 5 << 20;
const PART_SIZE_MAX: u64 = 5 << 30;

/// Checks every dataset; returns those that could be built, in the order of the text.
pub(super) fn check<'t>(context: &mut Context<'t>, sites: &BTreeMap<SiteName, Site>) -> Vec<Built<'t>> {
    let mut names: BTreeMap<&str, Spot<'t>> = BTreeMap::new();
    let mut built = Vec::new();
    for (phase, written) in context.file.phase.iter().enumerate() {
        for (index, dataset) in written.dataset.iter().enumerate() {
            let spot = context.root.key("phase").index(phase).key("dataset").index(index);
            let name = spot.key("name");
            match names.get(dataset.name.as_str()) {
                Some(first) => context.taken("dataset", &dataset.name, &name, first),
                None => _ = names.insert(&dataset.name, name),
            }
            built.extend(check_dataset(context, sites, phase, spot, dataset));
        }
    }
    built
}

fn check_dataset<'t>(
    context: &mut Context<'t>,
    sites: &BTreeMap<SiteName, Site>,
    phase: usize,
    spot: Spot<'t>,
    written: &syntax::Dataset,
) -> Option<Built<'t>> {
    let name = context.name::<DatasetName>(&spot.key("name"), &written.name);
    let source = location(context, sites, &spot.key("source"), &written.source);
    let (target_spots, mut targets) = check_targets(context, sites, &spot, written);
    if let Some(source) = &source {
        check_kinds(context, &spot, written, source, &targets, &target_spots);
    }
    let is_table = is_table(source.as_ref(), &targets);
    let subject = if is_table { Subject::Item } else { Subject::Object };
    partitions::check(context, &target_spots, written, &mut targets, subject);
    let filter = written.filter.as_ref();
    let filter = filter.and_then(|filter| expression::check(context, &spot.key("where"), filter, &[subject]));
    if let Some(source) = &source {
        partitions::check_directory(context, source, &spot, filter.as_ref(), &target_spots, &targets);
    }
    let lead = check_lead(context, &spot, written, &targets);
    let select = check_select(context, &spot, written);
    let limits = check_limits(context, &spot.key("limits"), written.limits.as_ref(), is_table);
    let share = written.delete_share.as_deref().map(values::share);
    let share = share.and_then(|share| context.take(&spot.key("delete_share"), share));
    if written.retire == Some(Retire::Delete) && written.cutover.is_none() {
        let message = "nothing is retired if no lead moves".to_owned();
        context.lacks(
            &spot,
            &["cutover"],
            &spot.key("retire"),
            message,
            "add [phase.dataset.cutover], or take retire out",
        );
    }
    let cutover = written.cutover.as_ref();
    let cutover = cutover.and_then(|cutover| cutover::check(context, sites, &spot, cutover, source.as_ref()));
    if is_table && written.cutover.is_some() {
        check_stream(context, &spot, written, source.as_ref(), &targets);
    }
    let unsupported = unsupported(context, &spot, &target_spots, written, source.as_ref(), &targets);
    let dataset = Dataset {
        name: name?,
        class: written.class.clone(),
        part_of: written.part_of.as_ref().and_then(|parent| DatasetName::new(parent).ok()),
        source: source?,
        targets,
        lead,
        select: select?,
        filter,
        versions: written.versions.unwrap_or_default(),
        extra: written.extra.unwrap_or_default(),
        waive: written.waive.clone(),
        verify: written.verify.unwrap_or_default(),
        retire: written.retire.unwrap_or_default(),
        live: written.live.unwrap_or(false),
        follow_back: written.follow_back.unwrap_or(true),
        source_shared_with: None,
        limits,
        restore: written.restore.as_ref().map(|r| Restore { days: r.days, tier: r.tier.unwrap_or_default() }),
        delete_share_permille: share.unwrap_or(DELETE_SHARE_PERMILLE),
        accept_empty: written.accept_empty.unwrap_or(false),
        cutover,
        unsupported,
    };
    Some(Built { spot, targets: target_spots, phase, dataset })
}

/// Reads a location, finds its site, and checks that the scheme can reach the site.
fn location(
    context: &mut Context<'_>,
    sites: &BTreeMap<SiteName, Site>,
    spot: &Spot<'_>,
    text: &str,
) -> Option<Location> {
    let location = context.take(spot, Location::parse(text))?;
    reachable(context, sites, spot, location.scheme, &location.site)?;
    Some(location)
}

/// The targets, short form first, each with its place; unreadable ones are left out.
fn check_targets<'t>(
    context: &mut Context<'t>,
    sites: &BTreeMap<SiteName, Site>,
    spot: &Spot<'t>,
    written: &syntax::Dataset,
) -> (Vec<Spot<'t>>, Vec<Target>) {
    if written.targets.is_empty() && written.target.is_empty() {
        let message = format!("dataset {:?} goes nowhere", written.name);
        context.lacks(spot, &["targets", "target"], spot, message, "add targets = [\"s3://SITE/BUCKET/PREFIX/\"]");
    }
    let (mut spots, mut targets) = (Vec::new(), Vec::new());
    for (index, text) in written.targets.iter().enumerate() {
        let at = spot.key("targets").index(index);
        if let Some(location) = location(context, sites, &at, text) {
            spots.push(at);
            targets.push(Target {
                at: location,
                filter: None,
                kms_key: None,
                storage_class: None,
                part_size: None,
                waive: BTreeSet::new(),
            });
        }
    }
    for (index, long) in written.target.iter().enumerate() {
        let item = spot.key("target").index(index);
        let part_size = long.part_size.as_deref().map(part_size);
        let part_size = part_size.and_then(|size| context.take(&item.key("part_size"), size));
        let Some(at) = location(context, sites, &item.key("at"), &long.at) else { continue };
        targets.push(Target {
            at,
            // Until it is compiled.
            filter: long.filter.as_ref().map(|_| Filter::Otherwise),
            kms_key: long.encryption.as_ref().map(|encryption| encryption.kms_key.clone()),
            storage_class: long.storage_class.clone(),
            part_size,
            waive: long.waive.clone(),
        });
        spots.push(item);
    }
    (spots, targets)
}

fn part_size(text: &str) -> Result<u64, values::Bad> {
    let size = values::size(text)?;
    if (PART_SIZE_MIN..=PART_SIZE_MAX).contains(&size) {
        return Ok(size);
    }
    let mend = "choose from 5MiB to 5GiB".to_owned();
    Err(values::Bad { message: format!("parts of {text} are not possible on S3"), mend })
}

fn is_table(source: Option<&Location>, targets: &[Target]) -> bool {
    let table = |at: &Location| at.scheme == Scheme::DynamoDb;
    source.is_some_and(table) || targets.iter().any(|target| table(&target.at))
}

/// Objects go to buckets and directories, tables to tables and directories.
fn check_kinds(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    written: &syntax::Dataset,
    source: &Location,
    targets: &[Target],
    spots: &[Spot<'_>],
) {
    let is_table = is_table(Some(source), targets);
    for (target, at) in targets.iter().zip(spots) {
        let mixed = matches!(
            (source.scheme, target.at.scheme),
            (Scheme::S3, Scheme::DynamoDb) | (Scheme::DynamoDb, Scheme::S3)
        );
        if mixed {
            let mend = "objects go to s3:// or file://, tables to dynamodb:// or file://".to_owned();
            context.report.at(at, format!("{source} does not fit into {}", target.at), mend);
        }
    }
    let waived = |target: &Target| written.waive.union(&target.waive).any(|property| *property == Property::Properties);
    let loses = |target: &Target| target.at.scheme == Scheme::File && !waived(target);
    if let Some((_, at)) = targets.iter().zip(spots).find(|(target, _)| loses(target) && !is_table) {
        let message = "a directory holds bytes only: metadata, tags and the like would be lost".to_owned();
        context.lacks(spot, &["waive"], at, message, "accept it with waive = [\"properties\"]");
    }
}

/// If several targets hold the whole, the plan must name the lead.
fn check_lead(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    written: &syntax::Dataset,
    targets: &[Target],
) -> Option<SiteName> {
    let at = spot.key("lead");
    let whole: Vec<&Target> = targets.iter().filter(|target| target.filter.is_none()).collect();
    let sites: Vec<&str> = whole.iter().map(|target| target.at.site.as_str()).collect();
    let all_read = targets.len() == written.targets.len() + written.target.len();
    let Some(lead) = &written.lead else {
        if whole.len() > 1 && written.cutover.is_some() {
            let message = "several targets hold the whole, and the plan does not say which one leads".to_owned();
            let mut leads = sites.clone();
            leads.dedup();
            context.lacks(spot, &["lead"], spot, message, format!("add lead = \"...\": one of {}", leads.join(", ")));
        }
        return None;
    };
    if whole.is_empty() && !targets.is_empty() {
        let mend = "take \"lead\" out: each partition is led by its target".to_owned();
        context.report.at(&at, "a partitioned dataset has one lead per partition", mend);
        return None;
    }
    match sites.iter().filter(|site| *site == lead).count() {
        0 if all_read => {
            let mend = did_you_mean(lead, &sites, "target");
            context.report.at(&at, format!("no target of this dataset is at site {lead:?}"), mend);
            None
        }
        0 | 1 => SiteName::new(lead).ok(),
        _ => {
            let mend = "leave one target at the site that leads".to_owned();
            context.report.at(&at, format!("several targets are at site {lead:?}: which one leads is not clear"), mend);
            None
        }
    }
}

fn check_select(context: &mut Context<'_>, spot: &Spot<'_>, written: &syntax::Dataset) -> Option<Select> {
    let mut good = true;
    for (key, globs) in [("include", &written.include), ("exclude", &written.exclude)] {
        for (index, glob) in globs.iter().enumerate() {
            if let Err(bad) = Select::new(std::slice::from_ref(glob), &[]) {
                let mend = "* and ? match within a folder, ** across folders; escape with \\".to_owned();
                context.report.at(&spot.key(key).index(index), bad.to_string(), mend);
                good = false;
            } else if glob.starts_with('/') {
                let mend =
                    format!("write {:?}; if a key begins with \"/\", write \"\\\\/\"", glob.trim_start_matches('/'));
                let message = "keys are relative to the dataset's prefix, and do not begin with \"/\"";
                context.report.at(&spot.key(key).index(index), message, mend);
                good = false;
            }
        }
    }
    good.then(|| Select::new(&written.include, &written.exclude).ok()).flatten()
}

fn check_limits(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    limits: Option<&syntax::DatasetLimits>,
    is_table: bool,
) -> DatasetLimits {
    let Some(limits) = limits else { return DatasetLimits::default() };
    let mut capacity = |key: &str, value: &Option<syntax::Capacity>| {
        let value = value.as_ref()?;
        if !is_table {
            let mend = "use bandwidth or requests_per_second".to_owned();
            context.report.at(&spot.key(key), format!("{key} is a limit for tables"), mend);
        }
        match value {
            syntax::Capacity::Units(units) => Some(Capacity::Units(*units)),
            syntax::Capacity::Share(text) => {
                context.take(&spot.key(key), values::share(text)).map(Capacity::SharePermille)
            }
        }
    };
    let read_capacity = capacity("read_capacity", &limits.read_capacity);
    let write_capacity = capacity("write_capacity", &limits.write_capacity);
    let bandwidth = limits.bandwidth.as_deref().map(values::rate);
    DatasetLimits {
        read_capacity,
        write_capacity,
        bandwidth: bandwidth.and_then(|value| context.take(&spot.key("bandwidth"), value)),
        requests_per_second: limits.requests_per_second,
    }
}

/// The lead of a table moves only between tables whose changes can be followed.
fn check_stream(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    written: &syntax::Dataset,
    source: Option<&Location>,
    targets: &[Target],
) {
    let leads = |target: &&Target| written.lead.as_ref().is_none_or(|lead| *lead == *target.at.site.as_str());
    let leads = targets.iter().filter(leads).map(|target| &target.at);
    if let Some(directory) = source.into_iter().chain(leads).find(|at| at.scheme == Scheme::File) {
        let message = format!("{directory} is a directory, which does not tell what changes in it");
        let mend = "the lead of a table moves from one server to another: take the cutover out".to_owned();
        context.report.at(&spot.key("cutover"), message, mend);
    } else if written.live != Some(true) {
        let message = "what is written to the table until its lead moves would not be known".to_owned();
        context.lacks(
            spot,
            &["live"],
            &spot.key("cutover"),
            message,
            "add live = true, so that its stream is followed",
        );
    }
}

/// Keys of a dataset that check but cannot be carried out yet, with their places.
fn unsupported(
    context: &Context<'_>,
    spot: &Spot<'_>,
    target_spots: &[Spot<'_>],
    written: &syntax::Dataset,
    source: Option<&Location>,
    targets: &[Target],
) -> Vec<Unsupported> {
    let mut found = Vec::new();
    let mut add = |present: bool, key: &str, at: &Spot<'_>, cutover_only: bool| {
        if present {
            found.push(context.not_built(at, key, cutover_only));
        }
    };
    let is_table = is_table(source, targets);
    // The globs are over keys of objects; which items belong to a table's dataset, its `where` says.
    add(!written.include.is_empty() && is_table, "include", &spot.key("include"), false);
    add(!written.exclude.is_empty() && is_table, "exclude", &spot.key("exclude"), false);
    add(written.part_of.is_some(), "part_of", &spot.key("part_of"), false);
    add(written.versions == Some(Versions::All), "versions", &spot.key("versions"), false);
    add(written.restore.is_some(), "restore", &spot.key("restore"), false);
    for (target, at) in targets.iter().zip(target_spots) {
        // A lead for each partition needs the streams of all of them, which objects do not have.
        let splits_objects = target.filter.is_some() && !is_table;
        add(splits_objects && written.cutover.is_some(), "target.where", &at.key("where"), true);
        add(target.kms_key.is_some(), "target.encryption", &at.key("encryption"), false);
        add(target.storage_class.is_some(), "target.storage_class", &at.key("storage_class"), false);
    }
    add(written.retire == Some(Retire::Delete), "retire", &spot.key("retire"), true);
    if let Some(cutover) = &written.cutover {
        let at = spot.key("cutover");
        add(written.filter.is_some(), "where", &spot.key("where"), true);
        add(cutover.fence != Fence::None, "cutover.fence", &at.key("fence"), true);
        add(cutover.canary.is_some(), "cutover.canary", &at.key("canary"), true);
        // Objects have no stream of changes that would tell how far behind a follower is.
        add(cutover.max_lag.is_some() && !is_table, "cutover.max_lag", &at.key("max_lag"), true);
        add(cutover.hooks.is_some(), "cutover.hooks", &at.key("hooks"), true);
        add(cutover.cdn.is_some(), "cutover.cdn", &at.key("cdn"), true);
        add(!cutover.probe.is_empty(), "cutover.probe", &at.key("probe"), true);
    }
    found
}
