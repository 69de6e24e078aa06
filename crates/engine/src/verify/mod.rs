//! Proves that every follower equals its lead.
//!
//! # What each level proves
//!
//! - `listing` compares two listings with the recorded pairs and reads no object. It cannot see a
//!   property that changes while the listing shows the same version.
//! - `checksum` looks at each object on both sides: stored checksums and properties. If no
//!   checksum is comparable, versions that the ledger has paired stand for their bytes; if there
//!   is no pair either, the bytes are read.
//! - `bytes` reads every byte on both sides.
//!
//! # What does not count as equal
//!
//! A record that could not be read, that the level cannot decide, or that differs at some looks only never counts as
//! equal. A key that changed during a look is looked at again before it counts as different.
//!
//! # Without a ledger
//!
//! A verification needs no ledger: it also proves what another tool copied, but `listing` can then decide
//! only presence and size.
//!
//! [`Verified`] is the only witness of a clean verification, and only `Verified::of` makes one.

use std::{collections::BTreeSet, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use crate::{error::EngineError, rows::Row};
use migrate_core::{
    model::{Decider, Key, KeyRange, TargetIndex},
    plan::{Extra, Level},
    report::{Difference, DifferenceKind, EventKind},
    shard::{self, Cursor},
};
use migrate_ledger::{Open, Pair, PairRow};
use migrate_store::{Entry, ObjectStore};

pub use found::Found;
use found::{DIFFERENCES_KEPT, Finding};
use verifier::Verifier;
pub use witness::{SwitchProof, Verification, Verified};

pub(crate) mod again;
mod blind;
pub(crate) mod found;
pub(crate) mod late;
mod look;
pub(crate) mod recorded;
mod star;
pub(crate) mod verifier;
pub(crate) mod witness;

use look::{Answer, Listed, Look, Looked, listed, untimed};

/// Records looked at or read at once.
const LOOKS_MAX: usize = 64;
/// Records known to be damaged that are read from the ledger at once.
const DAMAGED_PAGE: usize = 256;
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

struct Progress {
    compared: u64,
    /// Records that the ledger has paired, over all targets: about as many will be compared.
    expected: u64,
    told: Instant,
}

impl Verifier {
    /// Compares all records at all followers.
    pub(crate) async fn run(self) -> Result<Verification, EngineError> {
        let mut targets: Vec<_> = self.star.followers.iter().map(|follower| self.nothing_found(&**follower)).collect();
        let mut rows = self.inputs.rows(&KeyRange::all());
        let mut looks: JoinSet<Looked> = JoinSet::new();
        let mut progress = Progress { compared: 0, expected: self.expected().await?, told: Instant::now() };
        let mut interrupted = false;
        loop {
            if self.shutdown.is_draining() {
                interrupted = true;
                break;
            }
            let Some(row) = rows.next().await? else { break };
            self.tell(&mut progress, &row.key);
            self.take(self.star.row(row), &mut targets, &mut looks, &mut progress).await?;
        }
        while let Some(looked) = looks.join_next().await {
            self.settle(looked?, &mut targets).await;
        }
        self.conclude(targets, interrupted).await
    }

    /// What was found, with a witness if everything was seen and is equal.
    async fn conclude(&self, mut targets: Vec<Found>, mut interrupted: bool) -> Result<Verification, EngineError> {
        self.recall_damage(&mut targets).await?;
        for (place, found) in targets.iter_mut().enumerate() {
            found.blind_spots = self.blind_spots(place, found);
        }
        // A stop also cuts long comparisons short.
        interrupted |= self.shutdown.is_draining();
        targets.iter_mut().for_each(Found::list);
        let verified = if interrupted { None } else { Verified::of(&self.inputs.dataset, self.level, &targets) };
        Ok(Verification { targets, verified, interrupted })
    }

    /// Lists the records that an earlier look at the bytes found damaged and that no copy has mended: a
    /// level that reads no bytes would find them equal.
    async fn recall_damage(&self, targets: &mut [Found]) -> Result<(), EngineError> {
        let Some(ledger) =
            self.inputs.ledger.as_ref().filter(|_| self.level < Level::Bytes && self.star.moved_to.is_none())
        else {
            return Ok(());
        };
        for (place, found) in targets.iter_mut().enumerate() {
            let target = TargetIndex::at(place);
            let named: BTreeSet<_> = found.differences.iter().map(|difference| difference.key.clone()).collect();
            let mut after = None;
            loop {
                let dataset = &self.inputs.dataset;
                let page = ledger.open_records(dataset, target, Open::Damaged, after.as_ref(), DAMAGED_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for row in page.into_iter().filter(|row| !named.contains(&row.key)) {
                    let detail = "an earlier verification found it damaged, and it is not mended".to_owned();
                    self.differs(found, target, row.key, DifferenceKind::Different, detail).await;
                }
            }
        }
        Ok(())
    }

    async fn expected(&self) -> Result<u64, EngineError> {
        let mut expected = 0;
        if let Some(ledger) = &self.inputs.ledger {
            for target in 0..self.inputs.targets.len() {
                let target = TargetIndex::at(target);
                expected += ledger.counts(&self.inputs.dataset, target).await?.paired;
            }
        }
        Ok(expected)
    }

    fn nothing_found(&self, target: &dyn ObjectStore) -> Found {
        Found {
            name: self.inputs.dataset.to_string(),
            target: target.location().to_owned(),
            lead: self.star.lead.location().to_owned(),
            moved: self.star.moved_to.is_some(),
            extra_is_kept: self.extra == Extra::Keep,
            ..Found::default()
        }
    }

    async fn take(
        &self,
        row: Row,
        targets: &mut [Found],
        looks: &mut JoinSet<Looked>,
        progress: &mut Progress,
    ) -> Result<(), EngineError> {
        let Row { key, source, targets: shown, pairs } = row;
        for (place, (shown, pair)) in shown.into_iter().zip(pairs).enumerate() {
            let target = TargetIndex::at(place);
            let found = &mut targets[place];
            if let Some(source) = &source {
                found.compared += 1;
                progress.compared += 1;
                self.both(target, &key, source, shown, pair, found, looks).await;
            } else if let Some(shown) = shown {
                self.extra(found, &key, &shown, pair.as_ref());
            }
        }
        while looks.len() >= LOOKS_MAX {
            let looked = looks.join_next().await.expect("the set holds at least one");
            self.settle(looked?, targets).await;
        }
        Ok(())
    }

    /// Counts a record that only the target has.
    fn extra(&self, found: &mut Found, key: &Key, shown: &Entry, pair: Option<&PairRow>) {
        found.extra += 1;
        let (detail, kept) = if let Some(row) = pair {
            // It was copied from the lead, which has deleted it since; no plan asks to keep such a record.
            found.stale += 1;
            found.strays += u64::from(!row.pair.target.agrees_with(&shown.token));
            ("the lead has deleted it", false)
        } else {
            ("the lead does not have it", found.extra_is_kept)
        };
        let (key, detail) = (key.clone(), detail.to_owned());
        self.list(found, Difference { key, kind: DifferenceKind::Extra, detail }, kept);
    }

    #[expect(clippy::too_many_arguments, reason = "one row's three sides, and where the answer goes")]
    async fn both(
        &self,
        target: TargetIndex,
        key: &Key,
        source: &Entry,
        shown: Option<Entry>,
        pair: Option<PairRow>,
        found: &mut Found,
        looks: &mut JoinSet<Looked>,
    ) {
        if let Some(problem) = &source.problem {
            let problem = problem.to_string();
            return self.differs(found, target, key.clone(), DifferenceKind::Unreadable, problem).await;
        }
        let Some(shown) = shown else {
            let detail = "the target does not have it".to_owned();
            return self.differs(found, target, key.clone(), DifferenceKind::Missing, detail).await;
        };
        if let Some(problem) = &shown.problem {
            let problem = format!("at the target it {problem}");
            return self.differs(found, target, key.clone(), DifferenceKind::Different, problem).await;
        }
        let pair = pair.map(|row| row.pair);
        if self.level == Level::Listing {
            match listed(&source.token, &shown.token, pair.as_ref(), self.star.waived[target.get()]) {
                Listed::Same => return found.decided.count(Decider::Versions),
                Listed::Apart(kind, detail) => return self.differs(found, target, key.clone(), kind, detail).await,
                // A look decides, and its finding is recorded, so that the next listing can decide.
                Listed::Unsure(_) if self.findings.is_some() => {}
                Listed::Unsure(why) => {
                    return self.differs(found, target, key.clone(), DifferenceKind::Undecided, why).await;
                }
            }
        }
        let (source, shown) = (source.token.clone(), shown.token);
        let look = Look { target, key: key.clone(), source, shown, pair, as_listed: true };
        let verifier = self.clone();
        looks.spawn(async move { verifier.look(look).await });
    }

    async fn settle(&self, looked: Looked, targets: &mut [Found]) {
        let Looked { look, answer } = looked;
        let found = &mut targets[look.target.get()];
        let (kind, detail) = match answer {
            // A stop cuts the comparison of bytes short, so it proves nothing.
            Ok(Answer::Equal(_)) if self.shutdown.is_draining() => return,
            Ok(Answer::Equal(by)) => {
                found.decided.count(by);
                return self.teach(look).await;
            }
            Ok(Answer::Differs(detail)) => (DifferenceKind::Different, detail),
            Ok(Answer::Unstable(detail)) => (DifferenceKind::Unstable, detail),
            Err(error) => (DifferenceKind::Unreadable, error.to_string()),
        };
        self.differs(found, look.target, look.key, kind, detail).await;
    }

    /// Completes the pair of a record that was just found equal: with the times of its versions, which
    /// a write does not tell, and without waivers that the plan no longer has. A listing alone
    /// completes no pair: it may show a later version, under the same tag and with other properties.
    async fn teach(&self, look: Look) {
        let Look { target, key, source, shown, pair, as_listed } = look;
        let Some(pair) = pair.filter(|_| as_listed && self.star.moved_to.is_none()) else { return };
        let paired = pair.source.agrees_with(&source) && pair.target.agrees_with(&shown);
        let waived = pair.waived.both(self.star.waived[target.get()]);
        let timed = !untimed(&pair.source, &source) && !untimed(&pair.target, &shown);
        if paired && !(timed && waived == pair.waived) {
            let pair = Pair { source, target: shown, evidence: pair.evidence, waived };
            self.finding(Finding::Learned(target, key, pair)).await;
        }
    }

    async fn differs(&self, found: &mut Found, target: TargetIndex, key: Key, kind: DifferenceKind, detail: String) {
        match kind {
            DifferenceKind::Missing => found.missing += 1,
            DifferenceKind::Extra => found.extra += 1,
            DifferenceKind::Different => found.different += 1,
            DifferenceKind::Unreadable => found.unreadable += 1,
            DifferenceKind::Unstable => found.unstable += 1,
            DifferenceKind::Undecided => found.undecided += 1,
        }
        self.list(found, Difference { key: key.clone(), kind, detail }, false);
        if matches!(kind, DifferenceKind::Missing | DifferenceKind::Different) {
            self.finding(Finding::Broken(target, key)).await;
        }
    }

    /// Keeps a difference and tells of it, up to [`DIFFERENCES_KEPT`].
    fn list(&self, found: &mut Found, difference: Difference, kept: bool) {
        let listed = if kept { &mut found.kept } else { &mut found.differences };
        if listed.len() < DIFFERENCES_KEPT {
            listed.push(difference.clone());
            let (dataset, target) = (self.inputs.dataset.clone(), found.target.clone());
            self.sink.tell(EventKind::Differs { dataset, target, difference, kept });
        } else {
            found.broken_omitted += u64::from(!kept);
        }
    }

    async fn finding(&self, finding: Finding) {
        if let Some(findings) = &self.findings {
            // The receiver is gone only once the run has ended.
            let _ = findings.send(finding).await;
        }
    }

    fn tell(&self, progress: &mut Progress, key: &Key) {
        if progress.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        progress.told = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let fraction = match progress.expected {
            0 => shard::progress(&KeyRange::all(), &Cursor::At(key.clone())),
            expected => (progress.compared as f64 / expected as f64).min(1.0),
        };
        self.sink.tell(EventKind::Verifying {
            dataset: self.inputs.dataset.clone(),
            compared: progress.compared,
            fraction,
        });
    }
}
