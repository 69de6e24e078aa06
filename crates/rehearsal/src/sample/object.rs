//! One object to be made: its key, its properties, and its bytes on request.

use bytes::Bytes;

use super::{
    body::{self, Subject},
    kind::Kind,
    random::Random,
};
use migrate_core::model::Key;
use migrate_store::Properties;

/// An object to be made.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its key, below the prefix or directory of the dataset's source.
    pub key: Key,
    /// Headers, metadata and tags; empty if the source is a directory, which holds none.
    pub properties: Properties,
    /// Whether the dataset's globs select it.
    pub selected: bool,
    /// Whether it is the large one, which travels in parts.
    pub large: bool,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) random: Random,
}

impl Sample {
    /// Its bytes, made anew by each call.
    pub fn body(&self) -> Bytes {
        let about = Subject { kind: self.kind, key: self.key.as_str() };
        body::body(about, self.size, &mut self.random.clone())
    }
}
