//! What a saved plan is bound to, as a value, and what of it is no longer so. Touches nothing.
//!
//! # What counts as a change
//!
//! What somebody agreed to when the plan was saved: which data goes where and under which rules, which
//! phase waits for which, who leads, what the endpoints can do, and that the places are there. Counts are
//! not part of it, nor is what only decides how fast or how thoroughly the work is done.
//!
//! # What a migration does to itself is no change
//!
//! A saved plan is run again after any stop, and by then it may have made its target directories, moved
//! leads and raised epochs. So the ledger is part of the look: a lead that it says was moved as planned
//! is where it is expected, and so is a route that shows the attempt which the ledger knows to be open.

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

/// What a saved plan is bound to. A field that this build does not know is an error: what is not compared
/// must not pass for unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    /// The plan; its name is that of its state.
    pub plan: PlanName,
    /// The phases of the datasets.
    pub phases: Vec<PhaseBinding>,
    /// The sites that they use.
    pub sites: BTreeMap<SiteName, SiteBinding>,
    /// The residency rules of their classes.
    pub policies: BTreeMap<String, Vec<PolicyBinding>>,
    /// The datasets.
    pub datasets: Vec<DatasetBinding>,
}

/// One phase: what it waits for, and what moves together in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseBinding {
    /// Its name.
    pub name: PhaseName,
    /// The phases that come first.
    pub after: BTreeSet<PhaseName>,
    /// All its datasets, also those that the saved plan leaves out.
    pub datasets: BTreeSet<DatasetName>,
}

/// What matters of a site beside its place, which is part of what a dataset means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteBinding {
    /// Whose law holds there.
    pub jurisdiction: Option<String>,
    /// The AWS account that must own its buckets.
    pub expected_bucket_owner: Option<String>,
}

/// One residency rule of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyBinding {
    /// Where its records may be.
    pub stays_in: BTreeSet<String>,
    /// Which records; all where absent.
    pub r#where: Option<String>,
}

/// One dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetBinding {
    /// Its name.
    pub name: DatasetName,
    /// Source, targets, selection and places.
    pub meaning: Value,
    /// What else decides what is written, deleted or let go, by the plan's keys.
    pub rules: BTreeMap<String, Value>,
    /// How its lead is to move.
    pub cutover: Option<CutoverBinding>,
    /// Who leads, as the ledger knows it.
    pub lead: LeadBinding,
    /// What its route shows.
    pub route: Option<RouteBinding>,
    /// Its places; none where its lead has moved, since a run no longer touches them.
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
    /// What stops writes at the old lead.
    pub fence: String,
}

/// Who leads, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum LeadBinding {
    /// The source's site, as the plan says.
    Unmoved,
    /// A switch was begun; only the route tells whether it has happened.
    Switching {
        /// Where the lead goes.
        to: Lead,
        /// The attempt that the route shows then.
        attempt: String,
    },
    /// It has moved.
    Moved {
        /// Where it is.
        to: Lead,
    },
}

/// What a route shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteBinding {
    /// Where it is.
    pub location: String,
    /// The lead and its epoch. No route yet is the same as one of epoch 0 that shows the source's site.
    pub shows: Lead,
    /// The attempt that wrote it; never a change by itself, for a switch that was given up rewrites the
    /// route as it was.
    pub attempt: Option<String>,
}

/// What a place is to a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceRole {
    /// It is read.
    Source,
    /// It is written.
    Target,
    /// The folder of the route.
    Route,
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceBinding {
    /// What it is to the dataset.
    pub role: PlaceRole,
    /// Its location.
    pub location: String,
    /// Whether the bucket or directory is there.
    pub is_there: bool,
    /// Which directory it is; `None` for a bucket, and where it is not there.
    pub identity: Option<Identity>,
    /// What a probe found; `None` for what is only read, or is not there.
    pub capabilities: Option<Value>,
}

/// Something that is not as it was when the plan was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// What, for people.
    pub what: String,
    /// As it is now.
    pub is: String,
    /// As it was, or as it would be had only this migration moved it.
    pub was: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, was {}", self.what, self.is, self.was)
    }
}

impl Bindings {
    /// What of these bindings no longer holds, given what a look sees `now`; empty where all holds.
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
        // A site or class that only one side uses follows from what the datasets say.
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
        // One endpoint serves many datasets, and is told of once.
        if !self.changes.contains(&changed) {
            self.changes.push(changed);
        }
    }

    /// Those that are on both sides; one that came or went is a change.
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

    /// Compares who leads by the ledger; what the route is expected to show, where it is the same route.
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

    /// A place that was there has to be there: a source that is gone looks empty, and a target directory
    /// that is gone is often a disk that is not mounted. One that was not there may come: a run makes
    /// target directories, and an earlier dataset fills this one's source; a route's folder has to be there
    /// before anything is saved. What
    /// was put there meanwhile is data, which a run compares like any other.
    fn places(&mut self, saved: &DatasetBinding, now: &DatasetBinding) {
        for before in &saved.places {
            let same = |place: &&PlaceBinding| place.role == before.role && place.location == before.location;
            // Another place is another meaning, which has been told.
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

    /// Compares the fields of two objects, which stand at `path` of something.
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

    /// Compares two values, field by field where both have fields.
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

/// A value for people.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(elements) if elements.is_empty() => "nothing".to_owned(),
        Value::Array(elements) => elements.iter().map(shown).collect::<Vec<_>>().join(", "),
        // The usual target.
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

    /// A plan of two phases, saved before anything has begun.
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

    /// What is told where a look sees this in place of what was saved.
    #[track_caller]
    fn told_of(saved: &Bindings, change: impl FnOnce(&mut Bindings)) -> Vec<String> {
        let mut now = saved.clone();
        change(&mut now);
        // What comes out of the file is what went into it.
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
        // Its places no longer matter, so the old lead's may be gone; its route still does.
        let then = told_of(&saved(), |now| {
            moved(now);
            shows(&mut now.datasets[0], lead(2, "mumbai"), "theirs");
        });
        assert_eq!(then, ["route of storefront: epoch 2 led by mumbai, was epoch 1 led by oregon"]);
        // The plan moves it elsewhere than it was moved to, or it was moved twice.
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
