//! `migrate exit-codes`: what each exit code means.

use crate::cli::{error::Code, term};

/// The text of `migrate exit-codes`, and of `migrate help exit-codes`.
pub(in crate::cli) const EXIT_CODES: &str = "\
The exit codes of every command:

  0  Done: everything that was asked for is done and equal (or waits for an approval, as asked).
  1  Differences were found, or the plan is blocked: by a policy (also one of the plan itself, if
     nothing else is wrong with it), by a key of the plan that is not built yet, by more deletions
     than `delete_share` allows, by a dataset whose meaning changed, by a phase that has to wait for
     another, by a dataset that another migration drives or has moved, or by a cutover for which
     nothing was compared; a saved plan is stale; or records came late to an old lead and are open.
     Running the same command again changes nothing: look first.
  2  The command line, the plan file or the saved plan is wrong, or cannot be read. Nothing was done.
  3  Incomplete: interrupted, some records failed, a server could not be asked (nothing answers, or
     there are no credentials) or refused the credentials, a target is down and the others are
     complete, the ledger's disk is full, the ledger is damaged or newer than this program, or
     another process drives the migration. Correct what the message names; the same command goes on.";

pub(in crate::cli) fn exit_codes() -> Code {
    term::answer(EXIT_CODES);
    Code::Done
}
