//! Expressions over records: which records belong where. They are written in CEL, compiled once, and evaluated on items
//! of tables and on objects.
//!
//! The [language](compile) is a part of CEL. Where it gives an answer, CEL gives the same one; what CEL would answer by
//! rounding, by guessing or in spite of an error is an error of that record here.

mod arithmetic;
mod compare;
mod compile;
mod evaluate;
mod failed;
mod object;
mod steps;
mod subject;
mod term;
#[cfg(test)]
mod tests;

pub use compile::{BadExpression, Expression, compile};
pub use failed::Failed;
pub use object::object;
pub use subject::Subject;
