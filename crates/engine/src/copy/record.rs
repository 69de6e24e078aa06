//! Brings one record from the source to every target that needs it.
//!
//! # One read, many targets
//!
//! The bytes are read once and written to all targets at the same time. A slow target
//! must not hold the others back: if its share of the writes in flight has been used up
//! for a while and another target has room, its records are *deferred*: the ledger keeps them until the shards of
//! the pass have ended. For a target whose lane is suspended or down nothing is read at all.
//!
//! # Consistency
//!
//! Reads are pinned to the version that the listing showed. If the source changes meanwhile,
//! the record starts over with the new version; no object is ever put together from two versions. Writes carry
//! the condition under which they were decided; the store keeps it, by itself or by a look.
//!
//! # Errors
//!
//! An error of one record is an [`Outcome`]. An error of a whole target (credentials, a full disk, a missing bucket)
//! closes its [lane](crate::copy::lane). At the source it goes to [`Copier::fatal`] and ends the run: the other
//! records would fail alike.

use futures::future::join_all;

use crate::{
    copy::{
        copier::{Copier, Job, Outcome, Outcomes, Want, must_match},
        outcome::all,
        parts,
    },
    failed::Failed,
    layout,
};
use migrate_core::model::Token;
use migrate_ledger::Pair;
use migrate_store::{
    ErrorKind, Head, PartRules, StoreError, hashing,
    survive::{self, Shape},
};

/// Attempts at a record whose source changes while it is copied.
const RESTARTS_MAX: u32 = 4;

impl Copier {
    /// Brings a record to every target that wants it.
    pub(crate) async fn bring(&self, mut job: Job) -> Outcomes {
        let _slot = self.budget.records().slot().await;
        if self.shutdown.is_draining() {
            return all(job, Vec::new(), || Outcome::Interrupted);
        }
        let mut outcomes = Vec::new();
        self.hold_back(&mut job, &mut outcomes);
        // What few records need has memory of its own: each record's future would have room for all of it.
        if !job.disputed.is_empty() {
            Box::pin(self.settle_disputed(&mut job, &mut outcomes)).await;
        }
        if job.wants.iter().any(|(_, want)| matches!(want, Want::Look(_) | Want::Review(_))) {
            Box::pin(self.settle_equal(&mut job, &mut outcomes)).await;
        }
        self.defer_crowded(&mut job, &mut outcomes);
        for _ in 0..RESTARTS_MAX {
            if job.wants.is_empty() {
                return outcomes;
            }
            match self.attempt(&job, &mut outcomes).await {
                Ok(()) => return outcomes,
                Err(error) if error.kind() == ErrorKind::Changed => {
                    let done: Vec<_> = outcomes.iter().map(|(target, _)| *target).collect();
                    job.wants.retain(|(target, _)| !done.contains(target));
                    match self.source.head(&job.key).await {
                        Ok(Some(head)) => Box::pin(self.follow(&mut job, head.token, &mut outcomes)).await,
                        Ok(None) => return all(job, outcomes, || Outcome::Gone),
                        Err(error) => return self.unread(job, outcomes, error),
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return all(job, outcomes, || Outcome::Gone),
                Err(error) => return self.unread(job, outcomes, error),
            }
        }
        let failed = Failed::changed(format!("it changed at the source {RESTARTS_MAX} times while it was copied"));
        all(job, outcomes, || Outcome::Failed(failed.clone()))
    }

    /// One attempt with one version of the source. It returns errors of the source; an error of a target is an outcome.
    async fn attempt(&self, job: &Job, outcomes: &mut Outcomes) -> Result<(), StoreError> {
        let size = job.source.size;
        let rules = job.wants.iter().map(|(target, _)| self.follower(*target).store.capabilities().parts);
        let rules = rules.reduce(narrowest).unwrap_or(PartRules::S3);
        let wish = job.wants.iter().filter_map(|(target, _)| self.follower(*target).part_size).min();
        if layout::part_size(size, None, wish, rules).is_none() && !is_multipart(&job.source) {
            return self.whole(job, outcomes).await;
        }
        let head = Box::pin(self.pinned_head(job)).await?;
        match layout::part_size(size, head.part_size, wish, rules) {
            None => self.whole(job, outcomes).await,
            Some(part_size) => Box::pin(parts::bring(self, job, &head, part_size, outcomes)).await,
        }
    }

    /// The source's properties and part size, at the version that is being copied.
    async fn pinned_head(&self, job: &Job) -> Result<Head, StoreError> {
        let gone = |kind| StoreError::new(kind, "look at", self.source.location(), "it changed").on(&job.key);
        match self.look_at_source(&job.key).await? {
            Some(head) if job.source.agrees_with(&head.token) => Ok(head),
            Some(_) => Err(gone(ErrorKind::Changed)),
            None => Err(gone(ErrorKind::NotFound)),
        }
    }

    /// Copies an object whole: one GET, and one PUT per target.
    async fn whole(&self, job: &Job, outcomes: &mut Outcomes) -> Result<(), StoreError> {
        let _room = self.budget.bytes(job.source.size).await;
        let read = self.source.read(&job.key, None, Some(&job.source)).await?;
        let mut head = read.head;
        if self.wants_tags() {
            head.properties.tags = survive::tags_at(&*self.source, &job.key, &head).await?;
        }
        let body = hashing::body(read.bytes).await;
        must_match(&head, &body.evidence(), &job.key)?;
        let source = head.token.clone();
        let written = job.wants.iter().map(|(target, want)| {
            let (body, head, source) = (&body, &head, &source);
            async move {
                let follower = self.follower(*target);
                let outcome = match follower.given(head, Shape::Whole) {
                    // It went down while the record was read.
                    _ if follower.lane.is_down() => Outcome::Held,
                    Err(failed) => Outcome::Failed(failed),
                    Ok(properties) => {
                        let condition = want.condition();
                        let put = follower.store.put(&job.key, body, &properties, &condition);
                        let written = follower.counted(put).await;
                        self.outcome(
                            follower,
                            job.last_chance,
                            written.map(|target| {
                                let (lead, evidence) = (source.clone(), Some(body.evidence()));
                                let waived = follower.waived;
                                (want, Pair { lead, follower: target, evidence, waived, written: true })
                            }),
                        )
                    }
                };
                (*target, outcome)
            }
        });
        outcomes.extend(join_all(written).await);
        Ok(())
    }
}

/// The rules that both targets accept.
fn narrowest(a: PartRules, b: PartRules) -> PartRules {
    PartRules {
        size_min: a.size_min.max(b.size_min),
        size_max: a.size_max.min(b.size_max),
        count_max: a.count_max.min(b.count_max),
    }
}

/// Whether an S3 tag shows that the object was made of parts.
fn is_multipart(token: &Token) -> bool {
    token.tag.rsplit_once('-').is_some_and(|(_, parts)| parts.parse::<u32>().is_ok_and(|parts| parts > 1))
        && token.tag.len() < 40
}
