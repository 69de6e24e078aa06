//! [`ItemRoute`]: a route as one item of a table, which a swap replaces under a condition.
//!
//! The partition key of the table is one text of any name, and there is no sort key; the name of the dataset is the key
//! of its item. The other attributes are those of the document, plain: an application reads them with any SDK, by a
//! strongly consistent read.
//!
//! # Absence
//!
//! "No such item" alone is no answer: a table that is being made or restored would say it, and so would one with other
//! keys. It is believed only from a strong read in a table that was described right before, that can be used, and whose
//! keys are those of routes.
//!
//! # Swaps
//!
//! The condition names every attribute of the item that was read, so also the attempt, which no other document has. So
//! a request whose answer was lost may be sent again as it is, as long as a look shows that the item is still the one
//! that it names: whichever of the two lands first takes that item away from the other.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use serde_json::Value as Json;

use super::{
    document::RouteDocument,
    error::RouteError,
    kept::Kept,
    name::RouteName,
    shown::{Shown, Version},
};
use migrate_core::{
    item::{Item, ItemKey, Value},
    table::{KeyType, REPLICAS},
};
use migrate_store::{
    Conditions, ErrorKind, StoreError,
    table::{Described, TableState, TableStore},
};

/// The attribute that names the dataset, and the others of a document.
const DATASET: &str = "dataset";
const OTHERS: [&str; 8] = ["epoch", "attempt", "lead", "partitions", "followers", "max_age_s", "since", "driver"];
/// The name of what a probe finds.
pub(super) const CONDITIONS: &str = "conditions";
/// How often one swap is sent if its answers are lost.
const WRITES_MAX: u32 = 3;
/// What a table must be like.
const NEEDED: &str = "a route needs a table whose partition key is one text (S), without a sort key";

/// A route as an item of a table.
#[derive(Debug)]
pub(super) struct ItemRoute {
    table: Arc<dyn TableStore>,
    name: RouteName,
    /// The value of the partition key of the item that a probe makes.
    scratch: String,
    /// The name of the partition key, once the table was seen.
    key_name: OnceLock<String>,
    /// Whether a probe has shown that conditions are kept.
    keeps_conditions: AtomicBool,
}

impl ItemRoute {
    pub(super) fn new(table: Arc<dyn TableStore>, name: RouteName, scratch: String, keeps_conditions: bool) -> Self {
        Self { table, name, scratch, key_name: OnceLock::new(), keeps_conditions: keeps_conditions.into() }
    }

    /// Looks at the table, which must be there and be able to hold routes; returns the name of its partition key, and
    /// what its server calls it among all tables.
    pub(super) async fn seen(&self) -> Result<(String, Option<String>), RouteError> {
        let failed = |kind, detail: String| StoreError::new(kind, "read route", &self.name.location, detail);
        let Some(described) = self.table.describe().await? else {
            return Err(failed(ErrorKind::NoContainer, format!("there is no such table; {NEEDED}")).into());
        };
        if !matches!(described.state, TableState::Active | TableState::Updating) {
            let state = format!("{:?}", described.state).to_lowercase();
            return Err(failed(ErrorKind::Unavailable, format!("its table cannot be used now: it is {state}")).into());
        }
        if let Some(detail) = unfit(&described) {
            return Err(RouteError::Unfit { location: self.name.location.clone(), detail });
        }
        let found = described.structure.partition_key;
        let known = self.key_name.get_or_init(|| found.clone());
        if *known != found {
            let detail = format!("its table had the partition key {known}, and has {found} now: run again");
            return Err(failed(ErrorKind::Changed, detail).into());
        }
        Ok((found, described.arn))
    }

    async fn key_name(&self) -> Result<String, RouteError> {
        match self.key_name.get() {
            Some(known) => Ok(known.clone()),
            None => Ok(self.seen().await?.0),
        }
    }

    fn key(value: &str) -> ItemKey {
        ItemKey { partition: Value::Text(value.to_owned()), sort: None }
    }

    /// The item of the dataset, by a strong read.
    async fn look(&self) -> Result<Option<Item>, RouteError> {
        let got = self.table.get(&[Self::key(self.name.dataset.as_str())]).await?;
        if !got.left.is_empty() {
            let detail = "its server does not answer for the item";
            return Err(StoreError::new(ErrorKind::Throttled, "read route", &self.name.location, detail).into());
        }
        Ok(got.found.into_iter().next().map(|(_, item)| item))
    }

    fn shown(&self, item: Item) -> Result<Shown, RouteError> {
        let attribute = |name: &str| Some((name.to_owned(), to_json(item.get(name)?)));
        let document: serde_json::Map<_, _> = OTHERS.into_iter().chain([DATASET]).filter_map(attribute).collect();
        let document = self.name.checked(serde_json::from_value(Json::Object(document)))?;
        Ok(Shown { document, version: Version::Item(item) })
    }
}

/// Why a table cannot hold a route; `None` if it can.
fn unfit(described: &Described) -> Option<String> {
    let structure = &described.structure;
    let key = &structure.partition_key;
    if let Some(sort) = &structure.sort_key {
        return Some(format!("it has the sort key {sort}; {NEEDED}"));
    }
    if structure.key_types.get(key) != Some(&KeyType::Text) {
        return Some(format!("its partition key {key} is no text; {NEEDED}"));
    }
    if OTHERS.contains(&key.as_str()) {
        return Some(format!("its partition key has the name {key}, which is an attribute of the route; {NEEDED}"));
    }
    if let Some(ttl) = structure.ttl.as_deref().filter(|ttl| OTHERS.contains(ttl)) {
        return Some(format!("its items expire by {ttl}, which is an attribute of the route: switch that off"));
    }
    // Replicas follow each other, and the last write of two wins: a condition is judged by what one region holds.
    // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html>
    structure.reported.contains(REPLICAS).then(|| {
        "it has replicas in other regions, where conditions do not hold and reads may be old: choose a table of one \
         region"
            .to_owned()
    })
}

/// The item of a document.
fn item_of(document: &RouteDocument, key_name: &str) -> Item {
    let json = serde_json::to_value(document).expect("a route of names and numbers is JSON");
    let mut item = match from_json(json) {
        Value::Map(attributes) => attributes,
        other => Item::from([(DATASET.to_owned(), other)]),
    };
    item.insert(key_name.to_owned(), Value::Text(document.dataset.to_string()));
    item
}

/// JSON as a plain value.
fn from_json(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(bool),
        Json::Number(number) => {
            Value::Number(number.to_string().parse().expect("an integer is a number of at most 20 digits"))
        }
        Json::String(text) => Value::Text(text),
        Json::Array(all) => Value::List(all.into_iter().map(from_json).collect()),
        Json::Object(all) => Value::Map(all.into_iter().map(|(name, value)| (name, from_json(value))).collect()),
    }
}

/// A value as plain JSON; binaries and sets, which no document has, as null.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Number(number) => {
            let text = number.to_string();
            text.parse::<u64>().map_or_else(|_| text.parse::<f64>().map_or(Json::Null, Json::from), Json::from)
        }
        Value::Bool(bool) => (*bool).into(),
        Value::List(all) => all.iter().map(to_json).collect(),
        Value::Map(all) => all.iter().map(|(name, value)| (name.clone(), to_json(value))).collect(),
        Value::Null | Value::Binary(_) | Value::Texts(_) | Value::Numbers(_) | Value::Binaries(_) => Json::Null,
    }
}

#[async_trait]
impl Kept for ItemRoute {
    async fn read(&self) -> Result<Option<Shown>, RouteError> {
        if self.key_name.get().is_some()
            && let Some(item) = self.look().await?
        {
            return self.shown(item).map(Some);
        }
        self.seen().await?;
        self.look().await?.map(|item| self.shown(item)).transpose()
    }

    async fn met(&self) -> Result<Option<String>, RouteError> {
        Ok(self.seen().await?.1)
    }

    async fn write(&self, from: Option<&Version>, to: &RouteDocument) -> Result<(), RouteError> {
        let item = item_of(to, &self.key_name().await?);
        let expected = match from {
            Some(Version::Item(read)) => Some(read),
            _ => None,
        };
        let mut sent = 1;
        loop {
            match self.table.put_if(&item, expected).await {
                Err(error) if error.outcome_unknown() && sent < WRITES_MAX => {
                    if self.look().await.map_err(unknown)?.as_ref() != expected {
                        return Err(error.into());
                    }
                    sent += 1;
                }
                // A request before this one may still act, unless the item that it names is gone.
                Err(error) if sent > 1 && error.kind() != ErrorKind::Precondition => {
                    return Err(error.with_unknown_outcome().into());
                }
                answer => return Ok(answer?),
            }
        }
    }

    async fn probe(&self) -> Result<(), RouteError> {
        self.seen().await?;
        let key = Self::key(&self.scratch);
        // A request of an earlier probe that lands late could disturb one, so a refusal must come twice.
        let kept = self.table.probe_item(&key).await? || self.table.probe_item(&key).await?;
        self.keeps_conditions.store(kept, Relaxed);
        Ok(())
    }

    fn is_atomic(&self) -> bool {
        self.keeps_conditions.load(Relaxed)
    }

    fn needs(&self) -> &'static str {
        "condition expressions"
    }

    fn conditions(&self) -> Conditions {
        let kept = if self.is_atomic() { "native" } else { "not kept" };
        Conditions { create: kept, replace: kept, create_in_parts: kept, replace_in_parts: kept, delete: kept }
    }

    fn found(&self) -> Json {
        serde_json::json!({ CONDITIONS: self.is_atomic() })
    }
}

/// The write before a look that failed may have happened.
fn unknown(error: RouteError) -> RouteError {
    match error {
        RouteError::Store(error) => error.with_unknown_outcome().into(),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{shown::Swapped, store::RouteStore};
    use super::*;
    use crate::driver::Driver;
    use migrate_core::{
        item::item_from_json,
        model::{DatasetName, Epoch, SiteName},
        table::Structure,
    };
    use migrate_store::{
        faulty::{Crash, Fault, FaultRule, Faults, FaultyTable, Operation, When},
        memory_table::MemoryTable,
        retry::{RetryPolicy, RetryingTable},
        table::ItemWrite,
    };

    fn document(epoch: u64, lead: &str, attempt: &str) -> RouteDocument {
        RouteDocument {
            dataset: DatasetName::new("shop").unwrap(),
            epoch: Epoch(epoch),
            attempt: attempt.into(),
            lead: SiteName::new(lead).unwrap(),
            partitions: Vec::new(),
            followers: vec![SiteName::new("beijing").unwrap()],
            max_age_s: 30,
            since: "2026-01-01T00:00:00Z".into(),
            driver: None,
        }
    }

    fn routes(key: &str) -> MemoryTable {
        MemoryTable::with("dynamodb://c/routes", Structure::plain((key, KeyType::Text), None))
    }

    /// A route in a table that was never probed.
    fn route(table: Arc<dyn TableStore>) -> RouteStore {
        opened(table, false)
    }

    fn opened(table: Arc<dyn TableStore>, keeps_conditions: bool) -> RouteStore {
        let name = RouteName { location: "dynamodb://c/routes".into(), dataset: DatasetName::new("shop").unwrap() };
        let item = ItemRoute::new(table, name, ".migrate-probe-1".into(), keeps_conditions);
        RouteStore::kept_by("dynamodb://c/routes".into(), Arc::new(item))
    }

    async fn proved(table: &MemoryTable) -> RouteStore {
        let route = route(Arc::new(table.clone()));
        route.prove().await.unwrap();
        route
    }

    fn put(table: &MemoryTable, json: &str) {
        table.apply(&ItemWrite::Put(item_from_json(json.as_bytes()).unwrap())).unwrap();
    }

    #[tokio::test]
    async fn a_route_moves_from_what_was_read_and_from_nothing_else() {
        let table = routes("dataset");
        let (route, other) = (proved(&table).await, proved(&table).await);
        assert!(table.snapshot().is_empty(), "a probe leaves nothing");
        assert_eq!(route.read().await.unwrap(), None);
        let first = document(1, "singapore", "a");
        assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done);
        assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done, "twice is once");
        let shown = other.read().await.unwrap().unwrap();
        assert_eq!(shown.document, first);

        let lost = other.swap(None, &document(1, "oregon", "b")).await.unwrap();
        assert_eq!(lost, Swapped::Lost(Some(Box::new(shown.clone()))));
        let driver =
            Driver { ledger: "l".into(), since: "s".into(), by: None, state: Some("d".into()), instead_of: None };
        let second = RouteDocument { driver: Some(driver), ..document(2, "oregon", "c") };
        assert_eq!(route.swap(Some(&shown), &second).await.unwrap(), Swapped::Done);
        let third = document(2, "tokyo", "d");
        assert!(matches!(other.swap(Some(&shown), &third).await.unwrap(), Swapped::Lost(Some(_))));
        assert_eq!(other.read().await.unwrap().unwrap().document, second);
    }

    /// What an application finds, whatever SDK it uses.
    #[tokio::test]
    async fn an_item_has_the_attributes_of_the_document_under_a_key_of_any_name() {
        for (name, more) in [("dataset", ""), ("pk", r#""pk":{"S":"shop"},"#)] {
            let table = routes(name);
            let driver =
                Driver { ledger: "l".into(), since: "s".into(), by: None, state: None, instead_of: Some("k".into()) };
            let written = RouteDocument { driver: Some(driver), ..document(12, "oregon", "a") };
            assert_eq!(proved(&table).await.swap(None, &written).await.unwrap(), Swapped::Done);
            let expected = format!(
                r#"{{{more}"dataset":{{"S":"shop"}},"epoch":{{"N":"12"}},"attempt":{{"S":"a"}},"lead":{{"S":"oregon"}},
                    "followers":{{"L":[{{"S":"beijing"}}]}},"max_age_s":{{"N":"30"}},"since":{{"S":"2026-01-01T00:00:00Z"}},
                    "driver":{{"M":{{"ledger":{{"S":"l"}},"since":{{"S":"s"}},"instead_of":{{"S":"k"}}}}}}}}"#
            );
            let held: Vec<_> = table.snapshot().into_values().collect();
            assert_eq!(held, [item_from_json(expected.as_bytes()).unwrap()]);
            assert_eq!(proved(&table).await.read().await.unwrap().unwrap().document, written);
        }
    }

    #[tokio::test]
    async fn what_is_no_route_is_not_overwritten() {
        let table = routes("pk");
        let route = proved(&table).await;
        for (item, said) in [
            (r#"{"pk":{"S":"shop"},"name":{"S":"Shop"}}"#, "is not a route of dataset shop"),
            (
                r#"{"pk":{"S":"shop"},"dataset":{"S":"other"},"epoch":{"N":"1"},"attempt":{"S":"a"},"lead":{"S":"x"},
                 "followers":{"L":[]},"max_age_s":{"N":"1"},"since":{"S":"s"}}"#,
                "that of dataset other",
            ),
            (
                r#"{"pk":{"S":"shop"},"dataset":{"S":"shop"},"epoch":{"N":"1.5"},"attempt":{"S":"a"},"lead":{"S":"x"},
                 "followers":{"L":[]},"max_age_s":{"N":"1"},"since":{"S":"s"}}"#,
                "1.5",
            ),
        ] {
            put(&table, item);
            let before = table.snapshot();
            let error = route.read().await.unwrap_err();
            assert!(matches!(&error, RouteError::Foreign { .. }) && error.to_string().contains(said), "{error}");
            assert!(route.swap(None, &document(1, "singapore", "a")).await.is_err());
            assert_eq!(table.snapshot(), before);
        }
    }

    /// An attribute that the document does not know belongs to the version, too.
    #[tokio::test]
    async fn the_whole_item_is_compared() {
        let table = routes("dataset");
        let route = proved(&table).await;
        route.swap(None, &document(1, "singapore", "a")).await.unwrap();
        let shown = route.read().await.unwrap().unwrap();
        let mut item = table.snapshot().into_values().next().unwrap();
        item.insert("note".into(), Value::Text("by hand".into()));
        table.apply(&ItemWrite::Put(item)).unwrap();
        assert!(matches!(route.swap(Some(&shown), &document(2, "oregon", "b")).await.unwrap(), Swapped::Lost(_)));
        let shown = route.read().await.unwrap().unwrap();
        assert_eq!(shown.document, document(1, "singapore", "a"), "unknown attributes are ignored");
        assert_eq!(route.swap(Some(&shown), &document(2, "oregon", "b")).await.unwrap(), Swapped::Done);
    }

    #[tokio::test]
    async fn a_table_that_ignores_conditions_or_refuses_all_holds_no_route() {
        for table in [routes("dataset").ignoring_conditions(), routes("dataset").refusing_conditions()] {
            let route = route(Arc::new(table.clone()));
            for error in [
                route.swap(None, &document(1, "singapore", "a")).await.unwrap_err(),
                route.prove().await.unwrap_err(),
                route.swap(None, &document(1, "singapore", "a")).await.unwrap_err(),
            ] {
                assert!(matches!(error, RouteError::NoConditions { .. }), "{error}");
                assert!(error.to_string().contains("condition expressions"), "{error}");
            }
            assert!(table.snapshot().is_empty(), "nothing is left");
        }
    }

    #[tokio::test]
    async fn absence_is_believed_only_in_a_table_that_can_hold_routes() {
        let keyed = |kind, sort| Structure::plain(("dataset", kind), sort);
        let plain = || keyed(KeyType::Text, None);
        let named = Structure::plain(("lead", KeyType::Text), None);
        let expiring = Structure { ttl: Some("epoch".into()), ..plain() };
        let spread = Structure { reported: [REPLICAS.to_owned()].into(), ..plain() };
        for (structure, said) in [
            (keyed(KeyType::Number, None), "its partition key dataset is no text"),
            (keyed(KeyType::Text, Some(("at", KeyType::Number))), "it has the sort key at"),
            (named, "has the name lead"),
            (expiring, "expire by epoch"),
            (spread, "replicas in other regions"),
        ] {
            let route = route(Arc::new(MemoryTable::with("t", structure)));
            for error in [route.read().await.unwrap_err(), route.prove().await.unwrap_err()] {
                assert!(matches!(error, RouteError::Unfit { .. }) && error.to_string().contains(said), "{error}");
            }
        }
        for (state, kind) in [
            (None, ErrorKind::NoContainer),
            (Some(TableState::Creating), ErrorKind::Unavailable),
            (Some(TableState::Deleting), ErrorKind::Unavailable),
            (Some(TableState::Inaccessible), ErrorKind::Unavailable),
        ] {
            let table = state.map_or_else(|| MemoryTable::new("t"), |_| MemoryTable::with("t", plain()));
            state.inspect(|state| table.set_state(*state));
            let error = route(Arc::new(table)).read().await.unwrap_err();
            assert!(matches!(&error, RouteError::Store(store) if store.kind() == kind), "{error}");
        }
        let table = MemoryTable::with("t", plain());
        table.set_state(TableState::Updating);
        assert_eq!(route(Arc::new(table)).read().await.unwrap(), None);
    }

    /// A route that fails by these rules, over a table that does not.
    fn failing(table: &MemoryTable, rules: Vec<FaultRule>) -> (RouteStore, Arc<Faults>) {
        let faults = Arc::new(Faults::with_rules(1, rules));
        let broken = Arc::new(FaultyTable::new(Arc::new(table.clone()), faults.clone()));
        let policy = RetryPolicy { pause: std::time::Duration::from_millis(1), ..RetryPolicy::default() };
        (opened(Arc::new(RetryingTable::new(broken, policy)), true), faults)
    }

    #[tokio::test]
    async fn a_lost_answer_is_settled_by_reading() {
        for fault in [Fault::ResetAfter, Fault::ResetBefore, Fault::TimedOut, Fault::InternalError] {
            let table = routes("dataset");
            let (route, _) = failing(&table, vec![FaultRule::new(fault, When::Only(1)).on([Operation::PutIf])]);
            let first = document(1, "singapore", "a");
            assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done, "{fault:?}");
            assert_eq!(route.read().await.unwrap().unwrap().document, first);
        }
        // If every answer is lost, and nothing acted, nobody knows.
        let table = routes("dataset");
        let (route, _) = failing(&table, vec![FaultRule::new(Fault::TimedOut, When::Every(1)).on([Operation::PutIf])]);
        assert_eq!(route.swap(None, &document(1, "singapore", "a")).await.unwrap(), Swapped::Unsettled);
    }

    /// The requests that got no answer act when the route has moved on: each names an item that is gone.
    #[tokio::test]
    async fn a_late_request_of_ours_changes_nothing_any_more() {
        let table = routes("dataset");
        let held = FaultRule::new(Fault::Held, When::Only(1)).on([Operation::PutIf]);
        let (route, faults) = failing(&table, vec![held.clone()]);
        let first = document(1, "singapore", "a");
        assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done, "it was sent once more");
        let shown = route.read().await.unwrap().unwrap();
        faults.set_rules(1, vec![FaultRule { when: When::Every(1), ..held }]);
        assert_eq!(route.swap(Some(&shown), &document(2, "oregon", "b")).await.unwrap(), Swapped::Unsettled);
        faults.set_rules(1, Vec::new());
        let seal = document(1, "singapore", "c");
        assert_eq!(route.swap(Some(&shown), &seal).await.unwrap(), Swapped::Done);
        assert_eq!(faults.release().await, 4);
        assert_eq!(route.read().await.unwrap().unwrap().document, seal);
    }

    /// A refusal of a later request says nothing of the first one.
    #[tokio::test]
    async fn an_outcome_stays_unknown_until_the_item_shows_it() {
        let table = routes("dataset");
        let lost = FaultRule::new(Fault::Held, When::Only(1)).on([Operation::PutIf]);
        let refused = FaultRule::new(Fault::ExpiredCredentials(1), When::Only(2)).on([Operation::PutIf]);
        let (route, _) = failing(&table, vec![lost, refused]);
        let swapped = route.swap(None, &document(1, "singapore", "a")).await;
        match swapped {
            Ok(Swapped::Unsettled) => {}
            Err(error) => assert!(error.outcome_unknown(), "{error}"),
            Ok(other) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_writer_that_dies_leaves_a_route_that_tells() {
        for (crash, expected) in [(Crash::After(1), true), (Crash::Before(1), false)] {
            let table = routes("dataset");
            let faults = Arc::new(Faults::none().with_crash(crash));
            let broken = opened(Arc::new(FaultyTable::new(Arc::new(table.clone()), faults)), true);
            assert!(broken.swap(None, &document(1, "singapore", "a")).await.is_err());
            let shown = proved(&table).await.read().await.unwrap();
            assert_eq!(shown.is_some_and(|shown| shown.document.attempt == "a"), expected);
        }
    }
}
