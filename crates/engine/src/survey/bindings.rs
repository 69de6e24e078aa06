//! What a saved plan is bound to, as a value, and the comparison with a later look. Does no I/O.
//!
//! # What counts as a change
//!
//! A change is a difference in what the operator agreed to when the plan was saved: which data goes to which place
//! under which rules, which phase waits for which, which site leads, what the endpoints can do, and that the places
//! exist. Counts are no part of it, nor are settings that only decide how fast or how thoroughly the work is done.
//!
//! # The migration's own work is no change
//!
//! A saved plan is run again after any stop, and by then it may have made its target directories, moved
//! leads and raised epochs. So the look also reads the ledger: a lead that was moved as planned by the ledger
//! is as expected, and so is a route that shows the attempt that is open in the ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use migrate_core::{
    lifecycle::Lead,
    model::{DatasetName, PhaseName, PlanName, SiteName},
};
use migrate_store::file::Identity;

/// What a saved plan is bound to. A field that this build does not know is an error: a value that is not
/// compared must not pass for unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    /// The plan's name, which names its state too.
    pub plan: PlanName,
    /// The phases of the bound datasets.
    pub phases: Vec<PhaseBinding>,
    /// The sites that the bound datasets use.
    pub sites: BTreeMap<SiteName, SiteBinding>,
    /// The residency rules of the datasets' classes.
    pub policies: BTreeMap<String, Vec<PolicyBinding>>,
    /// The bound datasets, in the plan's order.
    pub datasets: Vec<DatasetBinding>,
}

/// One phase: what it waits for, and the datasets that move together in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseBinding {
    /// The phase's name.
    pub name: PhaseName,
    /// The phases that must come first.
    pub after: BTreeSet<PhaseName>,
    /// All datasets of the phase, also those that the saved plan leaves out.
    pub datasets: BTreeSet<DatasetName>,
}

/// The bound fields of a site; its place is bound by the meaning of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteBinding {
    /// The jurisdiction that the plan names for it.
    pub jurisdiction: Option<String>,
    /// The AWS account that must own its buckets.
    pub expected_bucket_owner: Option<String>,
}

/// One residency rule of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyBinding {
    /// The jurisdictions in which the records must stay.
    pub stays_in: BTreeSet<String>,
    /// The filter that selects the records; all if absent.
    pub r#where: Option<String>,
}

/// One dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetBinding {
    /// The dataset's name.
    pub name: DatasetName,
    /// Its source, targets, selection and places.
    pub meaning: Value,
    /// Its other rules about what is written, deleted or waived, by the plan's keys.
    pub rules: BTreeMap<String, Value>,
    /// How its lead is to move; `None` if it stays.
    pub cutover: Option<CutoverBinding>,
    /// The state of its lead in the ledger.
    pub lead: LeadBinding,
    /// What its route shows; `None` if there is none, or the look could not read it.
    pub route: Option<RouteBinding>,
    /// Its places; empty if its lead has moved: what follows it then may come and go.
    pub places: Vec<PlaceBinding>,
}

/// How a lead is to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutoverBinding {
    /// The site that leads until then.
    pub from: SiteName,
    /// The site that leads from then on.
    pub to: SiteName,
    /// The route's location.
    pub route: String,
    /// The plan's name for what stops writes at the old lead.
    pub fence: String,
}

/// The state of a lead in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum LeadBinding {
    /// The source's site leads.
    Unmoved,
    /// A switch was begun; only the route shows whether it has happened.
    Switching {
        /// The lead after the switch.
        to: Lead,
        /// The attempt that the route shows after the switch.
        attempt: String,
    },
    /// The lead has moved.
    Moved {
        /// The lead now.
        to: Lead,
    },
}

/// What a route shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteBinding {
    /// The route's location.
    pub location: String,
    /// The lead and its epoch. A missing route equals one of epoch 0 that shows the source's site.
    pub shows: Lead,
    /// The attempt that wrote the route. Its change alone is no change: a switch that is given up rewrites the
    /// route as it was.
    pub attempt: Option<String>,
}

/// What a place is to a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceRole {
    /// The dataset is read from it.
    Source,
    /// The dataset is written to it.
    Target,
    /// It is the folder of the dataset's route.
    Route,
}

/// One place of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceBinding {
    /// What the place is to the dataset.
    pub role: PlaceRole,
    /// The location in the plan.
    pub location: String,
    /// Whether the bucket or directory exists.
    pub is_there: bool,
    /// The directory's identity; `None` for a bucket and for a missing directory.
    pub identity: Option<Identity>,
    /// The result of a probe; `None` for a source or a missing place.
    pub capabilities: Option<Value>,
}

/// A difference between the saved bindings and a later look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The name of what differs, for people.
    pub what: String,
    /// The value now.
    pub is: String,
    /// The saved value, or the value to expect if only this migration changed it.
    pub was: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, was {}", self.what, self.is, self.was)
    }
}

impl Bindings {
    /// Compares these bindings with those of a look `now`; empty if all of them still hold.
    pub fn changes(&self, now: &Bindings) -> Vec<Changed> {
        let mut seen = Comparison::default();
        seen.compare("name", "the plan", &self.plan.as_str().into(), &now.plan.as_str().into());
        let phases = |all: &Bindings| -> BTreeMap<_, _> {
            all.phases.iter().map(|phase| (format!("phase {}", phase.name), phase.clone())).collect()
        };
        for (named, saved, now) in seen.both(phases(self), phases(now)) {
            seen.compare("after", &named, &value(&saved.after), &value(&now.after));
            seen.compare("datasets", &named, &value(&saved.datasets), &value(&now.datasets));
        }
        // If only one side uses a site or class, a dataset differs and tells it.
        for (name, saved) in &self.sites {
            if let Some(now) = now.sites.get(name) {
                seen.compare_fields("", &format!("site {name}"), &value(saved), &value(now));
            }
        }
        for (class, saved) in &self.policies {
            if let Some(now) = now.policies.get(class) {
                seen.compare("policy", &format!("class {class}"), &value(saved), &value(now));
            }
        }
        let datasets = |all: &Bindings| -> BTreeMap<_, _> {
            all.datasets.iter().map(|dataset| (format!("dataset {}", dataset.name), dataset.clone())).collect()
        };
        for (_, saved, now) in seen.both(datasets(self), datasets(now)) {
            seen.dataset(&saved, &now);
        }
        seen.changes
    }
}

/// A comparison under way.
#[derive(Debug, Default)]
struct Comparison {
    changes: Vec<Changed>,
}

impl Comparison {
    fn add(&mut self, what: String, is: String, was: String) {
        let changed = Changed { what, is, was };
        // Many datasets may share one endpoint, whose change is told once.
        if !self.changes.contains(&changed) {
            self.changes.push(changed);
        }
    }

    /// The entries that both sides have; an entry of one side alone is a change.
    fn both<T>(&mut self, saved: BTreeMap<String, T>, mut now: BTreeMap<String, T>) -> Vec<(String, T, T)> {
        let mut both = Vec::new();
        for (named, saved) in saved {
            match now.remove(&named) {
                Some(now) => both.push((named, saved, now)),
                None => self.add(named, "not in the plan".into(), "in it".into()),
            }
        }
        for named in now.into_keys() {
            self.add(named, "in the plan".into(), "not in it".into());
        }
        both
    }

    fn dataset(&mut self, saved: &DatasetBinding, now: &DatasetBinding) {
        let of = &saved.name.to_string();
        self.compare_fields("", of, &saved.meaning, &now.meaning);
        self.compare_fields("", of, &value(&saved.rules), &value(&now.rules));
        self.compare("cutover", of, &value(&saved.cutover), &value(&now.cutover));
        let expected = self.lead(saved, now);
        if let (Some(expected), Some(route)) = (expected, &now.route)
            && expected != route.shows
        {
            self.add(format!("route of {of}"), told(&route.shows), told(&expected));
        }
        if !matches!(now.lead, LeadBinding::Moved { .. }) {
            self.places(saved, now);
        }
    }

    /// Compares the leads in the ledger; returns what the route is expected to show, if it is the same route.
    fn lead(&mut self, saved: &DatasetBinding, now: &DatasetBinding) -> Option<Lead> {
        let (before, after) = (saved.route.as_ref(), now.route.as_ref());
        let shown = before.filter(|before| after.is_some_and(|after| after.location == before.location));
        let shown = shown.map(|route| &route.shows);
        let as_planned = |to: &Lead| match &saved.lead {
            LeadBinding::Moved { to: moved } => moved == to,
            LeadBinding::Switching { to: begun, .. } if begun == to => true,
            _ => {
                shown.is_some_and(|shown| to.epoch == shown.epoch.next())
                    && saved.cutover.as_ref().is_some_and(|cutover| cutover.to == to.lead)
            }
        };
        let expected = match &now.lead {
            LeadBinding::Moved { to } if as_planned(to) => Some(to),
            LeadBinding::Switching { to, attempt } if as_planned(to) => {
                let ours = after.is_some_and(|route| route.attempt.as_ref() == Some(attempt));
                if ours { Some(to) } else { shown }
            }
            LeadBinding::Unmoved if !matches!(saved.lead, LeadBinding::Moved { .. }) => shown,
            _ => {
                self.add(format!("lead of {} in the ledger", saved.name), in_ledger(&now.lead), in_ledger(&saved.lead));
                shown
            }
        };
        expected.cloned()
    }

    /// A place that existed must still exist: a missing source looks empty, and a missing target directory
    /// often means that a disk is not mounted. A place that was missing may appear: a run makes
    /// target directories, and an earlier dataset fills this one's source. A route's folder must exist before
    /// a plan is saved. Data that was put there meanwhile is no change: a run compares it like any other.
    fn places(&mut self, saved: &DatasetBinding, now: &DatasetBinding) {
        for before in &saved.places {
            let same = |place: &&PlaceBinding| place.role == before.role && place.location == before.location;
            // Another place changes the meaning, which is told there.
            let Some(after) = now.places.iter().find(same) else { continue };
            if before.is_there && !after.is_there {
                self.add(before.location.clone(), "not there".into(), "there".into());
            }
            if let (Some(was), Some(is)) = (&before.identity, &after.identity)
                && !was.agrees_with(is)
            {
                self.add(format!("directory of {}", before.location), is.to_string(), was.to_string());
            }
            if let (Some(could), Some(can)) = (&before.capabilities, &after.capabilities) {
                self.compare_fields("", &before.location, could, can);
            }
        }
    }

    /// Compares the fields of two objects, which are the field `path` of `of`.
    fn compare_fields(&mut self, path: &str, of: &str, saved: &Value, now: &Value) {
        let nothing = serde_json::Map::new();
        let (saved, now) = (saved.as_object().unwrap_or(&nothing), now.as_object().unwrap_or(&nothing));
        let names: BTreeSet<_> = saved.keys().chain(now.keys()).collect();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let (saved, now) = (saved.get(name).unwrap_or(&Value::Null), now.get(name).unwrap_or(&Value::Null));
            self.compare(&path, of, saved, now);
        }
    }

    /// Compares two values: field by field if both have fields.
    fn compare(&mut self, path: &str, of: &str, saved: &Value, now: &Value) {
        if saved == now {
            return;
        }
        if saved.is_object() && now.is_object() {
            self.compare_fields(path, of, saved, now);
        } else {
            self.add(format!("{path} of {of}"), shown(now), shown(saved));
        }
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("bindings are plain data")
}

/// A value as text for people.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(elements) if elements.is_empty() => "nothing".to_owned(),
        Value::Array(elements) => elements.iter().map(shown).collect::<Vec<_>>().join(", "),
        // A target with nothing but its location.
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("at") => shown(&fields["at"]),
        other => other.to_string(),
    }
}

fn told(lead: &Lead) -> String {
    format!("epoch {} led by {}", lead.epoch, lead.lead)
}

fn in_ledger(lead: &LeadBinding) -> String {
    match lead {
        LeadBinding::Unmoved => "not moved".to_owned(),
        LeadBinding::Switching { to, .. } => format!("on its way to {}", told(to)),
        LeadBinding::Moved { to } => told(to),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use migrate_core::model::Epoch;

    fn lead(epoch: u64, site: &str) -> Lead {
        Lead { epoch: Epoch(epoch), lead: SiteName::new(site).unwrap() }
    }

    fn place(role: PlaceRole, location: &str, is_there: bool) -> PlaceBinding {
        let capabilities =
            is_there.then(|| json!({"proof": "signed_payload", "tags": true, "parts": {"count_max": 9}}));
        PlaceBinding { role, location: location.into(), is_there, identity: None, capabilities }
    }

    /// The bindings of a plan with two phases, saved before it has begun.
    fn saved() -> Bindings {
        let dataset = |name: &str| DatasetBinding {
            name: DatasetName::new(name).unwrap(),
            meaning: json!({
                "source": "s3://beijing/shop",
                "targets": [{"at": "s3://oregon/shop"}],
                "selection": {"include": [], "exclude": ["*.tmp"]},
                "places": {"beijing": "https://bj.example.com"},
            }),
            rules: [("extra".to_owned(), json!("keep"))].into(),
            cutover: Some(CutoverBinding {
                from: SiteName::new("beijing").unwrap(),
                to: SiteName::new("oregon").unwrap(),
                route: "s3://oregon/routes/shop.json".into(),
                fence: "none".into(),
            }),
            lead: LeadBinding::Unmoved,
            route: Some(RouteBinding {
                location: "s3://oregon/routes/shop.json".into(),
                shows: lead(0, "beijing"),
                attempt: None,
            }),
            places: vec![
                place(PlaceRole::Source, "s3://beijing/shop", true),
                place(PlaceRole::Target, "s3://oregon/shop", true),
                place(PlaceRole::Route, "s3://oregon/routes", false),
            ],
        };
        let phase = |name: &str, after: &[&str], dataset: &str| PhaseBinding {
            name: PhaseName::new(name).unwrap(),
            after: after.iter().map(|name| PhaseName::new(name).unwrap()).collect(),
            datasets: [DatasetName::new(dataset).unwrap()].into(),
        };
        let site = SiteBinding { jurisdiction: Some("US".into()), expected_bucket_owner: None };
        let rule = PolicyBinding { stays_in: ["US".to_owned()].into(), r#where: None };
        Bindings {
            plan: PlanName::new("expansion").unwrap(),
            phases: vec![phase("one", &[], "storefront"), phase("two", &["one"], "accounts")],
            sites: [(SiteName::new("oregon").unwrap(), site)].into(),
            policies: [("personal".to_owned(), vec![rule])].into(),
            datasets: vec![dataset("storefront"), dataset("accounts")],
        }
    }

    /// The changes that are told if a look finds the saved bindings changed in this way.
    #[track_caller]
    fn told_of(saved: &Bindings, change: impl FnOnce(&mut Bindings)) -> Vec<String> {
        let mut now = saved.clone();
        change(&mut now);
        // A file round trip must keep every binding.
        let read: Bindings = serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap();
        read.changes(&now).iter().map(ToString::to_string).collect()
    }

    fn shows(dataset: &mut DatasetBinding, lead: Lead, attempt: &str) {
        let route = dataset.route.as_mut().unwrap();
        (route.shows, route.attempt) = (lead, Some(attempt.to_owned()));
    }

    #[test]
    fn what_is_as_it_was_has_not_changed() {
        assert_eq!(told_of(&saved(), |_| {}), [""; 0]);
    }

    #[test]
    fn a_changed_meaning_names_what_of_it_changed() {
        let told = told_of(&saved(), |now| {
            let meaning = &mut now.datasets[0].meaning;
            meaning["source"] = json!("s3://beijing/other");
            meaning["targets"] = json!([{"at": "s3://oregon/shop"}, {"at": "s3://mumbai/shop"}]);
            meaning["selection"]["exclude"] = json!([]);
            meaning["places"]["beijing"] = json!("https://other.example.com");
        });
        assert_eq!(
            told,
            [
                "places.beijing of storefront: https://other.example.com, was https://bj.example.com",
                "selection.exclude of storefront: nothing, was *.tmp",
                "source of storefront: s3://beijing/other, was s3://beijing/shop",
                "targets of storefront: s3://oregon/shop, s3://mumbai/shop, was s3://oregon/shop",
            ]
        );
    }

    #[test]
    fn rules_cutover_sites_policies_and_phases_are_bound() {
        let told = told_of(&saved(), |now| {
            now.plan = PlanName::new("other").unwrap();
            now.datasets[0].rules.insert("extra".into(), json!("delete"));
            now.datasets[1].cutover.as_mut().unwrap().fence = "hook".into();
            now.sites.values_mut().for_each(|site| site.jurisdiction = Some("CN".into()));
            now.policies.get_mut("personal").unwrap().clear();
            now.phases[1].after.clear();
            now.phases[0].datasets.insert(DatasetName::new("promo").unwrap());
        });
        assert_eq!(
            told,
            [
                "name of the plan: other, was expansion",
                "datasets of phase one: promo, storefront, was storefront",
                "after of phase two: nothing, was one",
                "jurisdiction of site oregon: CN, was US",
                "policy of class personal: nothing, was {\"stays_in\":[\"US\"],\"where\":null}",
                "cutover.fence of accounts: hook, was none",
                "extra of storefront: delete, was keep",
            ]
        );
    }

    #[test]
    fn a_dataset_or_phase_that_came_or_went_is_named() {
        let told = told_of(&saved(), |now| {
            now.datasets[0].name = DatasetName::new("promo").unwrap();
            now.phases.pop();
        });
        assert_eq!(
            told,
            [
                "phase two: not in the plan, was in it",
                "dataset storefront: not in the plan, was in it",
                "dataset promo: in the plan, was not in it",
            ]
        );
    }

    #[test]
    fn a_place_may_come_and_may_not_go() {
        assert_eq!(told_of(&saved(), |now| now.datasets[0].places[2].is_there = true), [""; 0]);
        let told = told_of(&saved(), |now| {
            now.datasets[0].places[0] = place(PlaceRole::Source, "s3://beijing/shop", false);
        });
        assert_eq!(told, ["s3://beijing/shop: not there, was there"]);
    }

    #[test]
    fn a_capability_that_changed_is_told_once_for_all_datasets() {
        let told = told_of(&saved(), |now| {
            for dataset in &mut now.datasets {
                dataset.places[1].capabilities =
                    Some(json!({"proof": "read_back", "tags": true, "parts": {"count_max": 5}}));
            }
        });
        assert_eq!(
            told,
            [
                "parts.count_max of s3://oregon/shop: 5, was 9",
                "proof of s3://oregon/shop: read_back, was signed_payload"
            ]
        );
    }

    #[test]
    fn a_route_that_somebody_else_moved_is_a_change() {
        let told = told_of(&saved(), |now| shows(&mut now.datasets[0], lead(1, "oregon"), "theirs"));
        assert_eq!(told, ["route of storefront: epoch 1 led by oregon, was epoch 0 led by beijing"]);
        let rewritten = told_of(&saved(), |now| shows(&mut now.datasets[0], lead(0, "beijing"), "given up"));
        assert_eq!(rewritten, [""; 0], "the same lead and epoch under another attempt");
    }

    #[test]
    fn a_lead_that_this_migration_moved_as_planned_is_no_change() {
        let moved = |now: &mut Bindings| {
            now.datasets[0].lead = LeadBinding::Moved { to: lead(1, "oregon") };
            now.datasets[0].places.clear();
            shows(&mut now.datasets[0], lead(1, "oregon"), "ours");
        };
        assert_eq!(told_of(&saved(), moved), [""; 0]);
        // A moved dataset's places no longer matter, so the old lead's may be gone; its route still matters.
        let then = told_of(&saved(), |now| {
            moved(now);
            shows(&mut now.datasets[0], lead(2, "mumbai"), "theirs");
        });
        assert_eq!(then, ["route of storefront: epoch 2 led by mumbai, was epoch 1 led by oregon"]);
        // The lead is at another site than the plan's, or was moved twice.
        for to in [lead(1, "mumbai"), lead(2, "oregon")] {
            let told = told_of(&saved(), |now| {
                now.datasets[0].lead = LeadBinding::Moved { to: to.clone() };
                shows(&mut now.datasets[0], to.clone(), "ours");
            });
            assert!(told[0].starts_with("lead of storefront in the ledger: epoch"), "{told:?}");
            assert_eq!(told.len(), 2, "{told:?}");
        }
    }

    #[test]
    fn a_switch_that_was_cut_off_may_have_happened_or_not() {
        let cut_off = |now: &mut Bindings| {
            now.datasets[0].lead = LeadBinding::Switching { to: lead(1, "oregon"), attempt: "ours".into() };
        };
        assert_eq!(told_of(&saved(), cut_off), [""; 0], "the route was not reached");
        let happened = |by: &'static str| {
            told_of(&saved(), |now| {
                cut_off(now);
                shows(&mut now.datasets[0], lead(1, "oregon"), by);
            })
        };
        assert_eq!(happened("ours"), [""; 0]);
        assert_eq!(
            happened("theirs"),
            ["route of storefront: epoch 1 led by oregon, was epoch 0 led by beijing"],
            "the same lead, moved by somebody else"
        );
    }

    #[test]
    fn a_plan_saved_in_the_middle_of_a_switch_or_after_it_holds() {
        let mut middle = saved();
        middle.datasets[0].lead = LeadBinding::Switching { to: lead(1, "oregon"), attempt: "ours".into() };
        shows(&mut middle.datasets[0], lead(1, "oregon"), "ours");
        assert_eq!(told_of(&middle, |_| {}), [""; 0]);
        let settled = |now: &mut Bindings| now.datasets[0].lead = LeadBinding::Moved { to: lead(1, "oregon") };
        assert_eq!(told_of(&middle, settled), [""; 0]);
        let mut after = middle.clone();
        settled(&mut after);
        assert_eq!(told_of(&after, |_| {}), [""; 0]);
        let other_state = told_of(&after, |now| now.datasets[0].lead = LeadBinding::Unmoved);
        assert_eq!(other_state, ["lead of storefront in the ledger: not moved, was epoch 1 led by oregon"]);
    }

    #[test]
    fn a_binding_that_this_build_does_not_know_is_an_error() {
        let mut document = serde_json::to_value(saved()).unwrap();
        document["datasets"][0]["tables"] = json!([]);
        assert!(serde_json::from_value::<Bindings>(document).is_err());
    }
}
