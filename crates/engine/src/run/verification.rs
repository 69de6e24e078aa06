//! Verifications and repairs, within a run and by themselves.

use std::{future::Future, sync::Arc};

use tokio::sync::mpsc;

use crate::sink::Sink;
use crate::state::state_of;
use crate::{
    asked::{RunOptions, VerifyOptions, asked, refuse_unsupported},
    budget::Budget,
    clock::now,
    copy::copier::Copier,
    error::EngineError,
    journal::Journal,
    meaning::{meaning_of, same_meaning},
    rows::Inputs,
    run::{
        context::{Run, with_run},
        leftovers::Leftovers,
    },
    shutdown::Shutdown,
    sites::opening::{DatasetStores, Sites},
    verify::{again::Again, found::Finding, recorded::ended, verifier::Verifier, witness::Verification},
};
use migrate_core::{
    lifecycle::{Goal, State},
    model::TargetIndex,
    plan::{Dataset, Level, Plan},
};
use migrate_ledger::{Fact, Ledger, Open, Record};

/// Findings that may queue before the verification waits.
const FINDINGS_QUEUED: usize = 1024;
/// Findings that go to the ledger together.
const FINDINGS_BATCH: usize = 256;

/// A verification within a run; what it learns about pairs goes to the ledger.
pub(crate) fn in_run(
    run: &Run<'_>,
    dataset: &Dataset,
    stores: &DatasetStores,
) -> impl Future<Output = Result<Verification, EngineError>> + Send + 'static {
    let journal = run.journal.clone();
    let verifier = Verifier::new(
        dataset,
        Inputs::new(dataset, stores, Some(&run.journal.ledger)),
        dataset.verify,
        run.budget.clone(),
        stores.shutdown(&run.shutdown),
        run.sink.clone(),
    );
    keeping(verifier, journal, false, Verifier::run)
}

/// Works with a verifier, and records its findings as they come; damage only for a repair.
async fn keeping<T, F: Future<Output = Result<T, EngineError>>>(
    mut verifier: Verifier,
    journal: Journal,
    repair: bool,
    work: impl FnOnce(Verifier) -> F,
) -> Result<T, EngineError> {
    let dataset = verifier.inputs.dataset.clone();
    let (findings, mut found) = mpsc::channel(FINDINGS_QUEUED);
    verifier.findings = Some(findings);
    let record = |finding| match finding {
        Finding::Learned(target, key, pair) => Some(Record::at(&dataset, target, &key, Fact::Learned(pair))),
        Finding::Broken(target, key) if repair => Some(Record::at(&dataset, target, &key, Fact::Waits(Open::Damaged))),
        Finding::Broken(..) => None,
    };
    // It owns the receiver: if the ledger fails, the channel closes, and the verification does not wait for room in it.
    let keep = async move {
        let mut batch = Vec::new();
        while found.recv_many(&mut batch, FINDINGS_BATCH).await > 0 {
            let records: Vec<_> = batch.drain(..).filter_map(record).collect();
            if !records.is_empty() {
                journal.note(records).await?;
            }
        }
        Ok::<_, EngineError>(())
    };
    let (done, kept) = futures::join!(work(verifier), keep);
    kept?;
    done
}

/// Verifies and writes nothing, neither to the stores nor to the ledger.
pub(crate) async fn verify(
    plan: &Plan,
    sites: &Sites,
    ledger: Option<Arc<Ledger>>,
    options: &VerifyOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<Vec<Verification>, EngineError> {
    let budget = Budget::new(options.limits.records, options.limits.bytes);
    let mut verifications = Vec::new();
    sites.adopt_places(ledger.as_deref()).await?;
    for dataset in asked(plan, &[], &options.datasets) {
        refuse_unsupported(dataset, false)?;
        let stores = sites.open(plan, dataset, None, &sink).await?;
        // If the meaning of a dataset has changed, its pairs are no evidence.
        let (mut known, mut led_by) = (ledger.clone(), None);
        if let Some(ledger) = &ledger {
            match ledger.meaning(&dataset.name).await? {
                Some(begun) => same_meaning(&dataset.name, &begun, &meaning_of(plan, dataset))?,
                None => known = None,
            }
        }
        if let Some(ledger) = &known {
            stores.adopt_known(ledger).await?;
            let state = state_of(ledger, &dataset.name).await?;
            led_by = state.moved_to().and_then(|moved| dataset.target_at(&moved.lead));
        } else {
            stores.assume();
        }
        let verifier = Verifier::new(
            dataset,
            Inputs::new(dataset, &stores, known.as_ref()),
            options.level.unwrap_or(dataset.verify),
            budget.clone(),
            shutdown.clone(),
            sink.clone(),
        );
        verifications.push(verifier.led_by(led_by).run().await?);
        if shutdown.is_draining() {
            break;
        }
    }
    Ok(verifications)
}

/// Verifies, copies the differing records again, and compares these again.
pub(crate) async fn repair(
    plan: &Plan,
    sites: &Sites,
    ledger: Arc<Ledger>,
    options: &VerifyOptions,
    sink: Sink,
    shutdown: Shutdown,
) -> Result<(Vec<Verification>, u64), EngineError> {
    let run_options = RunOptions {
        goal: Goal::Verified,
        phases: Vec::new(),
        datasets: options.datasets.clone(),
        force: false,
        limits: options.limits,
        approver: Arc::new(crate::approver::ByFlag::default()),
    };
    let work = async |run: &Run<'_>| {
        let (mut verifications, mut mended) = (Vec::new(), 0);
        for dataset in asked(plan, &[], &options.datasets) {
            refuse_unsupported(dataset, false)?;
            let state = run.state(&dataset.name).await?;
            let moved = state.moved_to().and_then(|moved| dataset.target_at(&moved.lead));
            let left_alone = moved.is_some() || matches!(state, State::Aborted { .. });
            if left_alone && options.datasets.is_empty() {
                // The operator did not name it: it is verified like the others, but not copied.
                verifications.push(verify_only(run, dataset, options, moved).await?);
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
    let (done, written) = with_run(plan, sites, ledger, &run_options, sink, shutdown, work).await;
    written?;
    done
}

async fn verify_only(
    run: &Run<'_>,
    dataset: &Dataset,
    options: &VerifyOptions,
    moved: Option<TargetIndex>,
) -> Result<Verification, EngineError> {
    run.check_meaning(dataset).await?;
    let stores = run.open(dataset).await?;
    let inputs = Inputs::new(dataset, &stores, Some(&run.journal.ledger));
    let level = options.level.unwrap_or(dataset.verify);
    let (budget, shutdown, sink) = (run.budget.clone(), run.shutdown.clone(), run.sink.clone());
    Verifier::new(dataset, inputs, level, budget, shutdown, sink).led_by(moved).run().await
}

async fn repair_one(
    run: &Run<'_>,
    dataset: &Dataset,
    options: &VerifyOptions,
) -> Result<(Verification, u64), EngineError> {
    run.check_meaning(dataset).await?;
    let state = run.state(&dataset.name).await?;
    if let Some(moved) = state.moved_to() {
        return Err(EngineError::LeadMoved {
            dataset: dataset.name.clone(),
            lead: moved.lead.clone(),
            epoch: moved.epoch,
            refused: "a repair would copy what the old lead holds over what applications write at the new one",
        });
    }
    if matches!(state, State::Aborted { .. }) {
        return Err(EngineError::GivenUp { dataset: dataset.name.clone() });
    }
    if matches!(state, State::Switching { .. }) {
        return Err(EngineError::NotCutOver {
            dataset: dataset.name.clone(),
            reason: "its switch was begun: `migrate run` finds out whether it happened".to_owned(),
        });
    }
    let stores = run.open(dataset).await?;
    run.claim(dataset, &stores).await?;
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
    let ledger = &run.journal.ledger;
    let level = options.level.unwrap_or(dataset.verify);
    let verifier = || {
        Verifier::new(
            dataset,
            Inputs::new(dataset, stores, Some(ledger)),
            level,
            run.budget.clone(),
            stores.shutdown(&run.shutdown),
            run.sink.clone(),
        )
    };
    let first = keeping(verifier(), run.journal.clone(), true, Verifier::run).await?;
    run.journal.commit(Vec::new()).await?;
    let copier: Arc<Copier> = Arc::new(run.copier(dataset, stores));
    let mut damaged = 0;
    for follower in &copier.targets {
        damaged += ledger.counts(&dataset.name, follower.index).await?.damaged;
    }
    if damaged == 0 || first.interrupted {
        record_outcome(run, dataset, level, &first).await?;
        return Ok((first, 0));
    }
    let leftovers =
        Leftovers { copier, shard: None, extra: dataset.extra, delete_permille: Some(dataset.delete_share_permille) };
    // The records that are copied again are compared as in a run, so that their pairs are completed.
    let mend = |verifier| async {
        let (mut again, mut mended) = (Again::new(verifier, &first), 0);
        for follower in &leftovers.copier.targets {
            let mut after = None;
            while let Some(page) = leftovers.mend(follower.index, after.as_ref()).await? {
                mended += page.copied;
                if page.interrupted {
                    return Ok((None, mended));
                }
                again.look(follower.index, &page.keys).await?;
                after = page.keys.last().cloned();
            }
        }
        Ok((Some(again.conclude().await?), mended))
    };
    let (both, mended) = keeping(verifier(), run.journal.clone(), false, mend).await?;
    let Some(both) = both else {
        return Ok((Verification { interrupted: true, verified: None, ..first }, mended));
    };
    record_outcome(run, dataset, level, &both).await?;
    Ok((both, mended))
}

/// Records the verification at the end of a repair, if the dataset's state allows it.
async fn record_outcome(
    run: &Run<'_>,
    dataset: &Dataset,
    level: Level,
    verification: &Verification,
) -> Result<(), EngineError> {
    if verification.interrupted {
        return Ok(());
    }
    let state = run.state(&dataset.name).await?;
    let event = ended(dataset, level, verification);
    // A level below the plan's proves less than the plan asks for.
    let proves_enough = level >= dataset.verify || verification.verified.is_none();
    if !proves_enough || state.apply(&event).is_err() {
        // Or a pass is under way, or none has ended: then only the next run's own verification counts.
        return Ok(());
    }
    run.commit(vec![Record::Happened { dataset: dataset.name.clone(), event, at: now() }]).await
}
