//! Why the engine cannot go on.

use crate::route::RouteError;
use migrate_core::{
    diff::JoinError,
    lifecycle::IllegalEvent,
    model::{DatasetName, Epoch, Key, SiteName},
    report::Redactor,
};
use migrate_ledger::LedgerError;
use migrate_store::StoreError;

/// Why the engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A store, in a way that concerns more than one record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listing that cannot be trusted.
    #[error("a listing cannot be trusted: {0}")]
    Listing(#[from] JoinError),
    /// A listing ended without saying so: the task that read it is gone.
    #[error("a listing was cut off, which is a defect of migrate")]
    ListingLost,
    /// A pass came to its end although a shard had not.
    #[error("a shard of dataset {dataset} did not come to its end: run again to go on")]
    Unfinished {
        /// The dataset.
        dataset: DatasetName,
    },
    /// It was asked to drop what it was doing.
    #[error("it was cancelled")]
    Cancelled,
    /// A task panicked: a defect of this tool.
    #[error("a task panicked, which is a defect of migrate: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// A route.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A cutover did not come through.
    #[error("dataset {dataset} is not cut over: {reason}")]
    NotCutOver {
        /// The dataset.
        dataset: DatasetName,
        /// Why not.
        reason: String,
    },
    /// No answer came when a route was switched.
    #[error("whether the route {route} was switched is not known yet: the next run finds out first")]
    Unsettled {
        /// The route.
        route: String,
    },
    /// The lead has moved: what was the source no longer says what the targets are to hold.
    #[error("{lead} leads dataset {dataset} since epoch {epoch}: {refused}")]
    LeadMoved {
        /// The dataset.
        dataset: DatasetName,
        /// The site that leads.
        lead: SiteName,
        /// Since when.
        epoch: Epoch,
        /// What was refused.
        refused: &'static str,
    },
    /// It was given up, and what was asked for would bring it back.
    #[error("dataset {dataset} was given up, and a repair would copy it again; `migrate run` begins it anew")]
    GivenUp {
        /// The dataset.
        dataset: DatasetName,
    },
    /// The ledger holds events in an order that cannot be.
    #[error("the ledger's events make no sense: {0}")]
    Illegal(#[from] IllegalEvent),
    /// The scribe has stopped; its own error says why.
    #[error("the ledger is no longer written")]
    LedgerClosed,
    /// The meaning of a dataset that has begun was changed in the plan.
    #[error(
        "dataset {dataset} means something else than when it began: {difference}; \
         give it another name, or another --state directory, to begin anew"
    )]
    MeaningChanged {
        /// The dataset.
        dataset: DatasetName,
        /// What changed, for people.
        difference: String,
    },
    /// The plan asks for what this build cannot carry out.
    #[error("dataset {dataset} asks for {what} (line {line}, column {column}), which is not supported yet")]
    Unsupported {
        /// The dataset.
        dataset: DatasetName,
        /// The plan's key.
        what: String,
        /// Where it stands in the plan file.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Only the cutover needs it.
        cutover_only: bool,
    },
    /// More would be deleted than the plan allows.
    #[error(
        "{doomed} of {held} records would be deleted at {target}, more than delete_share allows ({}%): \
         look at the source of {dataset}; if that is what you want, run with --force",
        f64::from(*permille) / 10.0
    )]
    DeleteShare {
        /// The dataset.
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
    /// A directory is not the one that the migration has used so far: a disk that is not mounted, often.
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
        /// What is there now.
        found: String,
        /// What was there.
        known: String,
    },
    /// A site's configuration cannot be used.
    #[error("site {site}: {detail}")]
    Site {
        /// The site.
        site: String,
        /// What is wrong, and how to mend it.
        detail: String,
    },
}

impl EngineError {
    /// The plan or the data block the run; trying again changes nothing.
    pub fn is_blocking(&self) -> bool {
        match self {
            Self::MeaningChanged { .. }
            | Self::Unsupported { .. }
            | Self::DeleteShare { .. }
            | Self::NotCutOver { .. }
            | Self::LeadMoved { .. }
            | Self::GivenUp { .. } => true,
            Self::Route(error) => !matches!(error, RouteError::Store(_)),
            _ => false,
        }
    }

    /// Its text, with the keys that it names hidden where the plan asks for it.
    pub fn shown(&self, redactor: Redactor) -> String {
        self.hidden(&self.to_string(), redactor)
    }

    /// A text about it, with the keys that it names hidden where the plan asks for it.
    pub fn hidden(&self, text: &str, redactor: Redactor) -> String {
        let keys: Vec<&Key> = match self {
            Self::Store(error) | Self::Route(RouteError::Store(error)) => error.key().into_iter().collect(),
            Self::Listing(error) => error.keys(),
            _ => Vec::new(),
        };
        keys.into_iter().fold(text.to_owned(), |text, key| redactor.text(&text, key))
    }

    /// What the operator can do about it, where the text does not say so already.
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
