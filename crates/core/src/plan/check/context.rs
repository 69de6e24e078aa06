//! The common context of all checks of a plan.

use std::{collections::BTreeMap, path::Path};

use crate::{
    model::SiteName,
    plan::{
        dataset::{Dataset, Unsupported},
        diagnostics::{Report, Spot, did_you_mean},
        lines::Lines,
        location::Scheme,
        site::Site,
        syntax::PlanFile,
        values::Bad,
    },
};

/// The common input of all checks, and their report.
pub(super) struct Context<'t> {
    pub(super) lines: &'t Lines<'t>,
    pub(super) root: Spot<'t>,
    pub(super) file: &'t PlanFile,
    pub(super) directory: &'t Path,
    pub(super) report: &'t mut Report,
}

impl Context<'_> {
    /// Takes a good value; reports a bad one.
    pub(super) fn take<T>(&mut self, spot: &Spot<'_>, value: Result<T, Bad>) -> Option<T> {
        value.map_err(|bad| self.report.at(spot, bad.message, bad.mend)).ok()
    }

    /// Reports at `spot` that one of `keys` is missing in `item`, unless one of them is there and could not be read.
    pub(super) fn lacks(
        &mut self,
        item: &Spot<'_>,
        keys: &[&str],
        spot: &Spot<'_>,
        message: String,
        mend: impl Into<String>,
    ) {
        if keys.iter().all(|key| !self.report.is_unread_below(item.key(key).path())) {
            self.report.at(spot, message, mend.into());
        }
    }

    /// Takes a legal name.
    pub(super) fn name<T: TryFrom<String, Error: std::fmt::Display>>(
        &mut self,
        spot: &Spot<'_>,
        text: &str,
    ) -> Option<T> {
        let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let near: String = text.chars().map(legal).take(64).collect();
        let near = near.trim_matches(['-', '_']);
        let mend = (!near.is_empty()).then(|| format!("for example {near:?}"));
        T::try_from(text.to_owned()).map_err(|error| self.report.at(spot, error.to_string(), mend)).ok()
    }

    /// Reports a name that another one of its kind has already.
    pub(super) fn taken(&mut self, kind: &str, name: &str, spot: &Spot<'_>, first: &Spot<'_>) {
        let line = self.lines.line(first.span().start);
        let message = format!("there is a {kind} {name:?} already, in line {line}");
        self.report.at(spot, message, "give this one another name".to_owned());
    }

    /// A key that checks and is not built yet.
    pub(super) fn not_built(&self, spot: &Spot<'_>, key: &str, cutover_only: bool) -> Unsupported {
        let mend = if cutover_only {
            "only the cutover needs it: `--until verified` copies and proves, and moves no lead"
        } else {
            "take it out of the plan"
        };
        let problem = self.report.told(self.lines, spot, format!("{key} is not built yet"), mend);
        Unsupported { key: key.to_owned(), problem, cutover_only }
    }
}

/// A dataset that could be built, with its place in the text.
pub(super) struct Built<'t> {
    pub(super) spot: Spot<'t>,
    pub(super) targets: Vec<Spot<'t>>,
    /// Index into the plan file's phases.
    pub(super) phase: usize,
    pub(super) dataset: Dataset,
}

/// Checks that the site has what the scheme needs.
pub(super) fn reachable(
    context: &mut Context<'_>,
    sites: &BTreeMap<SiteName, Site>,
    spot: &Spot<'_>,
    scheme: Scheme,
    name: &SiteName,
) -> Option<()> {
    let site = known_site(context, sites, spot, name)?;
    let (reachable, keys, mend) = match scheme {
        Scheme::S3 => (
            site.region.is_some() || site.s3.is_some(),
            ["region", "s3"],
            "region = \"...\" (AWS) or s3 = { endpoint = \"...\" }",
        ),
        Scheme::DynamoDb => (
            site.region.is_some() || site.dynamodb.is_some(),
            ["region", "dynamodb"],
            "region = \"...\" (AWS) or dynamodb = { endpoint = \"...\" }",
        ),
        Scheme::File => (site.directory.is_some(), ["directory", "directory"], "directory = \"...\""),
    };
    if !reachable {
        let site_spot = context.root.key("sites").key(name.as_str());
        let message = format!("site {:?} cannot be reached by {}://", name.as_str(), scheme.as_str());
        context.lacks(&site_spot, &keys, spot, message, format!("add {mend} to [sites.{name}]"));
    }
    Some(())
}

/// The site with this name, or a report with a suggestion.
pub(super) fn known_site<'s>(
    context: &mut Context<'_>,
    sites: &'s BTreeMap<SiteName, Site>,
    spot: &Spot<'_>,
    name: &SiteName,
) -> Option<&'s Site> {
    if let Some(site) = sites.get(name) {
        return Some(site);
    }
    let all_unread = context.report.is_unread("sites");
    if !all_unread && !context.report.is_unread_below(&format!("sites.{name}")) {
        let names: Vec<&str> = sites.keys().map(SiteName::as_str).collect();
        let mend = if names.is_empty() {
            format!("add a table [sites.{name}]")
        } else {
            did_you_mean(name.as_str(), &names, "site")
        };
        context.report.at(spot, format!("there is no site {:?}", name.as_str()), mend);
    }
    None
}
