//! Data residency: the places in which the policies allow a dataset's records.
//!
//! The verdict is given twice: when the plan is checked, and by the guard in front of every store, so that no code
//! path can write to a place that the plan forbids.

use std::collections::BTreeMap;

use crate::{
    expression::Subject,
    model::SiteName,
    plan::{
        checked::{Plan, Policy},
        dataset::Dataset,
        site::Site,
    },
};

/// Whether the policies allow a site to hold every record of `dataset`.
///
/// Rules with a `where` judge single records; they are no part of this verdict.
///
/// # Errors
///
/// Why not, for people.
pub fn verdict(plan: &Plan, dataset: &Dataset, site: &SiteName) -> Result<(), String> {
    judge(&plan.policies, &plan.sites, dataset.class.as_deref(), site).map_err(|refusal| refusal.to_string())
}

/// Why a dataset's source does not follow the lead once that has moved, for people; `None` if it does.
pub fn stays(plan: &Plan, dataset: &Dataset) -> Option<String> {
    if !dataset.follow_back {
        return Some("the plan says follow_back = false".to_owned());
    }
    // What lies there beside the dataset would be taken for records that were written late.
    if dataset.filter.is_some() {
        return Some("the dataset is a part of what lies there, by its where".to_owned());
    }
    let source = plan.sites.get(&dataset.source.site);
    if plan.policies.iter().any(|policy| judges_records(policy, dataset, source)) {
        return Some("a policy forbids some records there".to_owned());
    }
    let shared = |other| format!("dataset {other} reads or writes there too");
    verdict(plan, dataset, &dataset.source.site).err().or(dataset.source_shared_with.as_ref().map(shared))
}

/// Why a site must not hold a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A rule applies, and the site has no jurisdiction in the plan.
    #[error("site {site:?} has no jurisdiction, and a policy says where records of class {class:?} may be")]
    NoJurisdiction {
        /// The site's name in the plan.
        site: String,
        /// The dataset's class.
        class: String,
    },
    /// A rule forbids the site.
    #[error("class {class:?} must stay in {stays_in}, and site {site:?} is in {jurisdiction}")]
    Forbidden {
        /// The dataset's class.
        class: String,
        /// The allowed jurisdictions.
        stays_in: String,
        /// The site's name in the plan.
        site: String,
        /// The site's jurisdiction.
        jurisdiction: String,
    },
}

pub(super) fn judge(
    policies: &[Policy],
    sites: &BTreeMap<SiteName, Site>,
    class: Option<&str>,
    site: &SiteName,
) -> Result<(), Refusal> {
    let Some(class) = class else { return Ok(()) };
    let jurisdiction = sites.get(site).and_then(|site| site.jurisdiction.as_deref());
    for policy in policies.iter().filter(|policy| policy.class == class) {
        let Some(jurisdiction) = jurisdiction else {
            return Err(Refusal::NoJurisdiction { site: site.to_string(), class: class.to_owned() });
        };
        if policy.filter.is_none() && !policy.stays_in.contains(jurisdiction) {
            return Err(Refusal::Forbidden {
                class: class.to_owned(),
                stays_in: policy.stays_in.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
                site: site.to_string(),
                jurisdiction: jurisdiction.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether `policy` forbids some records of `dataset` at `site`, so that each record must be judged.
pub(super) fn judges_records(policy: &Policy, dataset: &Dataset, site: Option<&Site>) -> bool {
    let allowed = site.and_then(|site| site.jurisdiction.as_ref()).is_some_and(|held| policy.stays_in.contains(held));
    let subject = if dataset.is_table() { Subject::Item } else { Subject::Object };
    let applies = policy.filter.as_ref().is_some_and(|filter| filter.subject() == subject);
    applies && dataset.class.as_ref() == Some(&policy.class) && !allowed
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn plan() -> Plan {
        let text = r#"
name = "p"
[sites.a]
directory = "a"
[sites.b]
directory = "b"
jurisdiction = "SG"
[[policy]]
class = "personal"
stays_in = ["SG", "IN"]
[[phase]]
name = "one"
[[phase.dataset]]
name = "d"
class = "personal"
source = "file://a/x"
targets = ["file://b/x"]
waive = ["properties"]
"#;
        crate::plan::parse(text, Path::new("p.toml")).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    #[test]
    fn the_guard_gives_the_verdict_of_the_check() {
        let plan = plan();
        let dataset = plan.datasets().next().unwrap();
        assert_eq!(verdict(&plan, dataset, &dataset.targets[0].at.site), Ok(()));

        let mut moved = plan.clone();
        moved.sites.values_mut().for_each(|site| site.jurisdiction = Some("US".to_owned()));
        let refused = verdict(&moved, dataset, &dataset.targets[0].at.site).unwrap_err();
        assert_eq!(refused, "class \"personal\" must stay in IN, SG, and site \"b\" is in US");

        let mut nowhere = plan.clone();
        nowhere.sites.values_mut().for_each(|site| site.jurisdiction = None);
        assert!(verdict(&nowhere, dataset, &dataset.targets[0].at.site).unwrap_err().contains("no jurisdiction"));
        let unclassed = Dataset { class: None, ..dataset.clone() };
        assert_eq!(verdict(&nowhere, &unclassed, &dataset.targets[0].at.site), Ok(()));
    }
}
