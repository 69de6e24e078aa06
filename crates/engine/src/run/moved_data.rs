//! [`MovedData`]: the data whose lead a cutover moves.

use std::sync::Arc;

use crate::{lease::Lease, shutdown::Shutdown, sites::opening::DatasetStores, tables::work::TableWork};

/// The data whose lead a cutover moves, with what reaches it; cheap to clone.
#[derive(Clone)]
pub(crate) enum MovedData {
    /// Objects.
    Objects(Arc<DatasetStores>),
    /// A table.
    Table(Arc<TableWork>),
}

impl MovedData {
    /// The lease that writes ask.
    pub(crate) fn lease(&self) -> Option<&Arc<Lease>> {
        match self {
            Self::Objects(stores) => stores.lease.as_ref(),
            Self::Table(table) => table.sides.stores.lease.as_ref(),
        }
    }

    /// What tells whether the work on the data is to stop: with the run, or because the lease was lost.
    pub(crate) fn shutdown(&self, run: &Shutdown) -> Shutdown {
        match self {
            Self::Objects(stores) => stores.shutdown(run),
            Self::Table(table) => table.sides.stores.shutdown(run),
        }
    }
}
