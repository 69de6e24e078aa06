//! Statistics of a server: what it has seen since it started.

use std::collections::BTreeMap;

use super::operation::DynamoOperation;

/// What a server has seen since it started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DynamoStats {
    /// Requests by operation, those struck by faults too.
    pub requests: BTreeMap<DynamoOperation, u64>,
    /// Requests that a fault struck, by [`DynamoFault::name`](super::faults::DynamoFault::name).
    pub faults_by_kind: BTreeMap<&'static str, u64>,
}

impl DynamoStats {
    /// Requests of one operation.
    pub fn of(&self, operation: DynamoOperation) -> u64 {
        self.requests.get(&operation).copied().unwrap_or(0)
    }

    /// Requests in all.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}
