//! Bucket policies: what a policy says to one question. Pure logic.
//!
//! A question is a caller, an action and a resource. A statement that covers all three, and whose
//! conditions hold, allows or denies; one denial outweighs everything. Where nothing covers the
//! question the policy is silent, and accounts decide.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
//!
//! What is not understood is refused when it is put ([`text`]), so nothing here is ever skipped.

mod actions;
mod text;

use super::identity::Caller;

/// A policy that was understood in full.
#[derive(Debug)]
pub(super) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    allows: bool,
    who: Who,
    what: What,
    /// Patterns of resources.
    on: Vec<String>,
    conditions: Vec<Condition>,
}

/// Whom a statement is about.
#[derive(Debug)]
enum Who {
    Only(Vec<Principal>),
    AllBut(Vec<Principal>),
}

#[derive(Debug, PartialEq, Eq)]
enum Principal {
    Everyone,
    /// The account, and with it all its identities.
    Account(String),
    Arn(String),
}

/// Which actions a statement is about, as patterns.
#[derive(Debug)]
enum What {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

/// A condition on `aws:PrincipalArn`.
#[derive(Debug)]
struct Condition {
    test: Test,
    /// A negated test holds where none of the values fits.
    negated: bool,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    /// Exactly.
    Equals,
    /// With wildcards over the whole.
    Like,
    /// With wildcards in each of the six parts between colons: `ArnEquals` and `ArnLike` alike.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN>
    Arn,
}

/// What is asked of a policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) caller: &'a Caller,
    /// `s3:GetObject`
    pub(super) action: &'a str,
    /// `arn:aws:s3:::bucket/key`
    pub(super) resource: &'a str,
    /// Denials of everybody with a condition do not hold: see
    /// [`Quirks::ignore_conditional_deny`](super::quirks::Quirks::ignore_conditional_deny).
    pub(super) ignores_conditional_deny: bool,
}

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    Silent,
}

impl Policy {
    pub(super) fn decide(&self, question: Question<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in self.statements.iter().filter(|statement| statement.covers(question)) {
            if !statement.allows {
                return Verdict::Denied;
            }
            verdict = Verdict::Allowed;
        }
        verdict
    }
}

impl Statement {
    fn covers(&self, question: Question<'_>) -> bool {
        let ignored = question.ignores_conditional_deny && self.denies_everyone_under_conditions();
        !ignored
            && self.who.includes(question.caller)
            && self.what.includes(question.action)
            && self.on.iter().any(|pattern| matches(pattern, question.resource))
            && self.conditions.iter().all(|condition| condition.holds(&question.caller.arn))
    }

    fn denies_everyone_under_conditions(&self) -> bool {
        let everyone = matches!(&self.who, Who::Only(principals) if principals.contains(&Principal::Everyone));
        !self.allows && everyone && !self.conditions.is_empty()
    }
}

impl Who {
    /// A caller is two principals at once, itself and its account. So `NotPrincipal` spares it only
    /// where it names both.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>
    fn includes(&self, caller: &Caller) -> bool {
        match self {
            Self::Only(principals) => principals.iter().any(|principal| match principal {
                Principal::Everyone => true,
                Principal::Account(account) => *account == caller.account,
                Principal::Arn(arn) => *arn == caller.arn,
            }),
            Self::AllBut(principals) => {
                let account = principals.iter().any(|principal| match principal {
                    Principal::Everyone => true,
                    Principal::Account(account) => *account == caller.account,
                    Principal::Arn(_) => false,
                });
                let itself = caller.is_root()
                    || principals.iter().any(|principal| match principal {
                        Principal::Everyone => true,
                        Principal::Account(_) => false,
                        Principal::Arn(arn) => *arn == caller.arn,
                    });
                !(account && itself)
            }
        }
    }
}

impl What {
    /// Names of actions have no case.
    fn includes(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_action(pattern, action));
        match self {
            Self::Only(patterns) => any(patterns),
            Self::AllBut(patterns) => !any(patterns),
        }
    }
}

impl Condition {
    fn holds(&self, arn: &str) -> bool {
        let fits = self.values.iter().any(|value| match self.test {
            Test::Equals => value == arn,
            Test::Like => matches(value, arn),
            Test::Arn => {
                let (pattern, text): (Vec<_>, Vec<_>) = (value.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
                pattern.len() == text.len() && pattern.iter().zip(text).all(|(pattern, text)| matches(pattern, text))
            }
        });
        fits != self.negated
    }
}

fn matches_action(pattern: &str, action: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

/// Whether a text fits a pattern in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star was, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(sign) if *sign == '?' || *sign == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((place, reached)) => {
                    star = Some((place, reached + 1));
                    (at, from) = (place + 1, reached + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests;
