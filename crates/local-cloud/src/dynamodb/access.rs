//! Whether a caller may do what a request needs: its account, and the policies of tables and streams.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{answers::Answer, policy_words::ArnWords};
use crate::{
    caller::Caller,
    identities::Identities,
    policy::{Policy, Question, Verdict},
};

/// The identities, and the policies that decide about them.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) identities: Identities,
    /// By the ARN of the table or stream.
    policies: RwLock<BTreeMap<String, Stored>>,
}

/// A policy as it was put, and as it is understood.
#[derive(Debug)]
struct Stored {
    text: String,
    policy: Arc<Policy>,
}

impl Access {
    pub(super) fn new(identities: Identities) -> Self {
        Self { identities, policies: RwLock::default() }
    }

    /// Lets a request pass, or says that it is denied.
    pub(super) fn check(&self, caller: &Caller, needed: &[(String, String)]) -> Result<(), Answer> {
        match needed.iter().find(|(action, arn)| !self.permits(caller, action, arn)) {
            None => Ok(()),
            Some((action, arn)) => {
                let who = &caller.arn;
                let text = format!("User: {who} is not authorized to perform: {action} on resource: {arn}");
                Err(Answer::refusal("AccessDeniedException", &text))
            }
        }
    }

    /// If its policy is silent, a table is open to all identities of the account, and closed to others. The
    /// account's root always has access to policies; else a wrong one could never be corrected.
    fn permits(&self, caller: &Caller, action: &str, arn: &str) -> bool {
        let is_ours = caller.account == self.identities.account;
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Stored { policy, .. }) = policies.get(arn) else { return is_ours };
        if is_ours && caller.is_root() && action.ends_with("ResourcePolicy") {
            return true;
        }
        let question = Question { caller, action, resource: arn, ignores_conditional_deny: false };
        match policy.decide(question) {
            Verdict::Allowed => true,
            Verdict::Denied => false,
            Verdict::Silent => is_ours,
        }
    }

    /// Puts a policy on a table or stream; the error says why it is not taken.
    pub(super) fn set_policy(&self, arn: &str, text: &str) -> Result<(), String> {
        let policy = Arc::new(Policy::read(text, &ArnWords(arn), &self.identities)?);
        let stored = Stored { text: text.to_owned(), policy };
        self.policies.write().unwrap_or_else(PoisonError::into_inner).insert(arn.to_owned(), stored);
        Ok(())
    }

    /// Removes the policy of a table or stream.
    pub(super) fn remove_policy(&self, arn: &str) {
        self.policies.write().unwrap_or_else(PoisonError::into_inner).remove(arn);
    }

    /// Removes the policies of a table that is gone, and of its stream.
    pub(super) fn forget(&self, table_arn: &str) {
        let of_table = |arn: &str| arn == table_arn || arn.starts_with(&format!("{table_arn}/"));
        self.policies.write().unwrap_or_else(PoisonError::into_inner).retain(|arn, _| !of_table(arn));
    }

    /// The text of a policy.
    pub(super) fn policy(&self, arn: &str) -> Option<String> {
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        policies.get(arn).map(|stored| stored.text.clone())
    }
}
