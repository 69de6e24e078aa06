//! The approval of a phase's cutover: how a run asks for it.

use std::{collections::BTreeSet, fmt::Debug};

use async_trait::async_trait;

use crate::cutover::moves::Move;
use migrate_core::model::PhaseName;

/// A phase whose datasets are all proved, and what its cutover would do.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The phase's name in the plan.
    pub phase: PhaseName,
    /// The leads that would move.
    pub moves: Vec<Move>,
    /// For each move, what decided that the targets are equal, and what was not compared.
    pub proofs: Vec<String>,
}

/// Decides whether a ready phase may be cut over.
#[async_trait]
pub trait Approver: Debug + Send + Sync {
    /// The approver's name; `None` if the phase is not approved now.
    async fn approve(&self, ready: &Ready) -> Option<String>;
}

/// Approves the phases that the operator named when the run began.
#[derive(Debug, Clone, Default)]
pub struct ByFlag {
    /// Approve every phase.
    pub all: bool,
    /// Approve these phases.
    pub phases: BTreeSet<PhaseName>,
    /// The approver's name.
    pub by: String,
}

#[async_trait]
impl Approver for ByFlag {
    async fn approve(&self, ready: &Ready) -> Option<String> {
        (self.all || self.phases.contains(&ready.phase)).then(|| self.by.clone())
    }
}
