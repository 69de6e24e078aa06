//! The leftovers of a pass: deferred records, damaged ones, and deletions.
//!
//! In a pass they begin when every shard has ended, so both sides were listed to their ends. The ledger
//! holds them; each record is looked at anew on both sides before it is copied or deleted.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    copy::{
        copier::{Copier, Follower, Job, Outcome, Want},
        parts, unclaimed,
    },
    error::{EngineError, is_fatal},
    failed::Failed,
    routed::AtLead,
};
use migrate_core::{
    diff::{Change, decide},
    model::{Key, PlaceIndex, ShardId},
    plan::Extra,
    shard::{Cursor, Tally},
};
use migrate_ledger::{Fact, Held, Late, Open, OpenRow, Record};
use migrate_store::{Condition, ErrorKind, StoreError};

/// Records read from the ledger at once, and under way at once.
const PAGE: usize = 256;

/// Goes through the leftovers of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct Leftovers {
    pub(crate) copier: Arc<Copier>,
    /// A shard of the pass, which has ended like all others: it counts the work done here. `None` outside of a pass.
    pub(crate) shard: Option<ShardId>,
    pub(crate) extra: Extra,
    /// Most records that may be deleted, in thousandths of those that a target holds; `None` for no bound.
    pub(crate) delete_permille: Option<u16>,
}

/// The action on each record.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Copy,
    Delete,
    Revive,
}

/// The outcome of some records.
pub(crate) struct Page {
    /// The keys, ascending.
    pub(crate) keys: Vec<Key>,
    /// The number of records that were written.
    pub(crate) copied: u64,
    /// Whether the run was asked to stop.
    pub(crate) interrupted: bool,
}

/// The side that did not answer as asked.
enum Missed {
    Source(StoreError),
    Target(StoreError),
}

/// The outcome of one record.
struct Done {
    key: Key,
    facts: Vec<Fact>,
    /// Why it failed, if it did.
    failed: Option<Failed>,
    tally: Tally,
    interrupted: bool,
}

impl Done {
    fn new(key: Key) -> Self {
        Self { key, facts: Vec::new(), failed: None, tally: Tally::default(), interrupted: false }
    }
}

/// The records that would be deleted at a target, and those that it holds, if the share exceeds `permille` thousandths.
pub(crate) fn exceeds_share(doomed: u64, paired: u64, permille: u16) -> Option<(u64, u64)> {
    // Doomed records are paired, except extra ones.
    let held = paired.max(doomed);
    let exceeds = u128::from(doomed) * 1000 > u128::from(held) * u128::from(permille);
    exceeds.then_some((doomed, held))
}

impl Leftovers {
    /// Goes through all leftovers; `false` if the run was asked to stop before the end.
    pub(crate) async fn run(self) -> Result<bool, EngineError> {
        let mut targets = JoinSet::new();
        // A target that is down is left for the next run; the end of the pass tells which are.
        for follower in self.copier.followers.iter().filter(|follower| !follower.lane.is_down()) {
            let (leftovers, target) = (self.clone(), follower.place);
            targets.spawn(async move {
                let complete = leftovers.target(target).await?;
                Ok(complete || leftovers.copier.follower(target).lane.is_down())
            });
        }
        let mut complete: Result<bool, EngineError> = Ok(true);
        // Every target is awaited: an error at one must not cut the others short.
        while let Some(ended) = targets.join_next().await {
            complete = match (complete, ended?) {
                (Ok(so_far), Ok(this)) => Ok(so_far && this),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        complete
    }

    /// Copies only a page of a target's damaged records again; the ledger holds the outcome when this
    /// returns. `None` if none is left.
    pub(crate) async fn mend(&self, target: PlaceIndex, after: Option<&Key>) -> Result<Option<Page>, EngineError> {
        let page = self.page(target, Open::Damaged, Doing::Copy, after).await?;
        self.copier.journal.commit(Vec::new()).await?;
        Ok(page)
    }

    async fn target(&self, target: PlaceIndex) -> Result<bool, EngineError> {
        let complete = self.each(target, Open::Deferred, Doing::Copy).await?
            && self.each(target, Open::Damaged, Doing::Copy).await?
            && self.within_share(target).await?
            && self.each(target, Open::Doomed, Doing::Delete).await?;
        if complete {
            self.sweep_uploads(target).await?;
        }
        Ok(complete)
    }

    /// Acts on every record of a kind; `false` if the run was asked to stop.
    async fn each(&self, target: PlaceIndex, why: Open, doing: Doing) -> Result<bool, EngineError> {
        let mut after: Option<Key> = None;
        while let Some(page) = self.page(target, why, doing, after.as_ref()).await? {
            if page.interrupted {
                return Ok(false);
            }
            after = page.keys.last().cloned();
        }
        Ok(true)
    }

    /// Acts on the first records of a kind after a key; `None` if there is none.
    async fn page(
        &self,
        target: PlaceIndex,
        why: Open,
        doing: Doing,
        after: Option<&Key>,
    ) -> Result<Option<Page>, EngineError> {
        let rows = self.copier.journal.ledger.open_records(&self.copier.dataset, target, why, after, PAGE).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut page = Page { keys: rows.iter().map(|row| row.key.clone()).collect(), copied: 0, interrupted: false };
        let (lane, mut rest) = (&self.copier.follower(target).lane, rows);
        while !rest.is_empty() {
            let failed = self.attempt(target, doing, why, rest, &mut page).await?;
            if lane.is_down() {
                // They wait for the next run: the reason may not have been their own.
                page.interrupted = true;
                break;
            }
            // What failed while the target was silent is tried again once its lane opens.
            let again = lane.suspended_until().is_some() && !self.copier.shutdown.is_draining();
            rest = Vec::new();
            for (row, done) in failed {
                if again {
                    rest.push(row);
                } else {
                    self.note(target, done).await?;
                }
            }
        }
        page.interrupted |= self.copier.shutdown.is_draining();
        Ok(Some(page))
    }

    /// Acts once on each record. Returns those that failed, which are not noted yet.
    async fn attempt(
        &self,
        target: PlaceIndex,
        doing: Doing,
        why: Open,
        rows: Vec<OpenRow>,
        page: &mut Page,
    ) -> Result<Vec<(OpenRow, Done)>, EngineError> {
        let (mut jobs, mut failed) = (JoinSet::new(), Vec::new());
        for row in rows {
            let leftovers = self.clone();
            jobs.spawn(async move { (row.clone(), leftovers.record(target, why, doing, row).await) });
        }
        while let Some(done) = jobs.join_next().await {
            let (row, done) = done?;
            let done = done?;
            page.interrupted |= done.interrupted;
            page.copied += done.tally.copied;
            if done.failed.is_some() {
                failed.push((row, done));
            } else {
                self.note(target, done).await?;
            }
        }
        Ok(failed)
    }

    async fn note(&self, target: PlaceIndex, done: Done) -> Result<(), EngineError> {
        if let Some(failed) = &done.failed {
            self.copier.tell_failed(target, &done.key, failed);
        }
        let record = |fact| Record::at(&self.copier.dataset, target, &done.key, fact);
        let facts = done.facts.into_iter().chain(done.failed.map(Failed::into_fact));
        let mut records: Vec<_> = facts.map(record).collect();
        if let Some(shard) = self.shard.filter(|_| done.tally != Tally::default()) {
            records.push(Record::CursorMoved { shard, place: target, cursor: Cursor::End, done: done.tally });
        }
        if records.is_empty() {
            return Ok(());
        }
        Ok(self.copier.journal.note(records).await?)
    }

    async fn record(&self, target: PlaceIndex, why: Open, doing: Doing, row: OpenRow) -> Result<Done, EngineError> {
        let follower = self.copier.follower(target);
        if !follower.lane.opens(&self.copier.shutdown).await {
            return Ok(Done { interrupted: true, ..Done::new(row.key) });
        }
        let ledger = &self.copier.journal.ledger;
        let held = ledger.held_at(&self.copier.dataset, self.copier.lead, target, &row.key).await?;
        let answer = match doing {
            Doing::Copy => {
                let led = follower.has_led;
                let late = if led { ledger.late_at(&self.copier.dataset, &row.key).await? } else { None };
                self.copy(follower, &row.key, held, late, why).await
            }
            Doing::Delete => self.delete(follower, &row.key, held).await,
            Doing::Revive => self.revive(follower, &row.key).await,
        };
        // A copy ends in an outcome even if the target gave no answer; `Copier` counts those.
        if answer.is_ok() && !matches!(doing, Doing::Copy) {
            follower.lane.did();
        }
        Ok(answer.unwrap_or_else(|error| self.not_looked(follower, row.key, error)))
    }

    /// The outcome of a record at which a look or a delete failed. If more than the record is the reason, the ledger
    /// keeps it, and those behind it, for the next run.
    fn not_looked(&self, follower: &Follower, key: Key, missed: Missed) -> Done {
        let mut done = Done::new(key);
        let outcome = match missed {
            Missed::Source(error) if is_fatal(&error) || error.kind() == ErrorKind::Unreachable => {
                self.copier.fatal(error);
                Outcome::Interrupted
            }
            Missed::Source(error) => Outcome::Failed(Failed::by(&error, "")),
            Missed::Target(error) => self.copier.unwritten(follower, true, error),
        };
        match outcome {
            Outcome::Failed(failed) => done.failed = Some(failed),
            _ => done.interrupted = true,
        }
        done
    }

    async fn copy(
        &self,
        follower: &Follower,
        key: &Key,
        held: Option<Held>,
        late: Option<Late>,
        why: Open,
    ) -> Result<Done, Missed> {
        let mut done = Done::new(key.clone());
        let at_lead = self.copier.router.at_lead(follower.place, key).await.map_err(Missed::Source)?;
        let shown = follower.store.head(key).await.map_err(Missed::Target)?.map(|head| head.token);
        // It is not mended while the target shows what was paired: it is deleted there, in this pass or the next.
        let is_left = || held.as_ref().zip(shown.as_ref()).is_some_and(|(held, shown)| held.here.agrees_with(shown));
        let source = match at_lead {
            AtLead::Version(source) => source,
            at_lead => return self.not_for(at_lead, why == Open::Damaged && is_left(), done).await,
        };
        let size = source.size;
        if follower.is_disputed(shown.as_ref(), held.as_ref()) {
            let disputed = vec![(follower.place, shown)];
            let job = Job { key: key.clone(), source, wants: Vec::new(), disputed, last_chance: true };
            return self.bring(job, size, done).await;
        }
        if why == Open::Damaged
            && follower.has_led
            && let Some(lead) = self.copier.look_at_source(key).await.map_err(Missed::Source)?
            && let Some(shown) =
                self.copier.foreign_properties(follower, key, &lead, late).await.map_err(Missed::Target)?
        {
            done.facts.extend([Fact::Late { shown: Some(shown) }, Fact::Settled]);
            return Ok(done);
        }
        let paired = held.as_ref().map(|held| held.paired(follower.waived));
        let want = match (decide(Some(&source), shown.as_ref(), paired), shown) {
            (_, None) => Want::Create,
            (_, Some(shown)) if why == Open::Damaged => Want::Replace(shown),
            (Change::Same, Some(_)) => {
                done.facts.push(Fact::Settled);
                return Ok(done);
            }
            (Change::Review, Some(shown)) => held.and_then(Held::pair).map_or(Want::Look(shown), Want::Review),
            (Change::Look, Some(shown)) => Want::Look(shown),
            (_, Some(shown)) => Want::Replace(shown),
        };
        let wants = vec![(follower.place, want)];
        let job = Job { key: key.clone(), source, wants, disputed: Vec::new(), last_chance: true };
        self.bring(job, size, done).await
    }

    /// Settles a record that the source does not have for a target; it stays open if its copy there is to be deleted.
    async fn not_for(&self, at_lead: AtLead, is_left: bool, mut done: Done) -> Result<Done, Missed> {
        match at_lead {
            AtLead::Unknown(failed) => done.failed = Some(failed),
            AtLead::Absent if !is_left || !self.is_gone(&done.key).await? => self.gone(&mut done).await?,
            AtLead::Elsewhere if !is_left => done.facts.push(Fact::Settled),
            AtLead::Absent | AtLead::Elsewhere | AtLead::Version(_) => {}
        }
        Ok(done)
    }

    /// Brings a record, and says what came of it.
    async fn bring(&self, job: Job, size: u64, mut done: Done) -> Result<Done, Missed> {
        for (_, outcome) in self.copier.bring(job).await {
            match outcome {
                Outcome::Same(pair) => {
                    done.tally.same += 1;
                    done.facts.extend([Fact::Learned { lead: self.copier.lead, pair }, Fact::Settled]);
                }
                Outcome::Copied { pair, .. } => {
                    done.tally.copied += 1;
                    done.tally.copied_bytes += size;
                    done.facts.push(Fact::Paired { lead: self.copier.lead, pair });
                }
                Outcome::Failed(failed) => done.failed = Some(failed),
                Outcome::Gone => self.gone(&mut done).await?,
                Outcome::Late(shown) => {
                    done.tally.extra += 1;
                    // If it was damaged, another writer has replaced what was.
                    done.facts.extend([Fact::Late { shown }, Fact::Settled]);
                }
                Outcome::Deferred | Outcome::Held | Outcome::Interrupted => done.interrupted = true,
            }
        }
        Ok(done)
    }

    /// Settles a record that the source did not give. If its listing still shows the record, it has failed; if
    /// not, it was deleted since, and the next pass decides whether to delete its copy.
    async fn gone(&self, done: &mut Done) -> Result<(), Missed> {
        if self.is_gone(&done.key).await? {
            done.facts.push(Fact::Settled);
        } else {
            done.failed = Some(Failed::not_given());
        }
        Ok(())
    }

    async fn is_gone(&self, key: &Key) -> Result<bool, Missed> {
        self.copier.is_gone(key).await.map_err(Missed::Source)
    }

    /// Deletes a record that the source deleted or that belongs elsewhere now, or that only the target has and the plan
    /// deletes; never a record that is at the source now and belongs there, nor another version than the one seen.
    async fn delete(&self, follower: &Follower, key: &Key, held: Option<Held>) -> Result<Done, Missed> {
        let mut done = Done::new(key.clone());
        let gone = match self.copier.router.at_lead(follower.place, key).await.map_err(Missed::Source)? {
            AtLead::Version(_) => false,
            AtLead::Elsewhere => true,
            AtLead::Absent => self.is_gone(key).await?,
            AtLead::Unknown(failed) => {
                done.failed = Some(failed);
                return Ok(done);
            }
        };
        let shown = follower.store.head(key).await.map_err(Missed::Target)?.map(|head| head.token);
        let (true, Some(shown)) = (gone, shown) else {
            done.facts.push(Fact::Settled);
            return Ok(done);
        };
        let ours = match &held {
            Some(held) => held.here.covers(&shown),
            None => self.extra == Extra::Delete && !follower.has_led,
        };
        if !ours {
            done.facts.push(Fact::Settled);
            return Ok(done);
        }
        follower.store.delete(key, &Condition::Matches(shown)).await.map_err(Missed::Target)?;
        done.tally.deleted += 1;
        done.facts.push(Fact::Unpaired);
        Ok(done)
    }

    /// Refuses to delete more than the plan allows. Records that have come back at the source meanwhile do
    /// not count: a mended accident must not block the dataset forever.
    async fn within_share(&self, target: PlaceIndex) -> Result<bool, EngineError> {
        let Some(permille) = self.delete_permille else { return Ok(true) };
        if self.too_many(target, permille).await?.is_none() {
            return Ok(true);
        }
        if !self.each(target, Open::Doomed, Doing::Revive).await? {
            return Ok(false);
        }
        let Some((doomed, held)) = self.too_many(target, permille).await? else { return Ok(true) };
        Err(EngineError::DeleteShare {
            dataset: self.copier.dataset.clone(),
            target: self.copier.follower(target).store.location().to_owned(),
            doomed,
            held,
            permille,
        })
    }

    /// The records that would be deleted, and those that the target holds, if the share is exceeded.
    async fn too_many(&self, target: PlaceIndex, permille: u16) -> Result<Option<(u64, u64)>, EngineError> {
        self.copier.journal.commit(Vec::new()).await?;
        let counts = self.copier.journal.ledger.counts(&self.copier.dataset, target).await?;
        Ok(exceeds_share(counts.doomed, counts.paired, permille))
    }

    /// Keeps a doomed record if the source has it again.
    async fn revive(&self, follower: &Follower, key: &Key) -> Result<Done, Missed> {
        let mut done = Done::new(key.clone());
        match self.copier.router.at_lead(follower.place, key).await.map_err(Missed::Source)? {
            AtLead::Version(_) => done.facts.push(Fact::Settled),
            AtLead::Unknown(failed) => done.failed = Some(failed),
            AtLead::Absent | AtLead::Elsewhere => {}
        }
        Ok(done)
    }

    /// Aborts uploads that no later try will resume: a record that waits for its next try keeps its parts.
    async fn sweep_uploads(&self, target: PlaceIndex) -> Result<(), EngineError> {
        // The outcomes of the records must be in the ledger before it can tell which of them wait.
        self.copier.journal.commit(Vec::new()).await?;
        for row in self.copier.journal.ledger.idle_uploads(&self.copier.dataset, target).await? {
            if let Err(error) = parts::drop_upload(&self.copier, self.copier.follower(target), &row).await {
                parts::tell_left(&self.copier, &error);
            }
        }
        unclaimed::look_again(&self.copier, Some(target), true).await?;
        Ok(())
    }
}
