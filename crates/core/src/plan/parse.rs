//! A text to a plan: the tree, its structure, its meaning.

use std::path::Path;

use super::{
    check::check,
    checked::Plan,
    diagnostics::{Diagnostics, Report},
    duplicates::first_of,
    lines::Lines,
    schema::schema,
    source::{self, DUPLICATE, Node, SyntaxError},
    structure,
    syntax::PlanFile,
    text::{is_like_yaml, without_mark},
};

/// Reads and checks a plan: JSON if `file` ends in `.json` or the text begins with `{`, otherwise TOML.
///
/// # Errors
///
/// All problems that can be found without a network.
pub fn parse(text: &str, file: &Path) -> Result<Plan, Diagnostics> {
    let text = without_mark(text);
    let mut report = Report::default();
    let read = read_tree(text, file, &mut report);
    let plan = read.and_then(|(tree, plan)| check(text, file, &tree, &plan, &mut report));
    report.finish(text, file)?;
    Ok(plan.expect("a plan without problems was built"))
}

/// Reads a plan's structure, without checking its meaning; the first half of [`parse`].
///
/// # Errors
///
/// All problems of keys, types and choices.
pub fn read(text: &str, file: &Path) -> Result<PlanFile, Diagnostics> {
    let text = without_mark(text);
    let mut report = Report::default();
    let read = read_tree(text, file, &mut report);
    report.finish(text, file)?;
    Ok(read.expect("a tree without problems was read").1)
}

fn read_tree(text: &str, file: &Path, report: &mut Report) -> Option<(Node, PlanFile)> {
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let read = if is_json || text.trim_start().starts_with('{') { source::from_json(text) } else { toml(text) };
    let tree = match read {
        Ok(tree) => tree,
        Err(_) if !is_json && is_like_yaml(text) => {
            let mend = "write name = \"...\" in place of name: ..., and [sites.NAME] in place of an indented block";
            let start = text.len() - text.trim_start().len();
            report.raw(start..start + 1, "", "this is YAML, and a plan is TOML or JSON".to_owned(), Some(mend.into()));
            return None;
        }
        Err(errors) => {
            let lines = Lines::of(text);
            for SyntaxError { span, message, first } in errors {
                match first.map(|first| lines.line(first)) {
                    Some(line) => {
                        let message = format!("{message}: it stands in line {line} already");
                        report.raw(span, "", message, Some("take one of the two out".to_owned()));
                    }
                    None => report.syntax(span, message),
                }
            }
            return None;
        }
    };
    let tree = structure::check(&tree, &schema(), report)?;
    match serde_json::from_value(tree.to_json()) {
        Ok(plan) => Some((tree, plan)),
        Err(error) => {
            report.syntax(0..0, error.to_string());
            None
        }
    }
}

fn toml(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (tree, mut errors) = source::from_broken_toml(text);
    for error in errors.iter_mut().filter(|error| error.message == DUPLICATE) {
        error.first = first_of(&tree, text, error.span.start);
    }
    if errors.is_empty() { Ok(tree) } else { Err(errors) }
}
