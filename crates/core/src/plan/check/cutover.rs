//! The cutover of one dataset: fence, canary, route, hooks.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    model::SiteName,
    plan::{
        check::{
            context::{self, Context},
            sites,
        },
        choices::{Fence, FinalVerify},
        dataset::Cutover,
        diagnostics::Spot,
        location::{Location, Route, Scheme},
        site::{Credentials, Site},
        syntax, values,
    },
};

const ROUTE_MAX_AGE: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_mins(1);
const QUIET: Duration = Duration::from_mins(1);

/// Checks a cutover; `dataset` is the place of its dataset, `source` the old lead.
pub(super) fn check(
    context: &mut Context<'_>,
    sites: &BTreeMap<SiteName, Site>,
    dataset: &Spot<'_>,
    written: &syntax::Cutover,
    source: Option<&Location>,
) -> Option<Cutover> {
    let spot = dataset.key("cutover");
    let canary_spot = spot.key("canary");
    let canary = written.canary.as_ref().and_then(|c| sites::check_credentials(context, &canary_spot, c));
    if !context.report.is_unread(spot.key("fence").path()) {
        check_fence(context, &spot, written, source);
    }
    let migrator = source.and_then(|source| sites.get(&source.site)).map(|site| &site.credentials);
    if canary.is_some() && canary.as_ref() == migrator && canary != Some(Credentials::Ambient) {
        let message = "the canary is the migrator's own identity, which the fence lets through";
        let mend = "name the application's identity".to_owned();
        context.report.at(&canary_spot, message, mend);
    }
    check_hooks(context, &spot.key("hooks"), written.hooks.as_ref());
    check_cdn(context, &spot, written);
    let route = context.take(&spot.key("route"), Route::parse(&written.route));
    if let Some(route) = &route {
        context::reachable(context, sites, &spot.key("route"), route.scheme, &route.site);
    }
    let mut duration = |key: &str, text: &Option<String>| {
        text.as_deref().map(values::duration).and_then(|value| context.take(&spot.key(key), value))
    };
    let route_max_age = duration("route_max_age", &written.route_max_age);
    let settle = duration("settle", &written.settle);
    let max_lag = duration("max_lag", &written.max_lag);
    let quiet = duration("quiet", &written.quiet);
    let hooks = written.hooks.iter().flat_map(syntax::Hooks::iter);
    Some(Cutover {
        fence: written.fence,
        canary,
        route: route?,
        route_max_age: route_max_age.unwrap_or(ROUTE_MAX_AGE),
        final_verify: written.final_verify.unwrap_or_default(),
        settle: settle.unwrap_or(SETTLE),
        max_lag,
        quiet: quiet.unwrap_or(QUIET),
        hooks: hooks.map(|(name, arguments)| (name.to_owned(), arguments.to_vec())).collect(),
        cdn: written.cdn.clone(),
        probe: written.probe.clone(),
    })
}

fn check_fence(context: &mut Context<'_>, spot: &Spot<'_>, written: &syntax::Cutover, source: Option<&Location>) {
    let at = spot.key("fence");
    let (policy, scheme) = match written.fence {
        Fence::BucketPolicy => (Some("bucket-policy"), Scheme::S3),
        Fence::ResourcePolicy => (Some("resource-policy"), Scheme::DynamoDb),
        Fence::Hook | Fence::None => (None, Scheme::File),
    };
    if let Some(fence) = policy {
        if written.canary.is_none() {
            let message = format!("the fence {fence:?} must be proved, and there is no canary");
            let mend = "add canary = { profile = \"...\" }: the application's identity";
            context.lacks(spot, &["canary"], &at, message, mend);
        }
        if let Some(source) = source.filter(|source| source.scheme != scheme) {
            let fits = match source.scheme {
                Scheme::S3 => "\"bucket-policy\", \"hook\" or \"none\"",
                Scheme::DynamoDb => "\"resource-policy\", \"hook\" or \"none\"",
                Scheme::File => "\"hook\" or \"none\"",
            };
            let message = format!("the fence {fence:?} cannot stop writes at {source}");
            context.report.at(&at, message, format!("use {fits}"));
        }
    }
    check_unfenced(context, spot, written);
    let hooks = written.hooks.clone().unwrap_or_default();
    for (name, given) in [("fence", hooks.fence.is_some()), ("unfence", hooks.unfence.is_some())] {
        if written.fence == Fence::Hook && !given {
            let message = format!("the fence \"hook\" needs hooks.{name}");
            let hooks = spot.key("hooks");
            let at = if written.hooks.is_some() { &hooks } else { &at };
            let unread = context.report.is_unread_below(hooks.path());
            if !unread {
                context.report.at(at, message, format!("add {name} = [\"./program\", \"argument\"] to hooks"));
            }
        } else if written.fence != Fence::Hook && given {
            let message = format!("hooks.{name} never runs: the fence is not \"hook\"");
            context.report.at(&spot.key("hooks").key(name), message, "set fence = \"hook\", or take it out".to_owned());
        }
    }
}

/// If nothing stops writes, the plan must accept that, and the final verification must be full.
fn check_unfenced(context: &mut Context<'_>, spot: &Spot<'_>, written: &syntax::Cutover) {
    if written.fence != Fence::None {
        if written.accept_unfenced == Some(true) {
            let mend = "take it out, or set fence = \"none\"".to_owned();
            context.report.at(&spot.key("accept_unfenced"), "accept_unfenced goes with the fence \"none\" only", mend);
        }
        return;
    }
    if written.accept_unfenced != Some(true) {
        let message = "nothing stops writes at the old lead, and writes there may be lost".to_owned();
        context.lacks(
            spot,
            &["accept_unfenced"],
            &spot.key("fence"),
            message,
            "choose a fence, or add accept_unfenced = true",
        );
    }
    if written.final_verify == Some(FinalVerify::Incremental) {
        let message = "without a fence the final verification is full";
        context.report.at(&spot.key("final_verify"), message, "write \"full\", or choose a fence".to_owned());
    }
}

fn check_hooks(context: &mut Context<'_>, spot: &Spot<'_>, hooks: Option<&syntax::Hooks>) {
    for (name, arguments) in hooks.into_iter().flat_map(syntax::Hooks::iter) {
        if arguments.first().is_some_and(|program| program.trim().is_empty()) {
            let mend = "write [\"./program\", \"argument\", ...]".to_owned();
            context.report.at(&spot.key(name).index(0), "a hook begins with its program", mend);
        }
    }
}

fn check_cdn(context: &mut Context<'_>, spot: &Spot<'_>, written: &syntax::Cutover) {
    let cdn_spot = spot.key("cdn");
    if let Some(cdn) = &written.cdn {
        if cdn.purge.is_empty() && cdn.tags.is_empty() && cdn.cp_codes.is_empty() {
            let message = "nothing is to be purged".to_owned();
            let mend = "add purge = [\"https://...\"], tags or cp_codes";
            context.lacks(&cdn_spot, &["purge", "tags", "cp_codes"], &cdn_spot, message, mend);
        }
        check_urls(context, &cdn_spot.key("purge"), &cdn.purge);
    }
    check_urls(context, &spot.key("probe"), &written.probe);
}

fn check_urls(context: &mut Context<'_>, spot: &Spot<'_>, urls: &[String]) {
    for (index, url) in urls.iter().enumerate() {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if !rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !url.contains(char::is_whitespace)) {
            let mend = "write a whole URL: https://host/path".to_owned();
            context.report.at(&spot.index(index), format!("{url:?} is not an http or https URL"), mend);
        }
    }
}
