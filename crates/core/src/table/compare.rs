//! The differences of two tables in all but their items, and what each means for a copy.

use std::{collections::BTreeMap, fmt::Display};

use crate::{
    plan::Property,
    table::structure::{Billing, Encryption, Index, Projection, StreamView, Structure, TableClass},
};

/// Whether the target leads yet. Until then its items must not expire by themselves: TTL is switched on last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The target follows.
    BeforeSwitch,
    /// The target has the lead, and should be all that the source was.
    AfterSwitch,
}

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Items of the one cannot be held by the other: nothing in a plan accepts that.
    Blocks,
    /// It blocks, unless the plan waives this.
    Waived(Property),
    /// It is shown, and changes nothing about the data.
    Shown,
}

/// One difference of a target from its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, what the source has and what the target has, as one phrase for people.
    pub what: String,
    /// What it means.
    pub weight: Weight,
}

impl Difference {
    /// The name that a plan waives to accept it, if one does.
    pub fn waive(&self) -> Option<&'static str> {
        match self.weight {
            Weight::Waived(property) => Some(property.as_str()),
            Weight::Blocks | Weight::Shown => None,
        }
    }

    /// Whether it blocks under a plan that waives these.
    pub fn blocks(&self, waived: &[Property]) -> bool {
        match self.weight {
            Weight::Blocks => true,
            Weight::Waived(property) => !waived.contains(&property) && !waived.contains(&Property::Properties),
            Weight::Shown => false,
        }
    }
}

/// All differences of a target from its source; none if the target is what the source is.
pub fn differences(source: &Structure, target: &Structure, moment: Moment) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    keys(source, target, &mut found);
    let local = (&source.local_indexes, &target.local_indexes);
    indexes("local index", local.0, local.1, &mut found);
    indexes("global index", &source.global_indexes, &target.global_indexes, &mut found);
    ttl(source, target, moment, &mut found);
    stream(source.stream, target.stream, &mut found);
    protection(source, target, &mut found);
    tags(source, target, &mut found);
    let class = |of: TableClass| match of {
        TableClass::Standard => "standard",
        TableClass::InfrequentAccess => "infrequent access",
    };
    found.unless_equal(
        "the table class",
        class(source.class),
        class(target.class),
        Weight::Waived(Property::StorageClass),
    );
    found.unless_equal("the billing", billing(source.billing), billing(target.billing), Weight::Shown);
    for setting in source.reported.difference(&target.reported) {
        found.add(format!("the source has a setting that is not made again: {setting}"), Weight::Shown);
    }
    found.0
}

struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, what: String, weight: Weight) {
        self.0.push(Difference { what, weight });
    }

    #[expect(clippy::needless_pass_by_value, reason = "texts are made for the call")]
    fn unless_equal<T: PartialEq + Display>(&mut self, what: &str, source: T, target: T, weight: Weight) {
        if source != target {
            self.add(format!("{what} is {source} at the source and {target} at the target"), weight);
        }
    }
}

fn keys(source: &Structure, target: &Structure, found: &mut Found) {
    let shown = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    let (ours, theirs) = (&source.partition_key, &target.partition_key);
    found.unless_equal("the partition key", ours, theirs, Weight::Blocks);
    found.unless_equal("the sort key", shown(&source.sort_key), shown(&target.sort_key), Weight::Blocks);
    // An attribute of a key or an index has one type in the whole table: items with another one are refused.
    for (name, kind) in &source.key_types {
        if let Some(other) = target.key_types.get(name).filter(|other| *other != kind) {
            let what = format!("the type of the key attribute {name}");
            found.unless_equal(&what, kind.as_str(), other.as_str(), Weight::Blocks);
        }
    }
}

fn indexes(kind: &str, source: &BTreeMap<String, Index>, target: &BTreeMap<String, Index>, found: &mut Found) {
    let waive = Weight::Waived(Property::Indexes);
    for (name, index) in source {
        match target.get(name) {
            None => found.add(format!("the {kind} {name} is missing at the target"), waive),
            Some(other) => {
                found.unless_equal(&format!("the {kind} {name}"), shape(index), shape(other), waive);
                let capacity = |of: &Index| of.throughput.map_or("none".to_owned(), |of| of.to_string());
                let what = format!("the capacity of the {kind} {name}");
                found.unless_equal(&what, capacity(index), capacity(other), Weight::Shown);
            }
        }
    }
    for name in target.keys().filter(|name| !source.contains_key(*name)) {
        found.add(format!("the {kind} {name} is at the target only"), waive);
    }
}

fn shape(index: &Index) -> String {
    let sort = index.sort_key.as_ref().map(|sort| format!(", {sort}")).unwrap_or_default();
    let projection = match &index.projection {
        Projection::Keys => "its keys".to_owned(),
        Projection::Include(names) => format!("its keys and {}", names.iter().cloned().collect::<Vec<_>>().join(", ")),
        Projection::All => "all attributes".to_owned(),
    };
    format!("on ({}{sort}) with {projection}", index.partition_key)
}

fn ttl(source: &Structure, target: &Structure, moment: Moment, found: &mut Found) {
    let waive = Weight::Waived(Property::Ttl);
    match (moment, &source.ttl, &target.ttl) {
        (Moment::BeforeSwitch, _, Some(attribute)) => found.add(
            format!("items of the target expire by {attribute}, also before it leads: what is copied may vanish there"),
            waive,
        ),
        (Moment::BeforeSwitch, _, None) => {}
        (Moment::AfterSwitch, ours, theirs) => {
            let shown = |ttl: &Option<String>| ttl.clone().unwrap_or_else(|| "none".to_owned());
            found.unless_equal("the attribute by which items expire", shown(ours), shown(theirs), waive);
        }
    }
}

fn stream(source: Option<StreamView>, target: Option<StreamView>, found: &mut Found) {
    let shown = |view: Option<StreamView>| view.map_or("none", StreamView::as_str);
    // A stream at the target alone may be what changes are captured from after the switch.
    let weight = if source.is_none() { Weight::Shown } else { Weight::Waived(Property::Stream) };
    found.unless_equal("the stream", shown(source), shown(target), weight);
}

fn protection(source: &Structure, target: &Structure, found: &mut Found) {
    let on = |is: bool| if is { "on" } else { "off" };
    let lost = |source: bool, waive| if source { Weight::Waived(waive) } else { Weight::Shown };
    let (ours, theirs) = (source.point_in_time_recovery, target.point_in_time_recovery);
    found.unless_equal("point-in-time recovery", on(ours), on(theirs), lost(ours, Property::Backups));
    let (ours, theirs) = (source.deletion_protection, target.deletion_protection);
    found.unless_equal("deletion protection", on(ours), on(theirs), lost(ours, Property::Properties));
    match (&source.encryption, &target.encryption) {
        // A key lies in one region; that of the target is the target's own.
        (Encryption::Customer(ours), Encryption::Customer(theirs)) => {
            found.unless_equal("the encryption key", ours, theirs, Weight::Shown);
        }
        (ours, theirs) => {
            let what = "the owner of the encryption key";
            found.unless_equal(what, ours.owner(), theirs.owner(), Weight::Waived(Property::Encryption));
        }
    }
}

fn tags(source: &Structure, target: &Structure, found: &mut Found) {
    let waive = Weight::Waived(Property::Tags);
    for (name, value) in &source.tags {
        match target.tags.get(name) {
            None => found.add(format!("the tag {name} is missing at the target"), waive),
            Some(other) => found.unless_equal(&format!("the tag {name}"), value, other, waive),
        }
    }
    for name in target.tags.keys().filter(|name| !source.tags.contains_key(*name)) {
        found.add(format!("the tag {name} is at the target only"), Weight::Shown);
    }
}

fn billing(of: Billing) -> String {
    match of {
        Billing::OnDemand => "on demand".to_owned(),
        Billing::Provisioned(throughput) => format!("provisioned ({throughput})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::structure::{KeyType, Throughput};

    fn accounts() -> Structure {
        let mut table = Structure::plain(("id", KeyType::Text), Some(("at", KeyType::Number)));
        let index =
            Index { partition_key: "country".into(), sort_key: None, projection: Projection::All, throughput: None };
        table.key_types.insert("country".into(), KeyType::Text);
        table.global_indexes.insert("by_country".into(), index.clone());
        table.local_indexes.insert("by_age".into(), Index { projection: Projection::Keys, ..index });
        table.stream = Some(StreamView::Keys);
        table.tags.insert("team".into(), "accounts".into());
        (table.point_in_time_recovery, table.deletion_protection) = (true, true);
        table
    }

    /// What is found after one change of the target, with the waive of each.
    fn changed(moment: Moment, change: impl FnOnce(&mut Structure)) -> Vec<(String, Weight)> {
        let mut target = accounts();
        change(&mut target);
        let found = differences(&accounts(), &target, moment);
        found.into_iter().map(|difference| (difference.what, difference.weight)).collect()
    }

    #[track_caller]
    fn one(weight: Weight, phrase: &str, change: impl FnOnce(&mut Structure)) {
        let found = changed(Moment::BeforeSwitch, change);
        let [(what, found_weight)] = found.as_slice() else { panic!("{found:?}") };
        assert!(what.contains(phrase), "{what}");
        assert_eq!(*found_weight, weight, "{what}");
    }

    #[test]
    fn a_table_does_not_differ_from_itself() {
        assert_eq!(changed(Moment::BeforeSwitch, |_| {}), []);
        assert_eq!(changed(Moment::AfterSwitch, |_| {}), []);
    }

    #[test]
    fn keys_always_block() {
        one(Weight::Blocks, "the partition key is id at the source and key", |table| {
            table.partition_key = "key".into();
        });
        one(Weight::Blocks, "the sort key is at at the source and none", |table| table.sort_key = None);
        for name in ["id", "at", "country"] {
            let binary = |table: &mut Structure| {
                table.key_types.insert(name.into(), KeyType::Binary);
            };
            one(Weight::Blocks, "the type of the key attribute", binary);
        }
    }

    #[test]
    fn everything_else_is_waived_by_its_name_or_only_shown() {
        let waived = Weight::Waived;
        one(waived(Property::Indexes), "by_country is missing", |table| table.global_indexes.clear());
        one(waived(Property::Indexes), "with its keys at the source and on (country) with all", |table| {
            table.local_indexes.get_mut("by_age").unwrap().projection = Projection::All;
        });
        one(waived(Property::Indexes), "is at the target only", |table| {
            let index = table.local_indexes["by_age"].clone();
            table.local_indexes.insert("more".into(), index);
        });
        one(waived(Property::Stream), "the stream is keys", |table| table.stream = None);
        one(waived(Property::Backups), "recovery is on", |table| table.point_in_time_recovery = false);
        one(waived(Property::Properties), "deletion protection", |table| table.deletion_protection = false);
        one(waived(Property::Tags), "the tag team is missing", |table| table.tags.clear());
        one(waived(Property::Tags), "accounts at the source and x", |table| {
            table.tags.insert("team".into(), "x".into());
        });
        one(waived(Property::Encryption), "encryption key", |table| table.encryption = Encryption::Managed);
        one(waived(Property::StorageClass), "table class", |table| table.class = TableClass::InfrequentAccess);
        one(Weight::Shown, "the billing is on demand", |table| {
            table.billing = Billing::Provisioned(Throughput { read: 5, write: 6 });
        });
        one(Weight::Shown, "the tag more", |table| drop(table.tags.insert("more".into(), String::new())));
    }

    #[test]
    fn items_do_not_expire_at_a_target_before_it_leads() {
        let mut source = accounts();
        source.ttl = Some("expires".into());
        let with = |ttl: Option<&str>| Structure { ttl: ttl.map(str::to_owned), ..source.clone() };
        assert_eq!(differences(&source, &with(None), Moment::BeforeSwitch), []);
        let early = differences(&source, &with(Some("expires")), Moment::BeforeSwitch);
        assert_eq!(early[0].waive(), Some("ttl"), "{early:?}");
        assert_eq!(differences(&source, &with(Some("expires")), Moment::AfterSwitch), []);
        for late in [None, Some("other")] {
            assert_eq!(differences(&source, &with(late), Moment::AfterSwitch)[0].waive(), Some("ttl"));
        }
    }

    #[test]
    fn a_plan_accepts_what_it_waives_and_never_another_key() {
        let mut target = accounts();
        target.stream = None;
        let stream = &differences(&accounts(), &target, Moment::BeforeSwitch)[0];
        assert!(stream.blocks(&[]) && stream.blocks(&[Property::Tags]));
        assert!(!stream.blocks(&[Property::Stream]) && !stream.blocks(&[Property::Properties]));
        target = accounts();
        target.sort_key = None;
        let key = &differences(&accounts(), &target, Moment::BeforeSwitch)[0];
        assert!(key.blocks(&[Property::Properties]) && key.waive().is_none());
        target = accounts();
        target.billing = Billing::Provisioned(Throughput { read: 5, write: 6 });
        assert!(!differences(&accounts(), &target, Moment::BeforeSwitch)[0].blocks(&[]));
    }
}
