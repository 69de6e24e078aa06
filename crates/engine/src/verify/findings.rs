//! What a verification under way has found so far, and its way to the ledger.
//!
//! A cursor and what was found up to it reach the ledger in one batch, together with what was learned of the records.
//! So after a crash each row is counted either in the ledger or by the walk that looks at it again, never by both.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    control::Control,
    error::EngineError,
    journal::{Journal, NotWritten, Report},
    verify::{found::Found, row::Part, verifier::Verifier},
};
use migrate_core::{
    model::{Key, ShardId},
    plan::Extra,
    report::{Difference, EventKind},
    shard::Cursor,
};
use migrate_ledger::{PartFound, Record, VerificationRecord, VerificationStep};

/// The findings of one verification; its walks share them.
#[derive(Debug)]
pub(crate) struct Findings {
    found: Mutex<Vec<Found>>,
    journal: Option<Journal>,
    /// Whether the journal keeps how far it is: then nothing else goes there.
    keeps_progress: bool,
}

impl Findings {
    /// Nothing found yet; with a journal what is learned is recorded, or how far it is.
    pub(crate) fn new(verifier: &Verifier, journal: Option<Journal>, keeps_progress: bool) -> Self {
        let found = verifier.sides.followers.iter().map(|follower| Found {
            name: verifier.inputs.dataset.to_string(),
            target: follower.location().to_owned(),
            lead: verifier.sides.lead.location().to_owned(),
            moved: verifier.sides.has_moved(),
            extra_is_kept: verifier.extra == Extra::Keep,
            ..Found::default()
        });
        Self { found: Mutex::new(found.collect()), journal, keeps_progress }
    }

    fn found(&self) -> MutexGuard<'_, Vec<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records compared so far, over all followers.
    pub(crate) fn compared(&self) -> u64 {
        self.found().iter().map(|found| found.counts.compared).sum()
    }

    /// What was found so far, per follower.
    pub(crate) fn so_far(&self) -> Vec<Found> {
        self.found().clone()
    }

    /// Takes over what an earlier process has found, and tells its differences: its own listeners are gone.
    pub(crate) fn adopt(&self, verifier: &Verifier, found: Vec<PartFound>) {
        self.add(verifier, found);
    }

    /// Whether each follower could be listed so far.
    pub(crate) fn listed(&self) -> Vec<bool> {
        self.found().iter().map(|found| found.unlisted.is_none()).collect()
    }

    /// Notes that a follower is listed no further, and why.
    pub(crate) fn lose(&self, follower: usize, reason: String) {
        self.found()[follower].unlisted.get_or_insert(reason);
    }

    /// Takes what a shard has found up to its new cursor. A shard that a follower has left is seen anew by the next
    /// process, so how far it is is not kept.
    pub(crate) async fn take(
        &self,
        verifier: &Verifier,
        shard: ShardId,
        cursor: Cursor,
        part: Part,
        is_whole: bool,
    ) -> Result<(), EngineError> {
        let Part { found, mut records } = part;
        let found = self.add(verifier, found);
        if is_whole {
            records.extend(self.step(verifier, VerificationStep::Moved { shard, cursor, found }));
        }
        match &self.journal {
            Some(journal) if !records.is_empty() => Ok(journal.note(records).await?),
            _ => Ok(()),
        }
    }

    /// Adds what was found, tells the differences that are kept, and leaves only these.
    fn add(&self, verifier: &Verifier, mut parts: Vec<PartFound>) -> Vec<PartFound> {
        for (found, part) in self.found().iter_mut().zip(&mut parts) {
            found.add(part);
            for (difference, kept) in &part.differences {
                tell(verifier, &found.target, difference, *kept);
            }
        }
        parts
    }

    /// Notes that it begins, before its first shard.
    pub(crate) async fn begin(&self, verifier: &Verifier, began: VerificationStep) -> Result<(), EngineError> {
        self.flush(self.step(verifier, began).into_iter().collect()).await
    }

    /// Notes that it has ended, so that the next one begins anew.
    pub(crate) async fn end(&self, verifier: &Verifier) -> Result<(), EngineError> {
        self.flush(self.step(verifier, VerificationStep::Ended).into_iter().collect()).await
    }

    /// A step of the verification as a record, if its progress is kept.
    fn step(&self, verifier: &Verifier, step: VerificationStep) -> Option<Record> {
        let dataset = verifier.inputs.dataset.clone();
        self.keeps_progress.then_some(Record::Verification(VerificationRecord { dataset, step }))
    }

    /// Splits a running shard by its control, and records that first; `false` if the shard has come too far.
    pub(crate) async fn split(
        &self,
        verifier: &Verifier,
        shard: ShardId,
        at: &Key,
        new: ShardId,
        control: &Control,
    ) -> Result<bool, EngineError> {
        let record = self.step(verifier, VerificationStep::Split { shard, at: at.clone(), new });
        let (Some(journal), Some(record)) = (&self.journal, record) else { return Ok(control.cut(at, || {})) };
        let permit = journal.reserve().await?;
        Ok(control.cut(at, || permit.send(Report { records: vec![record], committed: None })))
    }

    /// Waits until everything is on disk.
    pub(crate) async fn flush(&self, records: Vec<Record>) -> Result<(), EngineError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        match journal.commit(records).await {
            // Nothing but progress goes to the file of a verification by itself.
            Err(NotWritten) if self.keeps_progress => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Tells a difference.
pub(crate) fn tell(verifier: &Verifier, target: &str, difference: &Difference, kept: bool) {
    let (dataset, target, difference) = (verifier.inputs.dataset.clone(), target.to_owned(), difference.clone());
    verifier.sink.tell(EventKind::Differs { dataset, target, difference, kept });
}
