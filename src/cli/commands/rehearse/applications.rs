//! The applications of a rehearsal: they write while their data moves, and hold the migration to its promises.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::{JoinError, JoinSet};

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

    /// Brings those to rest that no approval has asked to; whether there were any. One that follows a route is among them
    /// if it wrote during each pass of the run, so that no pass was proved and nobody was asked to approve.
    pub(super) async fn rest(&self) -> bool {
        let unasked: Vec<_> = self.writers.iter().filter(|writer| !writer.is_at_rest()).collect();
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
            written(ended)?;
        }
        Ok(())
    }

    /// Stops them, each after the operation that it is at; what they wrote, and whether the leads hold it.
    pub(super) async fn promises(mut self) -> Result<Vec<Promise>, Failure> {
        for writer in &self.writers {
            writer.stop();
        }
        while let Some(ended) = self.writing.join_next().await {
            written(ended)?;
        }
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

/// What an application's task came to.
fn written(ended: Result<Result<(), WriterError>, JoinError>) -> Result<(), Failure> {
    ended.map_err(|error| failed(&error.into()))?.map_err(|error| broke_off(&error))
}

fn broke_off(error: &WriterError) -> Failure {
    let cause = with_causes(error);
    Failure::new(Code::Incomplete, format!("the rehearsal's application broke off: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::plan::Plan;
    use migrate_rehearsal::CloudOptions;

    fn live() -> Plan {
        let text = "name = \"p\"\n[sites.a]\nregion = \"r\"\n[[phase]]\nname = \"one\"\n[[phase.dataset]]\nname = \"d\"\n\
                    live = true\nsource = \"s3://a/from/\"\ntargets = [\"s3://a/into/\"]\n[phase.dataset.cutover]\n\
                    fence = \"none\"\naccept_unfenced = true\nroute = \"s3://a/routes/d.json\"\n";
        migrate_core::plan::parse(text, "p.toml".as_ref()).unwrap()
    }

    /// A run ends without a proof if applications write during each of its passes; then nobody asked to approve.
    #[tokio::test(flavor = "multi_thread")]
    async fn those_that_no_approval_asked_come_to_rest_and_keep_their_promises() {
        let root = tempfile::tempdir().unwrap();
        let options = CloudOptions { scale: 0.01, ..CloudOptions::default() };
        let cloud = Cloud::start(&live(), root.path(), &options).await.unwrap();
        let applications = Applications::start(&cloud, 1, 0.01);
        assert!(applications.rest().await, "it follows a route, and was not asked");
        assert!(!applications.rest().await, "it rests");
        let [promise] = &applications.promises().await.unwrap()[..] else { panic!("one writes") };
        assert_eq!((promise.before, promise.after, &promise.broken[..]), (40, 0, &[][..]));
        cloud.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_being_written_at_the_end_is_not_taken_for_lost() {
        let root = tempfile::tempdir().unwrap();
        let options = CloudOptions { scale: 0.01, ..CloudOptions::default() };
        let cloud = Cloud::start(&live(), root.path(), &options).await.unwrap();
        for seed in 1..20 {
            let applications = Applications::start(&cloud, seed, 0.01);
            while applications.writers[0].acknowledged() < 2 {
                tokio::task::yield_now().await;
            }
            let writers = applications.writers.clone();
            let [promise] = &applications.promises().await.unwrap()[..] else { panic!("one writes") };
            assert_eq!((promise.before, &promise.broken[..]), (writers[0].acknowledged(), &[][..]));
            writers[0].rest().await;
        }
        cloud.stop().await;
    }
}
