//! The approval of a cutover: from the command line, or from the operator at the terminal.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use async_trait::async_trait;

use super::{args::RunArgs, error::Failure, operator, session::Session, term};
use migrate_engine::{Approver, ByFlag, Ready};

/// The approver that the arguments of a run ask for.
pub(super) fn approver(session: &Session, args: &RunArgs) -> Result<Arc<dyn Approver>, Failure> {
    let all = args.approve.iter().any(|phase| phase == "all");
    let named: Vec<_> = args.approve.iter().filter(|phase| *phase != "all").cloned().collect();
    let phases: BTreeSet<_> = session.phases(&named)?.into_iter().collect();
    let flags = ByFlag { all, phases, by: operator::me() };
    let asks = args.approve.is_empty() && !args.json && !session.quiet;
    if asks && term::can_ask() {
        return Ok(Arc::new(Asking));
    }
    Ok(Arc::new(flags))
}

/// Asks the operator at the terminal.
#[derive(Debug)]
struct Asking;

#[async_trait]
impl Approver for Asking {
    async fn approve(&self, ready: &Ready) -> Option<String> {
        let question = question(ready);
        let word = ready.phase.to_string();
        let (told, answer) = tokio::sync::oneshot::channel();
        // A thread of its own: the end of the program must not wait until a person presses Enter.
        std::thread::spawn(move || {
            let _unheard = told.send(term::asked_to_type(&question, &word));
        });
        answer.await.unwrap_or(false).then(operator::me)
    }
}

fn question(ready: &Ready) -> String {
    let mut text = format!("\nPhase {} is proved. Its cutover would move\n", ready.phase);
    for (one, proof) in ready.moves.iter().zip(&ready.proofs) {
        let _ = writeln!(text, "  {}: from {} to {} (route {})", one.dataset, one.from, one.to, one.cutover.route);
        let _ = writeln!(text, "    {proof}");
    }
    let _ = write!(
        text,
        "This version cannot move a lead back. Type {:?} to approve it, or Enter to leave it: ",
        ready.phase.as_str()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::PhaseName;

    #[test]
    fn the_question_names_the_phase_that_must_be_typed() {
        let ready = Ready { phase: PhaseName::new("e-commerce").unwrap(), moves: Vec::new(), proofs: Vec::new() };
        assert!(question(&ready).contains("Type \"e-commerce\" to approve it"));
    }
}
