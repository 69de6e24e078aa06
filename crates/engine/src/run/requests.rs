//! Carries out the requests of other commands to the process that drives the migration.
//!
//! A command that finds the migration driven by another process leaves a request in the ledger and
//! waits for the answer. A run looks for requests while it works. It refuses those that are older than
//! the run: their commands have gone. A request that comes too late for this run stays open: its command
//! sees the process end, and carries the request out itself.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    asked::{AbortOptions, Aborted},
    clock::now,
    error::EngineError,
    lifecycle::lifecycle_of,
    meaning::meaning_of,
    run::{approval, context::Run, late::resolution},
    sites::limits::check_setting,
};
use migrate_core::{
    lifecycle::{Lead, Moving},
    model::{DatasetName, PhaseName},
    plan::Plan,
    report::{EventKind, count},
};
use migrate_ledger::{Answer, Approval, Ledger, LimitsOf, Record, Request, RequestRow, Setting};

/// Time between two looks for requests.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Milliseconds for which a command is taken to wait for its answer.
const FRESH_MS: i64 = 30_000;

fn done(detail: impl Into<String>) -> Answer {
    Answer { done: true, detail: detail.into() }
}

fn refused(detail: impl Into<String>) -> Answer {
    Answer { done: false, detail: detail.into() }
}

impl Run<'_> {
    /// Serves requests until the work has ended.
    pub(crate) async fn serve_requests(&self, ended: &CancellationToken) -> Result<(), EngineError> {
        let began = now();
        for row in self.journal.ledger.open_requests().await? {
            // A recent request was left for this process while it started.
            if began.0 - row.at.0 > FRESH_MS {
                self.answer(&row.id, refused("it was left before this run began: ask again"), Vec::new()).await?;
            }
        }
        while ended.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            for row in self.journal.ledger.open_requests().await? {
                self.carry_out(row).await?;
            }
        }
        Ok(())
    }

    async fn carry_out(&self, row: RequestRow) -> Result<(), EngineError> {
        if self.abort.is(&row.id) || !self.take(&row.id).await? {
            return Ok(());
        }
        match row.request {
            Request::Approve { phase, binds } => {
                let (answer, records) = self.approve(&phase, binds, row.by);
                if answer.done {
                    self.withdrawn.lock().await.remove(&phase);
                }
                self.answer(&row.id, answer, records).await
            }
            Request::Withdraw { phase } => {
                let mut withdrawn = self.withdrawn.lock().await;
                let (mut answer, records) = withdrawal(self.plan, &self.journal.ledger, &phase).await?;
                let done = answer.done;
                if done && records.is_empty() {
                    answer.detail.push_str("; the running process does not approve it any more");
                }
                self.answer(&row.id, answer, records).await?;
                if !done {
                    return Ok(());
                }
                withdrawn.insert(phase.clone());
                if self.moving.is(&phase) {
                    // Its cutover is under way, and no lead may move without an approval.
                    let message = format!("{} withdrew the approval of phase {phase}: this run stops", row.by);
                    self.sink.tell(EventKind::Warning { dataset: None, key: None, message });
                    self.shutdown.drain();
                }
                Ok(())
            }
            Request::Limits { of, settings } => {
                let settings: Vec<_> = settings.into_iter().collect();
                let (answer, records) = limits_set(self.plan, &of, &settings);
                if answer.done {
                    let changes = settings.into_iter().map(|(key, setting)| (of.clone(), key, setting));
                    self.sites.limits.set(self.plan, changes)?;
                }
                self.answer(&row.id, answer, records).await
            }
            Request::Resolve { late, reason } => {
                let ledger = &self.journal.ledger;
                let (settled, records) = resolution(ledger, late, &row.by, reason.as_deref(), now()).await?;
                let settled = count(settled, "late record", "late records");
                self.answer(&row.id, done(format!("{settled} resolved")), records).await
            }
            Request::Abort { datasets, discard } => {
                if let Some(other) = datasets.iter().find_map(|(name, meaning)| self.means_otherwise(name, meaning)) {
                    return self.answer(&row.id, refused(other), Vec::new()).await;
                }
                let datasets = datasets.into_keys().collect();
                if !self.abort.ask(&row.id, AbortOptions { datasets, discard }) {
                    return self.answer(&row.id, refused("another abort is under way"), Vec::new()).await;
                }
                self.shutdown.drain();
                Ok(())
            }
        }
    }

    /// Takes a request, which then can no longer be taken back; `false` if it was taken back before.
    async fn take(&self, id: &str) -> Result<bool, EngineError> {
        self.commit(vec![Record::RequestTaken { id: id.to_owned() }]).await?;
        Ok(self.journal.ledger.request_taken(id).await?)
    }

    /// Why a dataset of another plan is not that of this run; `None` if it is.
    fn means_otherwise(&self, name: &DatasetName, meaning: &Value) -> Option<String> {
        let ours = self.plan.datasets().find(|dataset| dataset.name == *name);
        if ours.is_some_and(|dataset| meaning_of(self.plan, dataset) == *meaning) {
            return None;
        }
        Some(format!("the running process carries out another plan of dataset {name}: stop it, and abort again"))
    }

    fn approve(&self, phase: &PhaseName, binds: String, by: String) -> (Answer, Vec<Record>) {
        let Some(found) = self.plan.phases.iter().find(|one| one.name == *phase) else {
            return (refused(format!("the plan of the running process has no phase {phase}")), Vec::new());
        };
        if binds != approval::binds(self.plan, found) {
            let detail =
                format!("the running process carries out another plan of phase {phase}: stop it, and run again");
            return (refused(detail), Vec::new());
        }
        let approval = Approval { phase: phase.clone(), binds, by, at: now() };
        // Whether the process still comes to the cutover of the phase is not known here.
        let detail = format!(
            "phase {phase} is approved: the running process cuts it over if it still comes to that, else the next run"
        );
        (done(detail), vec![Record::Approved(approval)])
    }

    /// Answers the command that asked for an abort with the outcome.
    pub(crate) async fn answer_abort(&self, id: &str, ends: &[Aborted]) -> Result<(), EngineError> {
        let told: Vec<_> = ends.iter().map(ToString::to_string).collect();
        let answer = Answer { done: ends.iter().all(|end| end.done), detail: told.join("\n") };
        self.answer(id, answer, Vec::new()).await
    }

    /// Records the effects of a request and its answer together.
    pub(crate) async fn answer(&self, id: &str, answer: Answer, mut records: Vec<Record>) -> Result<(), EngineError> {
        records.push(Record::Answered { id: id.to_owned(), answer, at: now() });
        self.commit(records).await
    }
}

/// The withdrawal of a phase's approval: the answer, and the records to write.
pub async fn withdrawal(plan: &Plan, ledger: &Ledger, phase: &PhaseName) -> Result<(Answer, Vec<Record>), EngineError> {
    let datasets = plan.phases.iter().filter(|one| one.name == *phase).flat_map(|one| &one.datasets);
    for dataset in datasets {
        let lifecycle = lifecycle_of(ledger, &dataset.name).await?;
        if let Some(Lead { lead, epoch }) = lifecycle.moved_to() {
            let moved = format!("it is too late: {lead} leads dataset {} since epoch {epoch}", dataset.name);
            return Ok((refused(moved), Vec::new()));
        }
        if matches!(lifecycle.moving, Moving::Switching { .. }) {
            let begun = format!("it is too late: the switch of dataset {} was begun; run to find out", dataset.name);
            return Ok((refused(begun), Vec::new()));
        }
    }
    let given = ledger.approvals().await?.into_iter().find(|given| given.phase == *phase);
    Ok(match given {
        None => (done(format!("phase {phase} is not approved: there is nothing to withdraw")), Vec::new()),
        Some(Approval { by, at, .. }) => (
            done(format!("the approval of phase {phase} that {by} gave at {at} is withdrawn")),
            vec![Record::ApprovalWithdrawn { phase: phase.clone() }],
        ),
    })
}

/// The setting of limits: the answer, and the records to write.
pub fn limits_set(plan: &Plan, of: &LimitsOf, settings: &[(String, Setting)]) -> (Answer, Vec<Record>) {
    let known = match of {
        LimitsOf::Site(site) => plan.sites.contains_key(site),
        LimitsOf::Dataset(dataset) => has_dataset(plan, dataset),
    };
    if !known {
        return (refused(format!("the plan has no {of}")), Vec::new());
    }
    if let Some(wrong) = settings.iter().find_map(|(key, setting)| check_setting(of, key, setting).err()) {
        return (refused(wrong), Vec::new());
    }
    let told: Vec<_> = settings.iter().map(|(key, setting)| format!("{key} = {setting}")).collect();
    let records = settings.iter().map(|(key, setting)| Record::LimitSet {
        of: of.clone(),
        key: key.clone(),
        setting: setting.clone(),
    });
    (done(format!("{of}: {}", told.join(", "))), records.collect())
}

fn has_dataset(plan: &Plan, name: &DatasetName) -> bool {
    plan.datasets().any(|dataset| dataset.name == *name)
}
