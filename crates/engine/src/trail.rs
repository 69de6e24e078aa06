//! Logs what a run tells: what a ledger does not keep of its decisions, and when they were told.

use migrate_core::report::EventKind;
use tracing::debug;

/// Logs an event. Progress is none, and what the ledger keeps is logged there.
pub(crate) fn log(event: &EventKind) {
    match event {
        EventKind::RunBegan { plan, resumed } => debug!(plan = plan.as_str(), resumed, "a run begins"),
        EventKind::Probed { location, .. } => debug!(place = &**location, "an endpoint was probed"),
        EventKind::PhaseBegan { phase } => debug!(phase = phase.as_str(), "a phase begins"),
        EventKind::DatasetState { dataset, state, .. } => {
            debug!(dataset = dataset.as_str(), state = state.name(), "a dataset has a new state");
        }
        EventKind::TargetDown { dataset, target, .. } => {
            debug!(dataset = dataset.as_str(), place = &**target, "a target takes no further part");
        }
        EventKind::Made { dataset, target } => {
            debug!(dataset = dataset.as_str(), place = &**target, "a table was made");
        }
        EventKind::VerificationBegan { dataset, compared, .. } => {
            debug!(dataset = dataset.as_str(), compared, "a verification begins");
        }
        EventKind::NeedsApproval { phase, .. } => debug!(phase = phase.as_str(), "a phase waits for its approval"),
        EventKind::Approved { phase, .. } => debug!(phase = phase.as_str(), "a phase may be cut over"),
        EventKind::CutoverStep { dataset, step, .. } => {
            debug!(dataset = dataset.as_str(), step, "a step of a cutover begins");
        }
        EventKind::BroughtOver { dataset, records } => {
            debug!(dataset = dataset.as_str(), records, "what was written meanwhile was brought over");
        }
        EventKind::Waiting { dataset, seconds, .. } => {
            debug!(dataset = dataset.as_str(), seconds, "a cutover waits");
        }
        EventKind::LateWrites { dataset, records, .. } => {
            debug!(dataset = dataset.as_str(), records, "records were written late at the old lead");
        }
        _ => {}
    }
}
