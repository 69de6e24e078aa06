//! Routing: where a record belongs, by the `where` of its dataset, of the targets and of the policies.
//!
//! | dataset's `where` | targets' `where` | policies | the record belongs |
//! |---|---|---|---|
//! | false | – | – | to no target of this dataset |
//! | true, or none | none has one | allow all targets | to all targets |
//! | true, or none | one is true | allow it | to that target |
//! | true, or none | none is true, one says `otherwise` | allow it | to that target |
//! | true, or none | none is true | – | nowhere: an error |
//! | true, or none | two are true | – | nowhere: an error |
//! | true, or none | any | one forbids a target that it would go to | nowhere: an error |
//!
//! An expression that fails on a record is an error of that record, whatever the others say: it is neither false nor
//! `otherwise`. Every rule of the targets is asked, in the order of the plan, so the answer does not depend on it.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    expression::{Expression, Failed, Subject},
    item::Item,
    model::PlaceIndex,
    plan::{Dataset, Filter, Plan, Target},
};

/// Where the records of a dataset belong. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Routing(Arc<Rules>);

/// The places of a record, beside the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// It belongs to no target of this dataset.
    Nowhere,
    /// It belongs to every target.
    Everywhere,
    /// It belongs to this target alone.
    Only(PlaceIndex),
}

impl Destination {
    /// Whether the record belongs to a target.
    pub fn holds(self, place: PlaceIndex) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::Only(only) => only == place,
        }
    }
}

/// Why a record has no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misrouted {
    /// An expression gives no answer.
    #[error("the where of {of} fails: {why}")]
    Failed {
        /// Whose expression: the dataset, a target's location, or a policy's class.
        of: String,
        /// The reason.
        why: Failed,
    },
    /// No target takes it.
    #[error("it matches the where of no target: widen one of them, or say where = \"otherwise\" at one")]
    NoTarget,
    /// Two targets take it.
    #[error("it matches the where of {first} and of {second}: a record must match exactly one")]
    Several {
        /// The location of the first.
        first: String,
        /// The location of the second.
        second: String,
    },
    /// A policy forbids the target that it would go to.
    #[error("a policy for records of class {class:?} does not allow it at {target}: it must stay in {stays_in}")]
    Forbidden {
        /// The policy's class.
        class: String,
        /// The location of the target.
        target: String,
        /// The allowed jurisdictions.
        stays_in: String,
    },
}

#[derive(Debug)]
struct Rules {
    belongs: Option<Expression>,
    /// Targets with a rule; empty unless the dataset is partitioned.
    by_target: Vec<(PlaceIndex, Expression)>,
    otherwise: Option<PlaceIndex>,
    policies: Vec<RecordPolicy>,
    /// The locations of the targets.
    targets: Vec<String>,
    needs: BTreeSet<String>,
}

/// A policy for single records, with the targets that it does not allow.
#[derive(Debug)]
struct RecordPolicy {
    class: String,
    applies: Expression,
    forbidden: Vec<PlaceIndex>,
    stays_in: String,
}

impl Routing {
    /// The routing of a dataset's records.
    pub fn new(plan: &Plan, dataset: &Dataset) -> Self {
        let (mut by_target, mut otherwise) = (Vec::new(), None);
        for (place, target) in dataset.numbered_targets() {
            match &target.filter {
                Some(Filter::Rule(rule)) => by_target.push((place, rule.clone())),
                Some(Filter::Otherwise) => otherwise = Some(place),
                None => {}
            }
        }
        let policies = record_policies(plan, dataset);
        let belongs = dataset.filter.clone();
        let rules_of = by_target.iter().map(|(_, rule)| rule).chain(&belongs);
        let needs = rules_of.chain(policies.iter().map(|policy| &policy.applies));
        let needs = needs.flat_map(|rule| rule.needs().iter().cloned()).collect();
        let targets = dataset.targets.iter().map(|target| target.at.to_string()).collect();
        Self(Arc::new(Rules { belongs, by_target, otherwise, policies, targets, needs }))
    }

    /// Whether every record goes everywhere, so that none needs to be asked.
    pub fn is_open(&self) -> bool {
        let Rules { belongs, by_target, policies, .. } = &*self.0;
        belongs.is_none() && by_target.is_empty() && policies.is_empty()
    }

    /// Whether each record goes to one target only.
    pub fn is_partitioned(&self) -> bool {
        !self.0.by_target.is_empty()
    }

    /// Whether a policy judges single records.
    pub fn has_policies(&self) -> bool {
        !self.0.policies.is_empty()
    }

    /// The policies that judge single records, as texts that differ if they do.
    pub fn policies(&self) -> Vec<String> {
        let text = |policy: &RecordPolicy| {
            let places: Vec<_> = policy.forbidden.iter().map(|place| place.0).collect();
            format!("{}: {} stays in {}, not at {places:?}", policy.class, policy.applies.text(), policy.stays_in)
        };
        self.0.policies.iter().map(text).collect()
    }

    /// The attributes of a record that can decide where it belongs.
    pub fn needs(&self) -> &BTreeSet<String> {
        &self.0.needs
    }

    /// The attributes beside `key` that decide between the targets. An application that knows only a key can follow
    /// the routes of a partitioned dataset only if there are none.
    pub fn beyond_key<'a>(&'a self, key: &'a [&str]) -> BTreeSet<&'a str> {
        let needs = self.0.by_target.iter().flat_map(|(_, rule)| rule.needs());
        needs.map(String::as_str).filter(|name| !key.contains(name)).collect()
    }

    /// Where a record belongs.
    ///
    /// # Errors
    ///
    /// Why it belongs nowhere, although it belongs to the dataset or may do so. The dataset must stop: the record is
    /// neither to be left out nor to be written.
    pub fn route(&self, record: &Item) -> Result<Destination, Misrouted> {
        let Rules { belongs, by_target, otherwise, policies, targets, .. } = &*self.0;
        let location = |place: PlaceIndex| targets[place.as_target()].clone();
        if let Some(belongs) = belongs
            && !holds(belongs, record, || "the dataset".to_owned())?
        {
            return Ok(Destination::Nowhere);
        }
        let mut found: Option<PlaceIndex> = None;
        let mut second = None;
        for (place, rule) in by_target {
            if holds(rule, record, || location(*place))? {
                match found {
                    None => found = Some(*place),
                    Some(_) => second = second.or(Some(*place)),
                }
            }
        }
        let to = match (found, second, *otherwise) {
            (Some(first), Some(second), _) => {
                return Err(Misrouted::Several { first: location(first), second: location(second) });
            }
            (Some(only), None, _) | (None, _, Some(only)) => Destination::Only(only),
            (None, ..) if by_target.is_empty() => Destination::Everywhere,
            (None, ..) => return Err(Misrouted::NoTarget),
        };
        for policy in policies {
            let Some(place) = policy.forbidden.iter().copied().find(|place| to.holds(*place)) else { continue };
            if holds(&policy.applies, record, || format!("the policy for class {:?}", policy.class))? {
                let (class, stays_in) = (policy.class.clone(), policy.stays_in.clone());
                return Err(Misrouted::Forbidden { class, target: location(place), stays_in });
            }
        }
        Ok(to)
    }
}

fn holds(rule: &Expression, record: &Item, of: impl Fn() -> String) -> Result<bool, Misrouted> {
    rule.holds_of(record).map_err(|why| Misrouted::Failed { of: of(), why })
}

/// The policies that forbid some records of a dataset at a target. A rule over the records of another kind says nothing
/// of these.
fn record_policies(plan: &Plan, dataset: &Dataset) -> Vec<RecordPolicy> {
    let subject = if dataset.is_table() { Subject::Item } else { Subject::Object };
    let class = dataset.class.as_deref();
    let mut found = Vec::new();
    for policy in plan.policies.iter().filter(|policy| class == Some(policy.class.as_str())) {
        let Some(applies) = policy.filter.as_ref().filter(|filter| filter.subject() == subject) else { continue };
        let allows = |target: &Target| {
            let jurisdiction = plan.sites.get(&target.at.site).and_then(|site| site.jurisdiction.as_ref());
            jurisdiction.is_some_and(|jurisdiction| policy.stays_in.contains(jurisdiction))
        };
        let forbidden = dataset.numbered_targets().filter(|(_, target)| !allows(target)).map(|(place, _)| place);
        let forbidden: Vec<_> = forbidden.collect();
        if !forbidden.is_empty() {
            let stays_in = policy.stays_in.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            found.push(RecordPolicy { class: policy.class.clone(), applies: applies.clone(), forbidden, stays_in });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{expression::object, plan};

    fn routing(dataset: &str, targets: &str, policies: &str) -> Routing {
        let text = format!(
            "name = \"p\"\n[sites.a]\nregion = \"cn\"\njurisdiction = \"CN\"\n[sites.us]\ndirectory = \"us\"\n\
             jurisdiction = \"US\"\n[sites.sg]\ndirectory = \"sg\"\njurisdiction = \"SG\"\n{policies}\n[[phase]]\n\
             name = \"one\"\n[[phase.dataset]]\nname = \"d\"\nclass = \"personal\"\nsource = \"s3://a/data\"\n\
             waive = [\"properties\"]\n{dataset}\n{targets}"
        );
        let plan = plan::parse(&text, Path::new("p.toml")).unwrap_or_else(|wrong| panic!("{wrong}"));
        Routing::new(&plan, &plan.phases[0].datasets[0])
    }

    fn target(site: &str, rule: &str) -> String {
        let rule = if rule.is_empty() { String::new() } else { format!("where = '{rule}'\n") };
        format!("[[phase.dataset.target]]\nat = \"file://{site}/x\"\n{rule}")
    }

    fn route(routing: &Routing, key: &str, size: u64) -> Result<Destination, String> {
        routing.route(&object(&key.into(), size, None, None)).map_err(|error| error.to_string())
    }

    const US: PlaceIndex = PlaceIndex(1);
    const SG: PlaceIndex = PlaceIndex(2);

    #[test]
    fn a_dataset_without_rules_goes_everywhere() {
        let open = routing("", &(target("us", "") + &target("sg", "")), "");
        assert!(open.is_open() && !open.is_partitioned() && open.needs().is_empty());
        assert_eq!(route(&open, "k", 1), Ok(Destination::Everywhere));
        assert!(Destination::Everywhere.holds(US) && !Destination::Nowhere.holds(US));
    }

    #[test]
    fn a_dataset_takes_the_part_that_it_says() {
        let part = routing("where = 'object.key.startsWith(\"in/\")'", &target("us", ""), "");
        assert!(!part.is_open() && !part.is_partitioned());
        assert_eq!(route(&part, "in/k", 1), Ok(Destination::Everywhere));
        assert_eq!(route(&part, "k", 1), Ok(Destination::Nowhere));
        let failing = routing("where = 'object.metadata.country == \"IN\"'", &target("us", ""), "");
        let error = route(&failing, "k", 1).unwrap_err();
        assert_eq!(error, "the where of the dataset fails: it has no \"metadata\": ask for it with has() first");
    }

    #[test]
    fn a_record_of_a_partitioned_dataset_matches_exactly_one_target() {
        let (us, sg) = (r#"object.key.startsWith("us/")"#, r#"object.key.startsWith("sg/") || object.size > 9"#);
        let both = routing("", &(target("us", us) + &target("sg", sg)), "");
        assert!(both.is_partitioned() && both.beyond_key(&["key"]).iter().eq(&["size"]));
        assert_eq!(route(&both, "us/k", 1), Ok(Destination::Only(US)));
        assert_eq!(route(&both, "sg/k", 1), Ok(Destination::Only(SG)));
        assert!(Destination::Only(SG).holds(SG) && !Destination::Only(SG).holds(US));
        let error = route(&both, "k", 1).unwrap_err();
        assert!(error.starts_with("it matches the where of no target"), "{error}");
        let error = route(&both, "us/k", 10).unwrap_err();
        assert!(error.starts_with("it matches the where of file://us/x and of file://sg/x"), "{error}");

        let rest = routing("", &(target("us", "otherwise") + &target("sg", sg)), "");
        assert_eq!(route(&rest, "sg/k", 1), Ok(Destination::Only(SG)));
        assert_eq!(route(&rest, "k", 1), Ok(Destination::Only(US)));
        let failing = routing("", &(target("us", "otherwise") + &target("sg", "object.tags.a == \"b\"")), "");
        let error = route(&failing, "k", 1).unwrap_err();
        assert!(error.starts_with("the where of file://sg/x fails"), "neither false nor otherwise: {error}");
        let second = r#"object.tags.a == "b""#;
        let also = routing("", &(target("us", us) + &target("sg", second)), "");
        assert!(route(&also, "us/k", 1).is_err(), "a match does not hide that another rule fails");
    }

    #[test]
    fn policies_are_asked_about_the_places_that_a_record_goes_to() {
        let policy =
            "[[policy]]\nclass = \"personal\"\nwhere = 'object.key.startsWith(\"in/\")'\nstays_in = [\"SG\"]\n";
        let whole = routing("", &(target("us", "") + &target("sg", "")), policy);
        assert!(!whole.is_open());
        assert_eq!(route(&whole, "k", 1), Ok(Destination::Everywhere));
        let error = route(&whole, "in/k", 1).unwrap_err();
        assert_eq!(
            error,
            "a policy for records of class \"personal\" does not allow it at file://us/x: it must stay in SG"
        );
        let large = routing("", &(target("us", "otherwise") + &target("sg", "object.size > 9")), policy);
        assert_eq!(route(&large, "in/k", 10), Ok(Destination::Only(SG)));
        assert!(route(&large, "in/k", 1).is_err());
        let allowed = routing("", &target("sg", ""), policy);
        assert!(allowed.is_open(), "a policy that allows every target asks nothing");
        let items = policy.replace("object.key.startsWith(\"in/\")", "item.country == \"IN\"");
        assert!(routing("", &target("us", ""), &items).is_open(), "a rule for items says nothing of objects");
        let failing = policy.replace("object.key.startsWith(\"in/\")", "object.tags.c == \"IN\"");
        let error = route(&routing("", &target("us", ""), &failing), "k", 1).unwrap_err();
        assert!(error.starts_with("the where of the policy for class \"personal\" fails"), "{error}");
    }
}
