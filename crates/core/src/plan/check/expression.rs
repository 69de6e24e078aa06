//! CEL expressions: whether they parse, and whether they use a record at all.

use crate::plan::{
    check::context::Context,
    diagnostics::{Spot, closest},
};

/// Checks the syntax of an expression over one of `subjects` (`item`, `object`).
pub(super) fn check(context: &mut Context<'_>, spot: &Spot<'_>, text: &str, subjects: &[&str]) {
    let program = match cel::Program::compile(text) {
        Ok(program) => program,
        Err(errors) => {
            for error in &errors.errors {
                let at = spot.inside(context.text, offset(text, error.pos));
                let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg).replace('\n', " ");
                // The rest is the parser's whole list of tokens.
                let message = message.split(" expecting ").next().unwrap_or_default();
                let message = message.replace("mismatched input '<EOF>'", "it ends too early");
                let mend = "write a CEL expression, such as item.country == \"IN\"".to_owned();
                context.report.at(&at, format!("this is no expression: {message}"), mend);
            }
            return;
        }
    };
    let references = program.references();
    if subjects.iter().any(|subject| references.has_variable(subject)) {
        return;
    }
    let subjects = subjects.join("` or `");
    let mut variables = references.variables();
    variables.sort_unstable();
    let mend = match variables.as_slice() {
        [] => format!("write a condition on `{subjects}`"),
        [first, ..] => match closest(first, subjects.split("` or `")) {
            Some(meant) => format!("did you mean `{meant}` in place of `{first}`?"),
            None => format!("`{first}` is not known here; write a condition on `{subjects}`"),
        },
    };
    context.report.at(spot, format!("the expression does not look at `{subjects}`"), mend);
}

/// The byte offset of a line and column, both from 1.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line).unwrap_or(0), usize::try_from(column).unwrap_or(0));
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    before + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}
