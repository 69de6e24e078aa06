//! Errors of the engine.

use crate::{driver::Driver, route::RouteError};
use migrate_core::{
    diff::JoinError,
    lifecycle::IllegalTransition,
    model::{DatasetName, Epoch, Key, SiteName},
    report::{Grouped, Redactor, records},
};
use migrate_ledger::LedgerError;
use migrate_store::{ErrorKind, StoreError};

/// Whether an error concerns the whole endpoint, so that every other record would fail alike.
pub(crate) fn is_fatal(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Credentials
            | ErrorKind::WrongRegion
            | ErrorKind::ClockSkew
            | ErrorKind::NoContainer
            | ErrorKind::Full
            | ErrorKind::Unsynced
            | ErrorKind::Forbidden
            | ErrorKind::ClaimLost
    )
}

/// An error that keeps the engine from going on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A store failed in a way that concerns more than one record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An input of a merge-join breaks its order, its range or its targets.
    #[error("a listing cannot be trusted: {0}")]
    Listing(#[from] JoinError),
    /// A listing ended without saying so: the task that read it is gone.
    #[error("a listing was cut off, which is a defect of migrate")]
    ListingLost,
    /// All tasks of a pass ended, but one of its shards did not reach its end.
    #[error("a shard of dataset {dataset} did not come to its end: run again to go on")]
    Unfinished {
        /// The dataset's name.
        dataset: DatasetName,
    },
    /// The engine was asked to drop its requests.
    #[error("it was cancelled")]
    Cancelled,
    /// A task panicked: a defect of this program.
    #[error("a task panicked, which is a defect of migrate: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// A route cannot be used.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A cutover was refused.
    #[error("dataset {dataset} is not cut over: {reason}")]
    NotCutOver {
        /// The dataset's name.
        dataset: DatasetName,
        /// The reason, as text.
        reason: String,
    },
    /// The store gave no answer when a route was switched.
    #[error("whether the route {route} was switched is not known yet: the next run finds out first")]
    Unsettled {
        /// The route's location.
        route: String,
    },
    /// The lead has moved: the former source no longer decides what the targets are to hold.
    #[error("{lead} leads dataset {dataset} since epoch {epoch}: {refused}")]
    LeadMoved {
        /// The dataset's name.
        dataset: DatasetName,
        /// The site that leads now.
        lead: SiteName,
        /// The epoch since which it leads.
        epoch: Epoch,
        /// What is refused, and why.
        refused: &'static str,
    },
    /// Another ledger drives the dataset.
    #[error(
        "{driver} drives dataset {dataset} since {}, and two of them would write over each other; if that one has \
         stopped for good, `migrate run PLAN --take-over {dataset}` takes the dataset over",
        driver.since
    )]
    Driven {
        /// The dataset's name.
        dataset: DatasetName,
        /// The driver that the route names.
        driver: Box<Driver>,
    },
    /// The route no longer shows this ledger's claim, or cannot be read any more.
    #[error(
        "whether this migration still drives dataset {dataset} is unknown: its route {route}: {detail}; nothing more \
         was written"
    )]
    ClaimLost {
        /// The dataset's name.
        dataset: DatasetName,
        /// The route's location.
        route: String,
        /// What is wrong with the route, as text.
        detail: String,
    },
    /// The dataset was given up, and a repair would copy it again.
    #[error("dataset {dataset} was given up, and a repair would copy it again; `migrate run` begins it anew")]
    GivenUp {
        /// The dataset's name.
        dataset: DatasetName,
    },
    /// The ledger holds a dataset's events in an impossible order.
    #[error("the ledger's events make no sense: {0}")]
    Illegal(#[from] IllegalTransition),
    /// The scribe no longer writes; its own error says why.
    #[error("the ledger is no longer written")]
    LedgerClosed,
    /// The plan changed the meaning of a dataset that has begun.
    #[error(
        "dataset {dataset} means something else than when it began: {difference}; \
         give it another name, or another --state directory, to begin anew"
    )]
    MeaningChanged {
        /// The dataset's name.
        dataset: DatasetName,
        /// What changed, as text.
        difference: String,
    },
    /// The plan asks for a feature that this build does not have.
    #[error("dataset {dataset} asks for {what} (line {line}, column {column}), which is not supported yet")]
    Unsupported {
        /// The dataset's name.
        dataset: DatasetName,
        /// The key in the plan.
        what: String,
        /// Line of the key in the plan file, from 1.
        line: usize,
        /// Column of the key, from 1.
        column: usize,
        /// Whether only the cutover needs it.
        cutover_only: bool,
    },
    /// More would be deleted than the plan allows.
    #[error(
        "{} of {} would be deleted at {target}, more than delete_share allows ({}%): \
         look at the source of {dataset}; if that is what you want, run with --force",
        Grouped(*doomed), records(*held), f64::from(*permille) / 10.0
    )]
    DeleteShare {
        /// The dataset's name.
        dataset: DatasetName,
        /// The target's location.
        target: String,
        /// Records that would be deleted.
        doomed: u64,
        /// Records that the target holds.
        held: u64,
        /// The most that may be deleted, in thousandths.
        permille: u16,
    },
    /// A directory is not the one that the migration has used so far, often because a disk is not mounted.
    #[error(
        "the directory {path} of {location} is not the one that this migration has used so far: {found}; it was {known}: \
         mount the disk, or put the directory back; if it was moved or made anew on purpose, \
         `migrate run PLAN --accept-places` takes what is there from now on"
    )]
    PlaceChanged {
        /// The location in the plan.
        location: String,
        /// The resolved path.
        path: String,
        /// The directory that is there now, or that there is none.
        found: String,
        /// The directory that was used so far.
        known: String,
    },
    /// A table cannot be copied as the plan says.
    #[error("dataset {dataset}: {reason}")]
    TableUnfit {
        /// The dataset's name.
        dataset: DatasetName,
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// A site's configuration cannot be used.
    #[error("site {site}: {detail}")]
    Site {
        /// The site's name.
        site: String,
        /// What is wrong, and how to mend it.
        detail: String,
    },
}

impl EngineError {
    /// Whether the plan or the data block the run, so that another try fails alike.
    pub fn is_blocking(&self) -> bool {
        match self {
            Self::MeaningChanged { .. }
            | Self::Unsupported { .. }
            | Self::DeleteShare { .. }
            | Self::NotCutOver { .. }
            | Self::LeadMoved { .. }
            | Self::Driven { .. }
            | Self::TableUnfit { .. }
            | Self::GivenUp { .. } => true,
            Self::Route(error) => !matches!(error, RouteError::Store(_)),
            _ => false,
        }
    }

    /// The error in one word, as JSON names it; a word never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Store(error) | Self::Route(RouteError::Store(error)) => error.kind().code(),
            Self::Listing(_) => "listing_wrong",
            Self::ListingLost | Self::Panicked(_) | Self::Illegal(_) => "defect",
            Self::Unfinished { .. } => "unfinished",
            Self::Cancelled => "cancelled",
            Self::Route(_) => "route_unusable",
            Self::NotCutOver { .. } => "not_cut_over",
            Self::Unsettled { .. } => "switch_unsettled",
            Self::LeadMoved { .. } => "lead_moved",
            Self::Driven { .. } => "driven_elsewhere",
            Self::ClaimLost { .. } => "claim_lost",
            Self::GivenUp { .. } => "given_up",
            Self::LedgerClosed => "ledger_failed",
            Self::MeaningChanged { .. } => "meaning_changed",
            Self::Unsupported { .. } => "unsupported",
            Self::DeleteShare { .. } => "delete_share",
            Self::PlaceChanged { .. } => "place_changed",
            Self::TableUnfit { .. } => "table_unfit",
            Self::Site { .. } => "site_unusable",
        }
    }

    /// The error's text; its keys are hidden if the plan asks for it.
    pub fn shown(&self, redactor: Redactor) -> String {
        self.hidden(&self.to_string(), redactor)
    }

    /// The error's text as a reason that a dataset waits for: what says so names the dataset, so this does not.
    pub(crate) fn reason(&self, redactor: Redactor) -> String {
        match self {
            Self::NotCutOver { reason, .. } | Self::TableUnfit { reason, .. } => reason.clone(),
            Self::MeaningChanged { difference, .. } => {
                format!("it means something else than when it began: {difference}")
            }
            Self::Unsupported { what, line, column, .. } => {
                format!("{what} (line {line}, column {column}) is not supported yet")
            }
            _ => self.shown(redactor),
        }
    }

    /// A text about the error; the error's keys are hidden in it if the plan asks for it.
    pub fn hidden(&self, text: &str, redactor: Redactor) -> String {
        let keys: Vec<&Key> = match self {
            Self::Store(error) | Self::Route(RouteError::Store(error)) => error.key().into_iter().collect(),
            Self::Listing(error) => error.keys(),
            _ => Vec::new(),
        };
        keys.into_iter().fold(text.to_owned(), |text, key| redactor.text(&text, key))
    }

    /// What the operator can do about the error, if its text does not say so.
    pub fn mend(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) | Self::Route(RouteError::Store(error)) => error.kind().mend(),
            Self::Unsupported { cutover_only: true, .. } => {
                Some("copy and prove it now with `--until verified`; the cutover comes with a later version")
            }
            _ => None,
        }
    }
}
