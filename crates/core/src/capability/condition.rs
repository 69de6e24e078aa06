//! Conditions of writes.

use crate::model::Token;

/// What must be true at the target for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    None,
    /// No object has this key.
    Absent,
    /// The object is still this version.
    Matches(Token),
}
