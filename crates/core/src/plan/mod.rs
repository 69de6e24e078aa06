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

use std::path::Path;

pub use checked::{Plan, Policy};
pub use choices::{Extra, Fence, FinalVerify, Level, Property, Retire, Tier, Versions};
pub use dataset::{Capacity, Cutover, Dataset, DatasetLimits, Filter, Phase, Restore, Target, Unsupported};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use location::{Location, Route, Scheme};
pub use schema::schema;
pub use select::Select;
pub use site::{Credentials, Endpoint, Limits, Site, Window};

mod check;
mod checked;
mod choices;
mod dataset;
mod diagnostics;
mod endpoint;
pub mod graph;
pub mod limits;
mod location;
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
mod values;

/// Reads and checks a plan: JSON if `file` ends in `.json` or the text begins with `{`, otherwise TOML.
///
/// # Errors
///
/// All problems that can be found without a network.
pub fn parse(text: &str, file: &Path) -> Result<Plan, Diagnostics> {
    let mut report = diagnostics::Report::default();
    let read = read_tree(text, file, &mut report);
    let plan = read.and_then(|(tree, plan)| check::check(text, file, &tree, &plan, &mut report));
    report.finish(text, file)?;
    Ok(plan.expect("a plan without problems was built"))
}

/// Reads a plan's structure, without checking its meaning; the first half of [`parse`].
///
/// # Errors
///
/// All problems of keys, types and choices.
pub fn read(text: &str, file: &Path) -> Result<syntax::PlanFile, Diagnostics> {
    let mut report = diagnostics::Report::default();
    let read = read_tree(text, file, &mut report);
    report.finish(text, file)?;
    Ok(read.expect("a tree without problems was read").1)
}

fn read_tree(text: &str, file: &Path, report: &mut diagnostics::Report) -> Option<(source::Node, syntax::PlanFile)> {
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let tree =
        if is_json || text.trim_start().starts_with('{') { source::from_json(text) } else { source::from_toml(text) };
    let tree = match tree {
        Ok(tree) => tree,
        Err(errors) => {
            for error in errors {
                report.syntax(error.span, error.message);
            }
            return None;
        }
    };
    let tree = structure::check(&tree, &schema::schema(), report)?;
    match serde_json::from_value(tree.to_json()) {
        Ok(plan) => Some((tree, plan)),
        Err(error) => {
            report.syntax(0..0, error.to_string());
            None
        }
    }
}
