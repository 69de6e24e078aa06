//! [`RouteName`]: which route it is, for people, and the document that it must hold.

use super::{document::RouteDocument, error::RouteError};
use migrate_core::model::DatasetName;

/// Which route it is.
#[derive(Debug, Clone)]
pub(super) struct RouteName {
    /// Its location in the plan.
    pub(super) location: String,
    /// The dataset whose lead it shows.
    pub(super) dataset: DatasetName,
}

impl RouteName {
    /// Reads the JSON of a document, which must be that of this route.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<RouteDocument, RouteError> {
        self.checked(serde_json::from_slice(bytes))
    }

    /// The document that was read, which must be that of this route.
    pub(super) fn checked(&self, read: serde_json::Result<RouteDocument>) -> Result<RouteDocument, RouteError> {
        let document = read.map_err(|error| self.foreign(format!("it does not read as one ({error})")))?;
        if document.dataset != self.dataset {
            return Err(self.foreign(format!("it is that of dataset {}", document.dataset)));
        }
        Ok(document)
    }

    /// What is there is no route of the dataset.
    pub(super) fn foreign(&self, detail: String) -> RouteError {
        RouteError::Foreign { location: self.location.clone(), dataset: self.dataset.clone(), detail }
    }
}
