//! Statements of a policy, and their verdict on a question.

use super::patterns::{matches, matches_action};
use crate::caller::Caller;

/// A policy that was understood in full.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) allows: bool,
    pub(super) who: Who,
    pub(super) what: What,
    /// Patterns of resources.
    pub(super) on: Vec<String>,
    pub(super) conditions: Vec<Condition>,
}

/// The principals that a statement is about.
#[derive(Debug)]
pub(super) enum Who {
    Only(Vec<Principal>),
    AllBut(Vec<Principal>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Principal {
    Everyone,
    /// The account, and with it all its identities.
    Account(String),
    Arn(String),
}

/// Which actions a statement is about, as patterns.
#[derive(Debug)]
pub(super) enum What {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

/// A condition on `aws:PrincipalArn`.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) test: Test,
    /// A negated test holds if none of the values fits.
    pub(super) negated: bool,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// The exact text.
    Equals,
    /// With wildcards over the whole.
    Like,
    /// With wildcards in each of the six parts between colons: `ArnEquals` and `ArnLike` alike.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN>
    Arn,
}

/// A question to a policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) caller: &'a Caller,
    /// `s3:GetObject`
    pub(crate) action: &'a str,
    /// `arn:aws:s3:::bucket/key`
    pub(crate) resource: &'a str,
    /// Denials of every principal with a condition do not hold: see
    /// [`Quirks::ignore_conditional_deny`](crate::Quirks::ignore_conditional_deny).
    pub(crate) ignores_conditional_deny: bool,
}

/// The verdict of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Denied,
    Silent,
}

impl Policy {
    pub(crate) fn decide(&self, question: Question<'_>) -> Verdict {
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
    /// A caller is two principals at once, itself and its account. So `NotPrincipal` spares it only if it
    /// names both.
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
