//! Verifications and repairs, within a run and by themselves.

use std::{future::Future, sync::Arc};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    asked::{InFlightMax, RunOptions, VerifyOptions, asked, refuse_unsupported},
    budget::Budget,
    clock::now,
    copy::copier::Copier,
    error::EngineError,
    journal::{Journal, Report},
    lifecycle::lifecycle_of,
    meaning::meaning_of,
    migration::{Inspection, Migration},
    rows::Inputs,
    run::{
        context::{Run, with_run},
        leftovers::Leftovers,
        walks,
    },
    scribe::{self, Board},
    seen,
    shutdown::{Shutdown, cancellable},
    sites::opening::DatasetStores,
    star::Star,
    verify::{
        again::Again,
        findings::Findings,
        progress::{self, Beginning, binds},
        recorded::ended,
        shard::Compare,
        verifier::{Learns, Verifier},
        witness::Verification,
    },
};
use migrate_core::{
    lifecycle::{Goal, Lifecycle, Stage},
    plan::{Dataset, Level},
    report::{EventKind, Redactor},
};
use migrate_ledger::{Record, VerificationStep};

/// How a verification keeps what it finds.
struct Kept {
    /// The file that it goes to.
    journal: Journal,
    learns: Learns,
    /// `None` if the progress is not kept.
    progress: Option<Progress>,
}

/// What the progress of a verification is bound to.
struct Progress {
    /// What the dataset means.
    meaning: String,
    /// Whether an earlier process's does not count.
    anew: bool,
}

/// The verification of a dataset within a run. Each begins anew: a record that was compared by an earlier process may
/// have changed since, and a pass does not tell every such change (it leaves a stray alone, and moves a damaged record
/// that the source has deleted to the deletions). Only a command that moves nothing goes on with what was seen before.
pub(crate) fn in_run(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
) -> impl Future<Output = Result<Verification, EngineError>> + Send + 'static {
    let kept = Kept { journal: run.journal.clone(), learns: Learns::Pairs, progress: None };
    verify_all(verifier_of(run, dataset, stores, dataset.verify), Some(kept), run.options.limits)
}

fn verifier_of(run: &Run<'_>, dataset: &Dataset, stores: &DatasetStores, level: Level) -> Verifier {
    let inputs = Inputs::new(dataset, stores, Some(&run.journal.ledger));
    let shutdown = stores.shutdown(&run.shutdown);
    Verifier::new(dataset, inputs, level, run.budget.clone(), shutdown, run.sink.clone())
}

/// Compares all records at all followers, in shards; goes on with the verification under way if there is one.
async fn verify_all(
    mut verifier: Verifier,
    kept: Option<Kept>,
    limits: InFlightMax,
) -> Result<Verification, EngineError> {
    let dataset = verifier.inputs.dataset.clone();
    let (mut journal, mut progress) = (None, None);
    if let Some(kept) = kept {
        verifier.learns = kept.learns;
        (journal, progress) = (Some(kept.journal), kept.progress);
    }
    let (beginning, findings) = begin(&verifier, journal, progress).await?;
    findings.adopt(&verifier, beginning.found);
    let (compared, since, anew) = (findings.compared(), beginning.since, beginning.anew);
    verifier.sink.tell(EventKind::VerificationBegan { dataset: dataset.clone(), compared, since, anew });
    let (lead, shutdown) = (Arc::clone(&verifier.sides.lead), verifier.shutdown.clone());
    let expected = expected(&verifier).await?;
    let followers = verifier.sides.followers.len();
    let compare = Arc::new(Compare::new(verifier, findings, limits.batch_rows.max(1), expected));
    let seen = walks::walk(&compare, lead, followers, beginning.shards, &limits, &shutdown).await?;
    let Compare { verifier, findings, .. } = &*compare;
    let some_lost = findings.listed().contains(&false);
    let is_whole = if some_lost { seen::covers_all(&seen) } else { seen::is_whole(&seen, followers) };
    if !is_whole && !shutdown.is_draining() {
        return Err(EngineError::Unfinished { dataset });
    }
    // What was learned must be in the ledger before it is asked what it knows to be damaged.
    findings.flush(Vec::new()).await?;
    let verification = verifier.conclude(since, seen, findings.so_far()).await?;
    // The next one goes on with what a follower did not show.
    if !verification.interrupted && !some_lost {
        findings.end(verifier).await?;
    }
    Ok(verification)
}

/// Where a verification begins, and where its findings go. One that begins anew is noted before its first shard.
async fn begin(
    verifier: &Verifier,
    journal: Option<Journal>,
    progress: Option<Progress>,
) -> Result<(Beginning, Findings), EngineError> {
    let (dataset, ledger) = (&verifier.inputs.dataset, verifier.inputs.ledger.as_ref());
    let last_pass = match ledger {
        Some(ledger) => ledger.shards(dataset).await?,
        None => Vec::new(),
    };
    let Some((journal, Progress { meaning, anew })) = journal.as_ref().zip(progress) else {
        return Ok((progress::begin(None, &Value::Null, &last_pass), Findings::new(verifier, journal, false)));
    };
    // Asked before anything is looked at: what changes meanwhile makes the next process begin anew.
    let known = match ledger {
        Some(ledger) => Some((ledger.id().await?, ledger.changes(dataset).await?)),
        None => None,
    };
    let binds = binds(verifier, &meaning, known);
    // The file is a convenience: if what an earlier process has seen cannot be read, everything is looked at.
    let under_way = if anew { Ok(None) } else { journal.ledger.verification(dataset).await };
    let unreadable = under_way.as_ref().err().map(|error| format!("what it had seen cannot be read: {error}"));
    let mut beginning = progress::begin(under_way.unwrap_or_default(), &binds, &last_pass);
    beginning.anew = unreadable.or(beginning.anew);
    let findings = Findings::new(verifier, Some(journal.clone()), true);
    if beginning.since.is_none() {
        let shards = beginning.shards.iter().map(|shard| (shard.id, shard.range.clone())).collect();
        findings.begin(verifier, VerificationStep::Began { binds: binds.to_string(), at: now(), shards }).await?;
    }
    Ok((beginning, findings))
}

/// How many records will be compared over all followers, by the ledger's pairs.
async fn expected(verifier: &Verifier) -> Result<Option<u64>, EngineError> {
    let Some(ledger) = &verifier.inputs.ledger else { return Ok(None) };
    let mut expected = 0;
    for place in verifier.inputs.star.followers.iter() {
        expected += ledger.counts(&verifier.inputs.dataset, *place).await?.paired;
    }
    Ok(Some(expected).filter(|expected| *expected > 0))
}

impl Inspection<'_> {
    /// Verifies every follower of the datasets; writes nothing, neither to the stores nor to the ledger. How far it is
    /// goes to a file of its own, if the options name one. That is a convenience: if it can no longer be written, the
    /// verification goes on.
    pub async fn verify(&self, options: &VerifyOptions) -> Result<Vec<Verification>, EngineError> {
        cancellable(&self.shutdown, verify(self, options)).await
    }
}

impl Migration<'_> {
    /// Verifies, copies exactly the differing records again, and compares these again. The ledger keeps what was
    /// found and copied. Returns the verifications, and how many records were mended.
    pub async fn repair(&self, options: &VerifyOptions) -> Result<(Vec<Verification>, u64), EngineError> {
        cancellable(&self.shutdown, repair(self, options)).await
    }
}

async fn verify(inspection: &Inspection<'_>, options: &VerifyOptions) -> Result<Vec<Verification>, EngineError> {
    let (reports, queue) = mpsc::channel::<Report>(scribe::REPORTS_QUEUED);
    // Not the shutdown of the verification: that is not to stop if its progress cannot be written.
    let unstopped = Shutdown::new();
    let journal = options.progress.clone().map(|file| Journal::new(file, reports, unstopped.clone()));
    let scribe = async {
        match &options.progress {
            Some(file) => scribe::write(Arc::clone(file), queue, Board::default(), unstopped.clone()).await,
            None => Ok(()),
        }
    };
    let verified = async move {
        inspection.adopt_places().await?;
        let budget = Budget::of(&options.limits, inspection.sites);
        Alone { inspection, options, budget, journal }.verify().await
    };
    // The verification owns the journal, and the scribe ends when the journal's last sender is gone.
    let (verified, written) = futures::join!(verified, scribe);
    if let Err(error) = written {
        let message = format!("if this verification is stopped, the next one begins anew: {error}");
        inspection.sink.tell(EventKind::Warning { dataset: None, key: None, message });
    }
    verified
}

/// The parts of a verification by itself.
struct Alone<'a> {
    inspection: &'a Inspection<'a>,
    options: &'a VerifyOptions,
    budget: Budget,
    /// Where progress goes; `None` if it is not kept.
    journal: Option<Journal>,
}

impl Alone<'_> {
    async fn verify(&self) -> Result<Vec<Verification>, EngineError> {
        let mut verifications = Vec::new();
        for dataset in asked(self.inspection.plan, &[], &self.options.datasets) {
            refuse_unsupported(dataset, false)?;
            verifications.push(self.dataset(dataset).await?);
            if self.inspection.shutdown.is_draining() {
                break;
            }
        }
        Ok(verifications)
    }

    async fn dataset(&self, dataset: &Dataset) -> Result<Verification, EngineError> {
        let Inspection { plan, sites, sink, shutdown, .. } = self.inspection;
        if dataset.is_table() {
            return self.inspection.verify_table(dataset, self.options.level.unwrap_or(dataset.verify)).await;
        }
        let known = self.inspection.begun(dataset).await?;
        let lifecycle = match known {
            Some(ledger) => lifecycle_of(ledger, &dataset.name).await?,
            None => Lifecycle::default(),
        };
        // In place of a follower that cannot be opened is one whose listing fails with the reason.
        let stores = sites.open_some(plan, dataset, Star::of_all(dataset, &lifecycle)?, None, sink).await?;
        match known {
            Some(ledger) => stores.adopt_known(ledger).await?,
            None => stores.assume(),
        }
        let verifier = Verifier::new(
            dataset,
            Inputs::new(dataset, &stores, known),
            self.options.level.unwrap_or(dataset.verify),
            self.budget.clone(),
            shutdown.clone(),
            sink.clone(),
        )
        .going_on(Redactor::new(plan.redact_keys));
        let kept = match &self.journal {
            Some(journal) => Some(self.keep(journal, dataset, meaning_of(plan, dataset).to_string()).await?),
            None => None,
        };
        verify_all(verifier, kept, self.options.limits).await
    }

    /// Prepares the file of progress for a dataset.
    async fn keep(&self, journal: &Journal, dataset: &Dataset, meaning: String) -> Result<Kept, EngineError> {
        if journal.ledger.meaning(&dataset.name).await?.is_none() {
            let begun = Record::DatasetBegun { dataset: dataset.name.clone(), meaning: meaning.clone() };
            // If it cannot be written, this is told at the end.
            let _ = journal.note(vec![begun]).await;
        }
        let progress = Some(Progress { meaning, anew: self.options.anew });
        Ok(Kept { journal: journal.clone(), learns: Learns::Nothing, progress })
    }
}

async fn repair(migration: &Migration<'_>, options: &VerifyOptions) -> Result<(Vec<Verification>, u64), EngineError> {
    let run_options = RunOptions {
        goal: Goal::Verified,
        phases: Vec::new(),
        datasets: options.datasets.clone(),
        force: false,
        follow: false,
        counts: false,
        limits: options.limits,
        approver: Arc::new(crate::approver::ByFlag::default()),
    };
    let work = async |run: &Run<'_>| {
        let (mut verifications, mut mended) = (Vec::new(), 0);
        for dataset in asked(run.plan, &[], &options.datasets) {
            refuse_unsupported(dataset, false)?;
            let lifecycle = run.lifecycle(&dataset.name).await?;
            let left_alone = must_be_repairable(run, dataset, &lifecycle).is_err();
            if left_alone && options.datasets.is_empty() {
                // The operator did not name it: it is verified like the others, but not copied.
                verifications.push(verify_only(run, dataset, options, &lifecycle).await?);
                continue;
            }
            let (verification, count) = repair_one(run, dataset, options).await?;
            mended += count;
            verifications.push(verification);
            if run.shutdown.is_draining() {
                break;
            }
        }
        match run.journal.take_fatal() {
            Some(error) => Err(error),
            None => Ok((verifications, mended)),
        }
    };
    let (done, written) = with_run(migration, &run_options, work).await;
    written?;
    done
}

/// Verifies a dataset that is not to be repaired, at all places.
async fn verify_only(
    run: &Run<'_>,
    dataset: &Dataset,
    options: &VerifyOptions,
    lifecycle: &Lifecycle,
) -> Result<Verification, EngineError> {
    run.check_meaning(dataset).await?;
    if dataset.is_table() {
        let inspection = Inspection {
            plan: run.plan,
            sites: run.sites,
            ledger: Some(Arc::clone(&run.journal.ledger)),
            sink: run.sink.clone(),
            shutdown: run.shutdown.clone(),
        };
        return inspection.verify_table(dataset, options.level.unwrap_or(dataset.verify)).await;
    }
    let star = Star::of_all(dataset, lifecycle)?;
    let stores = run.sites.open(run.plan, dataset, star, None, &run.sink).await?;
    stores.adopt_known(&run.journal.ledger).await?;
    let verifier = verifier_of(run, dataset, &stores, options.level.unwrap_or(dataset.verify));
    verify_all(verifier, None, run.options.limits).await
}

async fn repair_one(
    run: &Run<'_>,
    dataset: &Dataset,
    options: &VerifyOptions,
) -> Result<(Verification, u64), EngineError> {
    run.check_meaning(dataset).await?;
    let lifecycle = run.lifecycle(&dataset.name).await?;
    must_be_repairable(run, dataset, &lifecycle)?;
    if dataset.is_table() {
        let repaired = run.repair_table(dataset).await?;
        record_outcome(run, dataset, options.level.unwrap_or(dataset.verify), &repaired.0).await?;
        return Ok(repaired);
    }
    let stores = run.open(dataset).await?;
    run.claim(dataset, stores.lease.as_ref()).await?;
    run.begin(dataset).await?;
    let repaired = repaired(run, dataset, &stores, options).await;
    // Without its lease the repair was stopped like one that is to stop; this is why.
    stores.lost().map_or(repaired, Err)
}

/// Repairs a dataset whose stores may be written.
async fn repaired(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
    options: &VerifyOptions,
) -> Result<(Verification, u64), EngineError> {
    let level = options.level.unwrap_or(dataset.verify);
    let verifier = || verifier_of(run, dataset, stores, level);
    // As in a run, it begins anew: what is mended must have been seen by the process that says so.
    let kept = Kept { journal: run.journal.clone(), learns: Learns::PairsAndDamage, progress: None };
    let first = verify_all(verifier(), Some(kept), run.options.limits).await?;
    let copier: Arc<Copier> = Arc::new(run.copier(dataset, stores));
    let mut damaged = 0;
    for follower in &copier.followers {
        damaged += run.journal.ledger.counts(&dataset.name, follower.place).await?.damaged;
    }
    if damaged == 0 || first.interrupted {
        record_outcome(run, dataset, level, &first).await?;
        return Ok((first, 0));
    }
    let leftovers =
        Leftovers { copier, shard: None, extra: dataset.extra, delete_permille: Some(dataset.delete_share_permille) };
    // The records that are copied again are compared as in a run, so that their pairs are completed.
    let mut again = Again::new(verifier().learning(Learns::Pairs), run.journal.clone(), &first);
    let mut mended = 0;
    for follower in &leftovers.copier.followers {
        let mut after = None;
        while let Some(page) = leftovers.mend(follower.place, after.as_ref()).await? {
            mended += page.copied;
            if page.interrupted && follower.lane.is_down() {
                // What is damaged there stays in the ledger; the others are mended.
                break;
            }
            if page.interrupted {
                return Ok((Verification { interrupted: true, verified: None, ..first }, mended));
            }
            again.look(follower.place, &page.keys).await?;
            after = page.keys.last().cloned();
        }
    }
    if let Some(error) = leftovers.copier.followers.iter().find_map(|follower| follower.lane.take_error()) {
        return Err(error);
    }
    let both = again.conclude().await?;
    record_outcome(run, dataset, level, &both).await?;
    Ok((both, mended))
}

/// Refuses to copy again where nothing follows the lead, or where it is not known who leads.
fn must_be_repairable(run: &Run<'_>, dataset: &Dataset, lifecycle: &Lifecycle) -> Result<(), EngineError> {
    let follows = !Star::of(run.plan, dataset, lifecycle)?.followers.is_empty();
    if let Some(moved) = lifecycle.moved_to().filter(|_| !follows) {
        return Err(EngineError::LeadMoved {
            dataset: dataset.name.clone(),
            lead: moved.lead.clone(),
            epoch: moved.epoch,
            refused: "nothing follows it, by the plan's follow_back or by a policy, so nothing is copied",
        });
    }
    if lifecycle.syncing.stage == Stage::GivenUp {
        return Err(EngineError::GivenUp { dataset: dataset.name.clone() });
    }
    if !lifecycle.moving.is_at_rest() {
        return Err(EngineError::NotCutOver {
            dataset: dataset.name.clone(),
            reason: "a move of its lead was begun: `migrate run` finds out how far it came".to_owned(),
        });
    }
    Ok(())
}

/// Records the verification at the end of a repair, if the dataset's lifecycle allows it.
async fn record_outcome(
    run: &Run<'_>,
    dataset: &Dataset,
    level: Level,
    verification: &Verification,
) -> Result<(), EngineError> {
    if verification.interrupted {
        return Ok(());
    }
    let lifecycle = run.lifecycle(&dataset.name).await?;
    let event = ended(dataset, level, verification, &lifecycle);
    // A level below the plan's proves less than the plan asks for.
    let proves_enough = level >= dataset.verify || verification.verified.is_none();
    if !proves_enough || lifecycle.apply(&event).is_err() {
        // Or a pass is under way, or none has ended: then only the next run's own verification counts.
        return Ok(());
    }
    run.commit(vec![Record::Happened { dataset: dataset.name.clone(), event, at: now() }]).await
}
