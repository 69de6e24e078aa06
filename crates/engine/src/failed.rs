//! [`Failed`]: why a record could not be copied.

use crate::clock::now;
use migrate_ledger::Fact;
use migrate_store::StoreError;

/// Why a record could not be copied, or why nobody can say where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// In one word, as JSON names it; a word never changes.
    pub(crate) code: &'static str,
    /// For people. It names neither the record nor the place: the message around it does.
    pub(crate) reason: String,
}

impl Failed {
    /// A store refused, at which the message around it is (`""` if it is about none).
    pub(crate) fn by(error: &StoreError, at: &str) -> Self {
        Self { code: error.kind().code(), reason: error.reason(at) }
    }

    /// The source lists it as what cannot be copied, as a symbolic link.
    pub(crate) fn not_copyable(problem: &str) -> Self {
        Self { code: "not_copyable", reason: problem.to_owned() }
    }

    /// The rules of the plan do not say where it belongs.
    pub(crate) fn misrouted(reason: String) -> Self {
        Self { code: "misrouted", reason }
    }

    /// The target cannot hold a property of it that must survive.
    pub(crate) fn property_lost(reason: String) -> Self {
        Self { code: "property_lost", reason }
    }

    /// The source has changed it again and again meanwhile.
    pub(crate) fn changed(reason: String) -> Self {
        Self { code: "changed", reason }
    }

    /// The source lists it, and does not give it.
    pub(crate) fn not_given() -> Self {
        Self { code: "listing_wrong", reason: "the source lists it, and says that it is not there".to_owned() }
    }

    /// Only the target has it, which the plan does not accept.
    pub(crate) fn extra() -> Self {
        let reason = "only the target has it, and the plan says extra = \"refuse\"".to_owned();
        Self { code: "extra_refused", reason }
    }

    /// As the ledger keeps it.
    pub(crate) fn into_fact(self) -> Fact {
        Fact::Failed { reason: self.reason, at: now() }
    }
}
