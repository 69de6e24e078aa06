//! Sample items for the sources of table datasets.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    kind::{COUNTRIES, Kind},
    random::{Random, scaled},
};
use migrate_core::{
    item::{Item, Number, Value},
    plan::{Dataset, Plan, Scheme},
    table::{KeyType, Structure},
};

/// How many items a table gets at scale 1.
const ITEMS: u32 = 300;
/// The attribute by which items expire.
const TTL: &str = "expires";
/// Numbers in the forms that applications write.
const NUMBERS: [&str; 8] =
    ["0", "1.50", "-12.25", "1E3", "0.000001", "12345678901234567890123456789012345678", "-7E-20", "99.990"];

/// The sample table of a dataset: its structure, and its items, in no order.
#[derive(Debug, Clone)]
pub struct SampleTable {
    /// The table without TTL.
    pub structure: Structure,
    /// The attribute by which items expire.
    pub ttl: &'static str,
    /// The items. All have a `country`, so that a plan can say where each belongs.
    pub items: Vec<Item>,
}

/// The table datasets whose sources get samples, each with its table: those whose source is a table that no other
/// dataset fills.
pub fn tables(plan: &Plan, seed: u64, scale: f64) -> Vec<(&Dataset, SampleTable)> {
    let is_first = |dataset: &&Dataset| dataset.source.scheme == Scheme::DynamoDb && plan.filled_by(dataset).is_empty();
    plan.datasets().filter(is_first).map(|dataset| (dataset, SampleTable::of(dataset, seed, scale))).collect()
}

impl SampleTable {
    fn of(dataset: &Dataset, seed: u64, scale: f64) -> Self {
        let random = Random::of(seed, dataset.name.as_str());
        let sorted = Kind::guess(dataset) == Kind::Messages;
        // Each country has an item at any scale.
        let count = scaled(ITEMS, scale).max(2 * COUNTRIES.len() as u64);
        let make = |number| if sorted { message(number, &random) } else { account(number, &random) };
        let structure = if sorted {
            Structure::plain(("conversation", KeyType::Text), Some(("sent", KeyType::Number)))
        } else {
            Structure::plain(("id", KeyType::Text), None)
        };
        Self { structure, ttl: TTL, items: (0..count).map(make).collect() }
    }
}

/// Where the items are that an application changes and deletes, and between which countries it moves them. What the other
/// countries hold stays: a plan may have datasets that copy them on without following.
const MOVING: [&str; 2] = ["US", "SG"];

/// Whether an application writes over the item.
pub(crate) fn is_written(item: &Item) -> bool {
    MOVING.iter().any(|country| item.get("country") == Some(&text(*country)))
}

/// The item with another value, and perhaps in another country.
pub(crate) fn changed(item: &Item, number: usize) -> Item {
    let mut changed = item.clone();
    changed.insert("written".to_owned(), integer(number as u64));
    changed.insert("country".to_owned(), text(MOVING[number / 2 % MOVING.len()]));
    changed
}

fn account(number: u64, random: &Random) -> Item {
    let mut random = random.part(number);
    let mut item = common(number, &mut random);
    item.insert("id".to_owned(), text(format!("user-{number:06}-größe")));
    item.insert("balance".to_owned(), number_of(random.of_these(&NUMBERS)));
    let home = [("street", text("12 Main Street")), ("empty", text(String::new()))];
    let address = [
        ("home", map(home)),
        ("lines", Value::List(vec![text("first"), integer(random.below(100)), Value::Null, Value::Bool(true)])),
    ];
    item.insert("address".to_owned(), map(address));
    item.insert("roles".to_owned(), Value::Texts(["reader", "writer"].map(str::to_owned).into()));
    item
}

fn message(number: u64, random: &Random) -> Item {
    let mut random = random.part(number);
    let mut item = common(number, &mut random);
    item.insert("conversation".to_owned(), text(format!("conversation-{:04}", number / 5)));
    item.insert("sent".to_owned(), integer(1_700_000_000_000 + number));
    item.insert("text".to_owned(), text("hello ".repeat(1 + usize::try_from(random.below(20)).unwrap_or(0))));
    let keys: BTreeSet<Bytes> = (0..2).map(|_| Bytes::from(random.noise(8))).collect();
    item.insert("keys".to_owned(), Value::Binaries(keys));
    item
}

fn common(number: u64, random: &mut Random) -> Item {
    let size = usize::try_from(random.below(200)).unwrap_or(0);
    let numbers: BTreeSet<Number> = NUMBERS.iter().take(1 + size % NUMBERS.len()).map(|text| read(text)).collect();
    BTreeMap::from([
        ("country".to_owned(), country(number)),
        ("photo".to_owned(), Value::Binary(random.noise(size).into())),
        ("numbers".to_owned(), Value::Numbers(numbers)),
        // Far ahead: nothing expires while it is moved.
        (TTL.to_owned(), integer(4_000_000_000 + random.below(1_000_000))),
    ])
}

fn country(number: u64) -> Value {
    let at = usize::try_from(number % COUNTRIES.len() as u64).unwrap_or(0);
    text(COUNTRIES[at].to_uppercase())
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn map<const N: usize>(values: [(&str, Value); N]) -> Value {
    Value::Map(values.map(|(name, value)| (name.to_owned(), value)).into())
}

fn integer(number: u64) -> Value {
    number_of(&number.to_string())
}

fn number_of(text: &str) -> Value {
    Value::Number(read(text))
}

fn read(text: &str) -> Number {
    text.parse().expect("it is a number")
}
