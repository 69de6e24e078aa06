//! Resource policies: the verdict of a policy on one question. Pure logic.
//!
//! A question is a caller, an action and a resource. A statement that covers all three, and whose
//! conditions hold, allows or denies; one denial outweighs everything. If no statement covers
//! the question, the policy is silent, and accounts decide.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
//!
//! A policy with a part that is not understood is refused when it is put ([`text`]), so evaluation skips
//! nothing.

mod patterns;
mod statements;
mod text;
mod words;

pub(crate) use patterns::matches_action;
pub(crate) use statements::{Policy, Question, Verdict};
pub(crate) use words::Words;

#[cfg(test)]
pub(crate) use patterns::matches;
