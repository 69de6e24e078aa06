//! Whether values are equal, which is greater, and whether one holds another. Values of different types are neither
//! equal nor unequal: a text that was meant as a number is a mistake of the plan or of the record. Only null may be
//! compared with everything.

use std::cmp::Ordering;

use crate::{
    expression::{failed::Failed, steps::Steps},
    item::Value,
};

/// Whether two values are equal.
pub(super) fn equal(operation: &'static str, a: &Value, b: &Value, steps: &mut Steps) -> Result<bool, Failed> {
    steps.take(steps_of(a).min(steps_of(b)))?;
    match (a, b) {
        (Value::Null, _) | (_, Value::Null) => Ok(a == b),
        (Value::List(ours), Value::List(theirs)) => {
            let mut equal_so_far = ours.len() == theirs.len();
            for (a, b) in ours.iter().zip(theirs) {
                equal_so_far &= equal(operation, a, b, steps)?;
            }
            Ok(equal_so_far)
        }
        (Value::Map(ours), Value::Map(theirs)) => {
            let mut equal_so_far = ours.len() == theirs.len();
            for (name, a) in ours {
                match theirs.get(name) {
                    Some(b) => equal_so_far &= equal(operation, a, b, steps)?,
                    None => equal_so_far = false,
                }
            }
            Ok(equal_so_far)
        }
        _ if a.type_name() == b.type_name() => Ok(a == b),
        _ => Err(Failed::types(operation, &[a, b])),
    }
}

/// Which of two texts, numbers or binaries is greater.
pub(super) fn order(operation: &'static str, a: &Value, b: &Value, steps: &mut Steps) -> Result<Ordering, Failed> {
    steps.take(steps_of(a).min(steps_of(b)))?;
    match (a, b) {
        // The order of bytes is that of code points.
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Ok(a.cmp(b)),
        (Value::Binary(a), Value::Binary(b)) => Ok(a.cmp(b)),
        _ => Err(Failed::types(operation, &[a, b])),
    }
}

/// Whether a list or set has an element, or a map a name.
pub(super) fn holds(container: &Value, element: &Value, steps: &mut Steps) -> Result<bool, Failed> {
    match (container, element) {
        (Value::List(values), _) => {
            let mut failed = None;
            for value in values {
                match equal("in", value, element, steps) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(too_long @ Failed::TooLong(_)) => return Err(too_long),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            failed.map_or(Ok(false), Err)
        }
        (Value::Map(entries), Value::Text(name)) => Ok(entries.contains_key(name)),
        (Value::Texts(set), Value::Text(text)) => Ok(set.contains(text)),
        (Value::Numbers(set), Value::Number(number)) => Ok(set.contains(number)),
        (Value::Binaries(set), Value::Binary(bytes)) => Ok(set.contains(bytes)),
        _ => Err(Failed::types("in", &[element, container])),
    }
}

/// Steps that it takes to copy or compare a value, without those within it for a list or map that is compared.
pub(super) fn steps_of(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / 64,
        Value::Binary(bytes) => 1 + bytes.len() / 64,
        Value::Texts(set) => set.iter().map(|text| 1 + text.len() / 64).sum(),
        Value::Binaries(set) => set.iter().map(|bytes| 1 + bytes.len() / 64).sum(),
        Value::Numbers(set) => set.len(),
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Map(_) | Value::List(_) => 1,
    }
}
