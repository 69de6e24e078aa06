//! The applications of a rehearsal: they write while their data moves, and hold the migration to its promises.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::cli::{
    display::Notes,
    error::{Code, Failure, with_causes},
};
use migrate_engine::{Approver, EngineError, Ready, Shutdown};
use migrate_rehearsal::{Cloud, Promise, Writer, WriterError};

/// The applications of a rehearsal.
pub(super) struct Applications {
    writers: Vec<Arc<Writer>>,
    writing: JoinSet<Result<(), WriterError>>,
}

impl Applications {
    /// Starts one for every dataset that applications write to.
    pub(super) fn start(cloud: &Cloud, seed: u64, scale: f64) -> Self {
        let writers: Vec<_> = cloud.writers(seed, scale).into_iter().map(Arc::new).collect();
        let mut writing = JoinSet::new();
        for writer in &writers {
            let writer = Arc::clone(writer);
            writing.spawn(async move { writer.write().await });
        }
        Self { writers, writing }
    }

    /// Approves a phase once its applications rest.
    pub(super) fn approver(&self) -> Arc<dyn Approver> {
        Arc::new(AtRest { writers: self.writers.clone() })
    }

    /// What the display tells of each application.
    pub(super) fn notes(&self) -> Notes {
        let writers = self.writers.clone();
        Arc::new(move |dataset| {
            let writer = writers.iter().find(|writer| writer.dataset() == dataset)?;
            Some(format!("app wrote {}×", writer.acknowledged()))
        })
    }

    /// Brings those to rest that no approval asks to; whether there were any.
    pub(super) async fn rest(&self, to_cutover: bool) -> bool {
        let unasked = |writer: &&Arc<Writer>| !(writer.is_at_rest() || to_cutover && writer.follows_a_route());
        let unasked: Vec<_> = self.writers.iter().filter(unasked).collect();
        for writer in &unasked {
            writer.rest().await;
        }
        !unasked.is_empty()
    }

    /// Waits until those whose lead has moved have written everything at the new one.
    pub(super) async fn finish(&mut self, shutdown: &Shutdown) -> Result<(), Failure> {
        while !shutdown.is_draining()
            && let Some(ended) = self.writing.join_next().await
        {
            ended.map_err(|error| failed(&error.into()))?.map_err(|error| broke_off(&error))?;
        }
        Ok(())
    }

    /// Stops them; what they wrote, and whether the leads hold it.
    pub(super) async fn promises(mut self) -> Result<Vec<Promise>, Failure> {
        self.writing.shutdown().await;
        let mut promises = Vec::new();
        for writer in &self.writers {
            promises.push(writer.check().await.map_err(|error| broke_off(&error))?);
        }
        Ok(promises)
    }
}

/// Approves a phase once its applications rest, like an operator who makes them read-only first.
#[derive(Debug)]
struct AtRest {
    writers: Vec<Arc<Writer>>,
}

#[async_trait]
impl Approver for AtRest {
    async fn approve(&self, ready: &Ready) -> Option<String> {
        for writer in &self.writers {
            if ready.moves.iter().any(|one| one.dataset == *writer.dataset()) {
                writer.rest().await;
            }
        }
        Some("the rehearsal".to_owned())
    }
}

/// A rehearsal that could not go on.
pub(super) fn failed(error: &EngineError) -> Failure {
    Failure::new(Code::Incomplete, with_causes(error))
}

fn broke_off(error: &WriterError) -> Failure {
    let cause = with_causes(error);
    Failure::new(Code::Incomplete, format!("the rehearsal's application broke off: {cause}"))
}
