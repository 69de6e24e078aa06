//! [`Value`]: what an attribute of an item holds, in `DynamoDB`'s own types.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::item::number::Number;

/// An item: its attributes by name, in byte order of the names.
pub type Item = BTreeMap<String, Value>;

/// The value of an attribute.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `S`: text.
    Text(String),
    /// `N`: an exact decimal.
    Number(Number),
    /// `B`: bytes.
    Binary(Bytes),
    /// `BOOL`.
    Bool(bool),
    /// `NULL`.
    Null,
    /// `M`: values by name.
    Map(BTreeMap<String, Value>),
    /// `L`: values in order.
    List(Vec<Value>),
    /// `SS`: a set of texts, never empty.
    Texts(BTreeSet<String>),
    /// `NS`: a set of numbers, never empty.
    Numbers(BTreeSet<Number>),
    /// `BS`: a set of binaries, never empty.
    Binaries(BTreeSet<Bytes>),
}

impl Value {
    /// The name of the type as `DynamoDB` writes it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Binary(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::Map(_) => "M",
            Self::List(_) => "L",
            Self::Texts(_) => "SS",
            Self::Numbers(_) => "NS",
            Self::Binaries(_) => "BS",
        }
    }
}
