//! CEL expressions: whether they compile.

use crate::{
    expression::{Expression, Subject, compile},
    plan::{check::context::Context, diagnostics::Spot},
};

/// Compiles an expression over one of `subjects`; reports everything that is wrong with it.
pub(super) fn check(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    text: &str,
    subjects: &[Subject],
) -> Option<Expression> {
    match compile(text, subjects) {
        Ok(expression) => Some(expression),
        Err(errors) => {
            for bad in errors {
                let at = bad.at.map_or_else(|| spot.clone(), |at| spot.inside(context.lines.text(), at));
                context.report.at(&at, bad.message, bad.mend);
            }
            None
        }
    }
}
