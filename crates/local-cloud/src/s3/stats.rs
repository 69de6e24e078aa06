//! Statistics of a server: what it has seen since it started.

use std::collections::BTreeMap;

use super::operation::Operation;

/// What a server has seen since it started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Requests by operation, those struck by faults too.
    pub requests: BTreeMap<Operation, u64>,
    /// Requests that a fault struck.
    pub faults: u64,
    /// The same by [`Fault::name`](super::faults::Fault::name).
    pub faults_by_kind: BTreeMap<&'static str, u64>,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies, counted when the answer begins.
    pub bytes_out: u64,
}

impl Stats {
    /// Requests of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.requests.get(&operation).copied().unwrap_or(0)
    }

    /// Requests in all.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}
