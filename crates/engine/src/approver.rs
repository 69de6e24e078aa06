//! Who says that a phase may be cut over.

use std::{collections::BTreeSet, fmt::Debug};

use async_trait::async_trait;

use crate::cutover::moves::Move;
use migrate_core::model::PhaseName;

/// A phase of which everything is proved, and what its cutover would do.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The phase.
    pub phase: PhaseName,
    /// The leads that would move.
    pub moves: Vec<Move>,
    /// For each of them, what decided that its targets are equal, and what was not compared.
    pub proofs: Vec<String>,
}

/// Says whether a phase that is ready may be cut over.
#[async_trait]
pub trait Approver: Debug + Send + Sync {
    /// Who approves it; `None` where nobody does now.
    async fn approve(&self, ready: &Ready) -> Option<String>;
}

/// Approves what was named when the run began.
#[derive(Debug, Clone, Default)]
pub struct ByFlag {
    /// Every phase.
    pub all: bool,
    /// These.
    pub phases: BTreeSet<PhaseName>,
    /// In whose name.
    pub by: String,
}

#[async_trait]
impl Approver for ByFlag {
    async fn approve(&self, ready: &Ready) -> Option<String> {
        (self.all || self.phases.contains(&ready.phase)).then(|| self.by.clone())
    }
}
