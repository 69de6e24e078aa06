//! Proves that every follower equals its lead.
//!
//! # What each level proves
//!
//! - `listing` compares two listings with the recorded pairs and reads no object. It cannot see a
//!   property that changes without a new version showing in the listing.
//! - `checksum` looks at each object on both sides: stored checksums and properties. Where no
//!   checksum is comparable, versions that the ledger has paired stand for their bytes; where there
//!   is no pair either, the bytes are read.
//! - `bytes` reads every byte on both sides.
//!
//! # What it never does
//!
//! It never takes what it could not read for equal, and a key that changed while it looked is looked
//! at again before it counts as different. It needs no ledger: what another tool copied can be
//! proved too, except that `listing` can then decide nothing but presence and size.
//!
//! [`Verified`] is the only witness of a clean verification, and only this file can make one.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use super::{
    EngineError,
    budget::Budget,
    feeds::{Inputs, Row},
    shutdown::Shutdown,
};
use crate::{
    ledger::{Open, Pair, PairRow},
    model::{DatasetName, Key, KeyRange, TargetIndex},
    plan::{Dataset, Extra, Level},
    report::{Difference, DifferenceKind, Event, Sink},
    shard::{self, Cursor},
    store::{Entry, ObjectStore},
};

mod look;
mod star;

use look::{Look, Looked, listed_apart};
use star::Star;

/// Records looked at or read at once.
const LOOKS_MAX: usize = 64;
/// Differences that are kept per target; more are counted, and told as events.
const DIFFERENCES_KEPT: usize = 10_000;
/// Records known to be damaged that are read from the ledger at once.
const DAMAGED_PAGE: usize = 256;
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Proof that a verification found every follower equal to its lead. Its fields are private, so
/// that nothing but [`Verifier::run`] can make one.
#[derive(Debug, Clone)]
pub struct Verified {
    dataset: DatasetName,
    level: Level,
    compared: u64,
}

impl Verified {
    /// The dataset.
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// How thoroughly it was looked at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Records compared, over all targets.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

/// What a verification found at one target.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Found {
    /// The dataset.
    pub name: String,
    /// The target's location.
    pub target: String,
    /// The lead's location.
    pub lead: String,
    /// The lead has moved: nothing keeps its followers equal to it.
    #[serde(skip)]
    pub moved: bool,
    /// Records compared.
    pub compared: u64,
    /// Records that the lead has and the target lacks.
    pub missing: u64,
    /// Records that only the target has. Those that the plan keeps do not break equality.
    pub extra: u64,
    /// Records that both have and that are not equal.
    pub different: u64,
    /// Records of which nothing is known.
    pub unreadable: u64,
    /// Those of the extra records that were copied from the lead, which has deleted them since.
    #[serde(skip)]
    stale: u64,
    /// The extra records are as the plan wants them.
    #[serde(skip)]
    extra_is_kept: bool,
    /// The first differences, in key order, at most 10,000.
    pub differences: Vec<Difference>,
    /// Differences that are counted above but not listed.
    pub differences_omitted: u64,
    /// What this level cannot see, for people.
    pub blind_spots: Vec<&'static str>,
}

impl Found {
    /// Whether the target equals its lead.
    pub fn is_equal(&self) -> bool {
        self.broken() == 0 && self.unreadable == 0
    }

    /// Differences that break equality.
    pub fn broken(&self) -> u64 {
        let extra = if self.extra_is_kept { self.stale } else { self.extra };
        self.missing + self.different + extra
    }
}

/// The outcome of a verification.
#[derive(Debug)]
pub struct Verification {
    /// What was found, per target.
    pub targets: Vec<Found>,
    /// The witness, where everything is equal and everything was seen.
    pub verified: Option<Verified>,
    /// It was stopped before its end: what is not listed was not compared.
    pub interrupted: bool,
}

/// Something that a verification found in passing and the ledger should know.
#[derive(Debug)]
pub(super) enum Finding {
    /// The listings taught a time that the pair lacked.
    Learned(TargetIndex, Key, Pair),
    /// The target lacks the record or holds another one.
    Broken(TargetIndex, Key),
}

/// Verifies one dataset.
#[derive(Debug, Clone)]
pub(super) struct Verifier {
    pub(super) inputs: Inputs,
    star: Star,
    pub(super) level: Level,
    pub(super) extra: Extra,
    pub(super) budget: Budget,
    pub(super) shutdown: Shutdown,
    pub(super) sink: Sink,
    /// Where findings go, if anybody keeps them.
    pub(super) findings: Option<tokio::sync::mpsc::Sender<Finding>>,
}

struct Progress {
    compared: u64,
    /// Records that the ledger has paired, over all targets: about as many are to be compared.
    expected: u64,
    told: Instant,
}

impl Verifier {
    /// A verification of a dataset as its plan describes it, whose findings nobody keeps.
    pub(super) fn new(
        dataset: &Dataset,
        inputs: Inputs,
        level: Level,
        budget: Budget,
        shutdown: Shutdown,
        sink: Sink,
    ) -> Self {
        let star = Star::new(&inputs, None);
        Self { inputs, star, level, extra: dataset.extra, budget, shutdown, sink, findings: None }
    }

    /// The same, where a target leads.
    pub(super) fn led_by(mut self, target: Option<TargetIndex>) -> Self {
        self.star = Star::new(&self.inputs, target);
        self
    }

    /// Compares everything.
    pub(super) async fn run(self) -> Result<Verification, EngineError> {
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
        self.recall_damage(&mut targets).await?;
        // A stop cuts long comparisons short as well.
        interrupted |= self.shutdown.is_draining();
        for found in &mut targets {
            found.differences.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let equal = !interrupted && targets.iter().all(Found::is_equal);
        let verified = equal.then(|| Verified {
            dataset: self.inputs.dataset.clone(),
            level: self.level,
            compared: progress.compared,
        });
        Ok(Verification { targets, verified, interrupted })
    }

    /// Names the records that an earlier look at the bytes found damaged and nothing has mended: a
    /// level that reads no bytes would find them equal.
    async fn recall_damage(&self, targets: &mut [Found]) -> Result<(), EngineError> {
        let Some(ledger) =
            self.inputs.ledger.as_ref().filter(|_| self.level < Level::Bytes && self.star.moved_to.is_none())
        else {
            return Ok(());
        };
        for (place, found) in targets.iter_mut().enumerate() {
            let target = TargetIndex(u16::try_from(place).expect("a dataset has few targets"));
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
                let target = TargetIndex(u16::try_from(target).expect("a dataset has few targets"));
                expected += ledger.counts(&self.inputs.dataset, target).await?.paired;
            }
        }
        Ok(expected)
    }

    fn nothing_found(&self, target: &dyn ObjectStore) -> Found {
        let mut blind_spots = Vec::new();
        if self.level == Level::Listing {
            blind_spots.push("properties that change without a new version showing in the listing (tags, ACL)");
        }
        if !target.capabilities().properties {
            blind_spots.push("properties: this target holds bytes only");
        } else if !target.capabilities().tags {
            blind_spots.push("tags: this target keeps none");
        }
        Found {
            name: self.inputs.dataset.to_string(),
            target: target.location().to_owned(),
            lead: self.star.lead.location().to_owned(),
            moved: self.star.moved_to.is_some(),
            extra_is_kept: self.extra == Extra::Keep,
            blind_spots,
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
            let target = TargetIndex(u16::try_from(place).expect("a dataset has few targets"));
            let found = &mut targets[place];
            match (&source, shown) {
                (None, None) => {}
                (None, Some(_)) => {
                    let detail = if pair.is_some() {
                        // It was copied from the lead: a deletion that was not followed, which no
                        // plan asks to keep.
                        found.stale += 1;
                        "the lead has deleted it"
                    } else {
                        "the lead does not have it"
                    };
                    self.differs(found, target, key.clone(), DifferenceKind::Extra, detail.to_owned()).await;
                }
                (Some(source), shown) => {
                    found.compared += 1;
                    progress.compared += 1;
                    self.both(target, &key, source, shown, pair, found, looks).await;
                }
            }
        }
        while looks.len() >= LOOKS_MAX {
            let looked = looks.join_next().await.expect("the set holds at least one");
            self.settle(looked?, targets).await;
        }
        Ok(())
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
        if self.level == Level::Listing {
            let pair = pair.map(|row| row.pair);
            if let Some((kind, detail)) = listed_apart(&source.token, &shown.token, pair.as_ref()) {
                return self.differs(found, target, key.clone(), kind, detail).await;
            }
            if let Some(pair) = pair.filter(|pair| pair.target.modified_s.is_none() && shown.token.modified_s.is_some())
            {
                let pair = Pair { source: source.token.clone(), target: shown.token, evidence: pair.evidence };
                self.finding(Finding::Learned(target, key.clone(), pair)).await;
            }
            return;
        }
        let look = Look {
            target,
            key: key.clone(),
            source: source.token.clone(),
            shown: shown.token,
            pair: pair.map(|row| row.pair),
        };
        let verifier = self.clone();
        looks.spawn(async move { verifier.look(look).await });
    }

    async fn settle(&self, (target, key, answer): Looked, targets: &mut [Found]) {
        let found = &mut targets[target.get()];
        match answer {
            Ok(None) => {}
            Ok(Some(detail)) => self.differs(found, target, key, DifferenceKind::Different, detail).await,
            Err(error) => {
                self.differs(found, target, key, DifferenceKind::Unreadable, error.to_string()).await;
            }
        }
    }

    async fn differs(&self, found: &mut Found, target: TargetIndex, key: Key, kind: DifferenceKind, detail: String) {
        match kind {
            DifferenceKind::Missing => found.missing += 1,
            DifferenceKind::Extra => found.extra += 1,
            DifferenceKind::Different => found.different += 1,
            DifferenceKind::Unreadable => found.unreadable += 1,
        }
        let difference = Difference { key: key.clone(), kind, detail };
        if found.differences.len() < DIFFERENCES_KEPT {
            self.sink.tell(Event::Differs {
                dataset: self.inputs.dataset.clone(),
                target: found.target.clone(),
                difference: difference.clone(),
            });
            found.differences.push(difference);
        } else {
            found.differences_omitted += 1;
        }
        if matches!(kind, DifferenceKind::Missing | DifferenceKind::Different) {
            self.finding(Finding::Broken(target, key)).await;
        }
    }

    async fn finding(&self, finding: Finding) {
        if let Some(findings) = &self.findings {
            // Whoever keeps them has gone only when the run has ended.
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
        self.sink.tell(Event::Verifying {
            dataset: self.inputs.dataset.clone(),
            compared: progress.compared,
            fraction,
        });
    }
}
