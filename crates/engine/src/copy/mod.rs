//! Brings one record from the source to every target that needs it.
//!
//! # One read, many targets
//!
//! The bytes are read once and written to all targets at the same time. A slow target
//! must not hold the others back: if its share of the writes in flight has been used up
//! for a while and another target has room, its records are *deferred*: the ledger keeps them until the shards of
//! the pass have ended. The same happens if it does not answer at all.
//!
//! # Consistency
//!
//! Reads are pinned to the version that the listing showed. If the source changes meanwhile,
//! the record starts over with the new version; no object is ever put together from two versions. Writes carry
//! the condition under which they were decided; the store keeps it, by itself or by a look.
//!
//! # Errors
//!
//! An error of one record is an [`Outcome`]. An error of a whole endpoint (credentials, a full disk, a missing bucket)
//! goes to [`Copier::fatal`] and ends the run: the other records would fail alike.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use tokio::time::Instant;

use crate::copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want, is_fatal};
use crate::{
    compare::{Verdict, compare},
    layout,
};
use migrate_core::{
    model::{Aspects, Key, TargetIndex, Token},
    report::EventKind,
};
use migrate_ledger::Pair;
use migrate_store::{
    ErrorKind, Head, PartRules, Properties, Retry, StoreError, hashing, is_listed,
    survive::{self, Scope, Shape},
};

pub(crate) mod copier;
pub(crate) mod parts;
pub(crate) mod unclaimed;

/// Attempts at a record whose source changes while it is copied.
const RESTARTS_MAX: u32 = 4;
/// How long a target's share of the writes in flight must be used up until its records are deferred.
const CROWDED_MIN: Duration = Duration::from_secs(2);
/// Records in a row that a target must leave unanswered to count as down.
const SILENCE_MAX: u32 = 8;
/// Failed records that are told one by one, each time a dataset runs.
const FAILURES_TOLD_MAX: u64 = 10_000;

impl Copier {
    /// Brings a record to every target that wants it.
    pub(crate) async fn bring(&self, mut job: Job) -> Outcomes {
        let _slot = self.budget.slot().await;
        if self.shutdown.is_draining() {
            return all(job, Vec::new(), || Outcome::Interrupted);
        }
        let mut outcomes = Vec::new();
        self.settle_equal(&mut job, &mut outcomes).await;
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
                        Ok(Some(head)) => job.source = head.token,
                        Ok(None) => return all(job, outcomes, || Outcome::Gone),
                        Err(error) => return self.unread(job, outcomes, error),
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return all(job, outcomes, || Outcome::Gone),
                Err(error) => return self.unread(job, outcomes, error),
            }
        }
        let reason = format!("it changed at the source {RESTARTS_MAX} times while it was copied");
        all(job, outcomes, || Outcome::Failed(reason.clone()))
    }

    /// Looks at a record at targets that have it without a pair, or with a pair that waived properties that must now
    /// be there: where it is equal, it is done; elsewhere it is to be replaced.
    async fn settle_equal(&self, job: &mut Job, outcomes: &mut Outcomes) {
        if !job.wants.iter().any(|(_, want)| matches!(want, Want::Look(_) | Want::Review(_))) {
            return;
        }
        // If this look fails, the read that follows tells the error.
        let Ok(Some(source)) = self.look_at_source(&job.key).await else { return };
        job.source = source.token.clone();
        let mut wants = Vec::new();
        for (target, want) in std::mem::take(&mut job.wants) {
            let follower = self.follower(target);
            let settled = match want {
                Want::Look(shown) => self.compared(follower, &job.key, &source, shown, None).await,
                Want::Review(pair) => self.compared(follower, &job.key, &source, pair.target.clone(), Some(pair)).await,
                want => Err(want),
            };
            match settled {
                Ok(pair) => outcomes.push((target, Outcome::Same(pair))),
                Err(want) => wants.push((target, want)),
            }
        }
        job.wants = wants;
    }

    /// The pair, if the record is equal at a target, or else what is wanted there. Paired versions hold the same bytes.
    async fn compared(
        &self,
        follower: &Follower,
        key: &Key,
        source: &Head,
        shown: Token,
        pair: Option<Pair>,
    ) -> Result<Pair, Want> {
        let scope = Scope::new(&self.source.capabilities(), &follower.store.capabilities(), follower.waived);
        let head = match survive::look(&*follower.store, key, scope.has_tags()).await {
            Ok(Some(head)) => head,
            Ok(None) => return Err(Want::Create),
            Err(_) => return Err(Want::Replace(shown)),
        };
        let pair = pair.filter(|pair| pair.source.agrees_with(&source.token) && pair.target.agrees_with(&head.token));
        let equal = match pair {
            Some(_) => scope.differs(source, &head).is_none(),
            None => compare(source, &head, scope) == Verdict::Equal,
        };
        if !equal {
            return Err(if pair.is_some() { Want::Replace(head.token) } else { Want::Look(head.token) });
        }
        let evidence = pair.and_then(|pair| pair.evidence);
        Ok(Pair { source: source.token.clone(), target: head.token, evidence, waived: follower.waived })
    }

    /// Looks at the source, also at its tags if a target is to have them.
    async fn look_at_source(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        survive::look(&*self.source, key, self.wants_tags()).await
    }

    /// Whether the source no longer has a record, by its listing: a single "not found" may come
    /// from a proxy between us and the store, and must not make us forget a record.
    pub(crate) async fn is_gone(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(!is_listed(&*self.source, key).await?)
    }

    /// Tells of a failed record, up to [`FAILURES_TOLD_MAX`]: a display has no use for millions.
    pub(crate) fn tell_failed(&self, target: TargetIndex, key: &Key, reason: &str) {
        if self.failures_told.fetch_add(1, Ordering::Relaxed) < FAILURES_TOLD_MAX {
            self.sink.tell(EventKind::RecordFailed {
                dataset: self.dataset.clone(),
                target: self.follower(target).store.location().to_owned(),
                key: key.clone(),
                reason: reason.to_owned(),
            });
        }
    }

    fn wants_tags(&self) -> bool {
        self.targets.iter().any(|follower| !follower.waived.holds(Aspects::TAGS))
    }

    /// Defers the record at slow or silent targets, if another target has room.
    fn defer_crowded(&self, job: &mut Job, outcomes: &mut Outcomes) {
        let crowded = |target: TargetIndex| {
            let follower = self.follower(target);
            follower.is_down() || follower.is_crowded(self.lane_max)
        };
        let wanted = job.wants.iter().map(|(target, _)| (*target, crowded(*target)));
        let deferred = to_defer(&wanted.collect::<Vec<_>>(), job.last_chance);
        job.wants.retain(|(target, _)| !deferred.contains(target));
        outcomes.extend(deferred.into_iter().map(|target| (target, Outcome::Deferred)));
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
        let head = self.pinned_head(job).await?;
        match layout::part_size(size, head.part_size, wish, rules) {
            None => self.whole(job, outcomes).await,
            Some(part_size) => parts::bring(self, job, &head, part_size, outcomes).await,
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
        let source = head.token.clone();
        let written = job.wants.iter().map(|(target, want)| {
            let (body, head, source) = (&body, &head, &source);
            async move {
                let follower = self.follower(*target);
                let outcome = match follower.given(head, Shape::Whole) {
                    Err(reason) => Outcome::Failed(reason),
                    Ok(properties) => {
                        let condition = want.condition();
                        let put = follower.store.put(&job.key, body, &properties, &condition);
                        let written = follower.counted(put).await;
                        self.outcome(
                            follower,
                            job.last_chance,
                            written.map(|target| {
                                let (source, evidence) = (source.clone(), Some(body.evidence()));
                                (want, Pair { source, target, evidence, waived: follower.waived })
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

    /// The outcome of a write; it also counts towards whether the target is down.
    pub(crate) fn outcome(
        &self,
        follower: &Follower,
        last_chance: bool,
        written: Result<(&Want, Pair), StoreError>,
    ) -> Outcome {
        match written {
            Ok((want, pair)) => {
                follower.silent.store(0, Ordering::Relaxed);
                let over_unknown = matches!(want, Want::Look(found) if found.size == pair.source.size);
                Outcome::Copied { pair, over_unknown }
            }
            Err(error) if error.kind().retry() == Retry::Permanent => {
                if is_fatal(&error) {
                    self.fatal(error);
                    return Outcome::Interrupted;
                }
                Outcome::Failed(error.to_string())
            }
            Err(error) => {
                follower.silent.fetch_add(1, Ordering::Relaxed);
                if last_chance {
                    if follower.is_down() {
                        // The other records would fail alike; the ledger keeps them for the next run.
                        self.fatal(error);
                        return Outcome::Interrupted;
                    }
                    return Outcome::Failed(error.to_string());
                }
                Outcome::Deferred
            }
        }
    }

    /// The outcomes of a record whose source could not be read.
    fn unread(&self, job: Job, outcomes: Outcomes, error: StoreError) -> Outcomes {
        if is_fatal(&error) || error.kind() == ErrorKind::Unreachable {
            self.fatal(error);
            return all(job, outcomes, || Outcome::Interrupted);
        }
        if error.kind().retry() == Retry::Permanent || job.last_chance {
            let reason = error.to_string();
            return all(job, outcomes, || Outcome::Failed(reason.clone()));
        }
        all(job, outcomes, || Outcome::Deferred)
    }

    pub(crate) fn follower(&self, target: TargetIndex) -> &Follower {
        &self.targets[target.get()]
    }
}

/// Counts a write as in flight until it ends or is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Follower {
    /// The object's properties that the target is given; an error if it cannot hold one that must survive.
    pub(crate) fn given(&self, head: &Head, shape: Shape) -> Result<Properties, String> {
        survive::given(head, shape, self.waived, &*self.store)
    }

    /// Whether the target's lane has been full for a while: a short delay is no reason to read a record twice.
    fn is_crowded(&self, lane_max: usize) -> bool {
        let mut since = self.crowded_since.lock().unwrap_or_else(PoisonError::into_inner);
        if self.in_flight.load(Ordering::Relaxed) < lane_max {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() >= CROWDED_MIN
    }

    /// Runs a write and counts it as in flight at the target.
    pub(crate) async fn counted<T>(&self, write: impl Future<Output = T>) -> T {
        let _counted = InFlight::enter(&self.in_flight);
        write.await
    }

    pub(crate) fn is_down(&self) -> bool {
        self.silent.load(Ordering::Relaxed) >= SILENCE_MAX
    }
}

/// The targets at which a record is deferred: those that hold the others back, unless all do or this is the last
/// chance.
fn to_defer(wanted: &[(TargetIndex, bool)], last_chance: bool) -> Vec<TargetIndex> {
    if last_chance || wanted.iter().all(|(_, crowded)| *crowded) {
        return Vec::new();
    }
    wanted.iter().filter(|(_, crowded)| *crowded).map(|(target, _)| *target).collect()
}

/// Adds this outcome for every wanted target that has none yet.
fn all(job: Job, mut outcomes: Outcomes, outcome: impl Fn() -> Outcome) -> Outcomes {
    let done: Vec<_> = outcomes.iter().map(|(target, _)| *target).collect();
    let open = job.wants.into_iter().map(|(target, _)| target).filter(|target| !done.contains(target));
    outcomes.extend(open.map(|target| (target, outcome())));
    outcomes
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use migrate_store::Condition;
    use migrate_store::memory::MemoryStore;

    #[test]
    fn every_write_is_sent_under_the_condition_that_it_was_decided_by() {
        let shown = Token { size: 1, tag: "t".into(), modified_s: None };
        let pair = Pair { source: shown.clone(), target: shown.clone(), evidence: None, waived: Aspects::NONE };
        assert_eq!(Want::Create.condition(), Condition::Absent);
        for want in [Want::Replace(shown.clone()), Want::Look(shown.clone()), Want::Review(pair)] {
            assert_eq!(want.condition(), Condition::Matches(shown.clone()), "{want:?}");
        }
    }

    #[tokio::test]
    async fn a_write_that_is_dropped_half_way_is_no_longer_in_flight() {
        let follower = Follower {
            index: TargetIndex(0),
            store: Arc::new(MemoryStore::new("memory")),
            part_size: None,
            in_flight: 0.into(),
            crowded_since: Mutex::default(),
            silent: 0.into(),
            waived: Aspects::NONE,
        };
        let in_flight = || follower.in_flight.load(Ordering::Relaxed);
        let mut write = Box::pin(follower.counted(std::future::pending::<()>()));
        assert!(futures::poll!(&mut write).is_pending());
        assert_eq!(in_flight(), 1);
        drop(write);
        assert_eq!(in_flight(), 0, "a target must not count as crowded for good");
        follower.counted(async {}).await;
        assert_eq!(in_flight(), 0);
    }

    #[test]
    fn only_what_holds_others_back_is_deferred() {
        let (a, b) = (TargetIndex(0), TargetIndex(1));
        assert_eq!(to_defer(&[(a, false), (b, true)], false), [b]);
        assert!(to_defer(&[(a, true), (b, true)], false).is_empty(), "nothing waits for them");
        assert!(to_defer(&[(b, true)], false).is_empty());
        assert!(to_defer(&[(a, false), (b, true)], true).is_empty(), "there is no later pass");
        assert!(to_defer(&[], false).is_empty());
    }
}
