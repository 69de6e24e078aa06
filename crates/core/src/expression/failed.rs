//! [`Failed`]: why an expression gives no answer on a record.

use crate::item::Value;

/// Why an expression gives no answer on a record. The texts name attributes and types, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It asks for something that the record does not have.
    #[error("it has no {0:?}: ask for it with has() first")]
    Missing(String),
    /// A list is shorter than an index asks for.
    #[error("an index lies outside of its list")]
    Outside,
    /// An operation does not fit the types of its values.
    #[error("{operation} does not fit {}", kinds.join(" and "))]
    Types {
        /// The operation as it is written.
        operation: &'static str,
        /// The types of its values, for people.
        kinds: Vec<&'static str>,
    },
    /// The whole expression is no boolean.
    #[error("the expression came to {0}, and must come to true or false")]
    NotBoolean(&'static str),
    /// A result that numbers cannot hold exactly.
    #[error("the exact result of {0} does not fit into a number of 38 digits")]
    Inexact(&'static str),
    /// `%` with something else than whole numbers, or by zero.
    #[error("% takes whole numbers, and the second must not be 0")]
    Remainder,
    /// A text that is no number.
    #[error("decimal() was given a text that is no number of at most 38 digits")]
    NotDecimal,
    /// Evaluating it took too long.
    #[error("evaluating it takes more than {0} steps")]
    TooLong(u32),
}

impl Failed {
    /// An operation that does not fit the types of these values.
    pub(super) fn types(operation: &'static str, values: &[&Value]) -> Self {
        Self::Types { operation, kinds: values.iter().map(|value| kind(value)).collect() }
    }
}

/// The type of a value, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "a text",
        Value::Number(_) => "a number",
        Value::Binary(_) => "a binary",
        Value::Bool(_) => "a boolean",
        Value::Null => "null",
        Value::Map(_) => "a map",
        Value::List(_) => "a list",
        Value::Texts(_) => "a set of texts",
        Value::Numbers(_) => "a set of numbers",
        Value::Binaries(_) => "a set of binaries",
    }
}
