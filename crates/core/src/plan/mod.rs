//! The plan: what must be where, in which order, under which rules.
//!
//! ```text
//! text ─source→ spanned tree ─structure, against the schema→ PlanFile ─check→ Plan
//! ```
//!
//! [`Plan`] is the form that the rest of the tool works with: names resolved, sizes parsed, phases in an order that
//! respects `after`. A value of this type has passed every check that needs no network. Failures come back as
//! [`Diagnostics`]: all problems of a file at once, each with its line, column and, if the tool knows one, a mend.
//!
//! The language itself is defined once, by the types of [`syntax`]; see there. Nothing here reads a
//! file or a clock: the caller brings the text.

pub use checked::{Plan, Policy};
pub use choices::{Extra, Fence, FinalVerify, Level, Property, Retire, Tier, Versions};
pub use dataset::{Capacity, Cutover, Dataset, DatasetLimits, Filter, Phase, Restore, Target, Unsupported};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use location::{Location, Route, Scheme};
pub use parse::{parse, read};
pub use schema::schema;
pub use select::Select;
pub use site::{Credentials, Endpoint, Limits, Site, Window};
pub use text::decoded;

mod check;
mod checked;
mod choices;
mod dataset;
mod diagnostics;
mod duplicates;
mod endpoint;
pub mod graph;
pub mod limits;
mod lines;
mod location;
mod not_built;
mod overlaps;
mod parse;
mod patterns;
pub mod policy;
mod schema;
mod secrets;
pub mod select;
mod site;
pub mod source;
mod structure;
pub mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod values;
