//! [`Structure`]: all of a table but its items.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::item::{KeyNames, Value};

/// What [`Structure::reported`] says of a table that has replicas in other regions.
pub const REPLICAS: &str = "replicas of a global table";

/// All of a table but its items, as far as it can be made again elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// The name of the partition key.
    pub partition_key: String,
    /// The name of the sort key, if there is one.
    #[serde(default)]
    pub sort_key: Option<String>,
    /// The types of the attributes that the keys of the table and of its indexes are made of.
    pub key_types: BTreeMap<String, KeyType>,
    /// Local secondary indexes, by name.
    #[serde(default)]
    pub local_indexes: BTreeMap<String, Index>,
    /// Global secondary indexes, by name.
    #[serde(default)]
    pub global_indexes: BTreeMap<String, Index>,
    /// How capacity is paid for.
    #[serde(default)]
    pub billing: Billing,
    /// What its stream of changes shows, if it has one.
    #[serde(default)]
    pub stream: Option<StreamView>,
    /// The attribute that says when an item expires, if items do.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Tags of the table.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether it can be restored to any second of the last days.
    #[serde(default)]
    pub point_in_time_recovery: bool,
    /// Whether it refuses to be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Who keeps the key that it is encrypted with.
    #[serde(default)]
    pub encryption: Encryption,
    /// How storage is paid for.
    #[serde(default)]
    pub class: TableClass,
    /// Settings that cannot be made again elsewhere and are only told: a resource policy, auto scaling.
    #[serde(default)]
    pub reported: BTreeSet<String>,
}

impl Structure {
    /// A table with these keys and nothing else.
    pub fn plain(partition: (&str, KeyType), sort: Option<(&str, KeyType)>) -> Self {
        let named = |(name, kind): (&str, KeyType)| (name.to_owned(), kind);
        Self {
            partition_key: partition.0.to_owned(),
            sort_key: sort.map(|(name, _)| name.to_owned()),
            key_types: std::iter::once(partition).chain(sort).map(named).collect(),
            local_indexes: BTreeMap::new(),
            global_indexes: BTreeMap::new(),
            billing: Billing::OnDemand,
            stream: None,
            ttl: None,
            tags: BTreeMap::new(),
            point_in_time_recovery: false,
            deletion_protection: false,
            encryption: Encryption::Owned,
            class: TableClass::Standard,
            reported: BTreeSet::new(),
        }
    }

    /// The names of the key attributes.
    pub fn key_names(&self) -> KeyNames {
        KeyNames { partition: self.partition_key.clone(), sort: self.sort_key.clone() }
    }
}

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// `S`
    #[serde(rename = "S")]
    Text,
    /// `N`
    #[serde(rename = "N")]
    Number,
    /// `B`
    #[serde(rename = "B")]
    Binary,
}

impl KeyType {
    /// The name of the type as `DynamoDB` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "S",
            Self::Number => "N",
            Self::Binary => "B",
        }
    }

    /// The type of a value, if it can be a key's.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(_) => Some(Self::Text),
            Value::Number(_) => Some(Self::Number),
            Value::Binary(_) => Some(Self::Binary),
            _ => None,
        }
    }
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The name of its partition key.
    pub partition_key: String,
    /// The name of its sort key, if there is one.
    pub sort_key: Option<String>,
    /// What it holds of each item.
    pub projection: Projection,
    /// Its own capacity; `None` for a local index, and if it is paid for on demand.
    pub throughput: Option<Throughput>,
}

/// What an index holds of each item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// The keys alone.
    Keys,
    /// The keys and these attributes.
    Include(BTreeSet<String>),
    /// Everything.
    All,
}

/// How capacity is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Billing {
    /// By request.
    #[default]
    OnDemand,
    /// By what is provisioned.
    Provisioned(Throughput),
}

/// Capacity units a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// Read units.
    pub read: u64,
    /// Write units.
    pub write: u64,
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read units, {} write units", self.read, self.write)
    }
}

/// What the records of a stream show beside the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamView {
    /// Nothing.
    Keys,
    /// The item after the change.
    New,
    /// The item before the change.
    Old,
    /// Both.
    NewAndOld,
}

impl StreamView {
    /// What it shows, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::New => "new items",
            Self::Old => "old items",
            Self::NewAndOld => "new and old items",
        }
    }
}

/// Who keeps the key that a table is encrypted with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encryption {
    /// The service, unseen.
    #[default]
    Owned,
    /// The service, in the customer's account.
    Managed,
    /// The customer; a key of another region cannot be named at a target.
    Customer(String),
}

impl Encryption {
    /// Who keeps the key, for people.
    pub fn owner(&self) -> &'static str {
        match self {
            Self::Owned => "the service",
            Self::Managed => "the service, in the account",
            Self::Customer(_) => "the customer",
        }
    }
}

/// How storage is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TableClass {
    /// The usual one.
    #[default]
    Standard,
    /// Cheap storage, expensive requests.
    InfrequentAccess,
}
