//! Which writes are under way, and which may still take effect although they have ended.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{
    error::{ErrorKind, StoreError},
    object::Result,
};
use migrate_core::model::Key;

/// Is told of each write that changes what the place shows: a whole object, the finish of an upload, tags, a delete.
///
/// What only concerns an unfinished upload (its begin, its parts, its abort) is none of these: however late such a
/// request comes, no record changes.
#[async_trait]
pub trait TrackWrites: Debug + Send + Sync {
    /// A write begins. Returns `false` if none may begin any more; then nothing is sent.
    fn begins(&self) -> bool;

    /// A request of a write under way got no answer, and no look has shown its effect: it may still act.
    async fn unknown(&self, key: &Key);

    /// A write has ended. If a request of it may still act, [`unknown`](Self::unknown) was told before.
    fn ended(&self);

    /// A write was dropped before its end, in place of [`ended`](Self::ended): a request of it may still act.
    fn dropped(&self);
}

/// One write under way.
pub(super) struct Tracked<'a> {
    tracker: Option<&'a dyn TrackWrites>,
}

impl<'a> Tracked<'a> {
    /// Begins a write; fails if none may begin any more.
    pub(super) fn begin(
        tracker: Option<&'a dyn TrackWrites>,
        operation: &'static str,
        location: &str,
        key: &Key,
    ) -> Result<Self> {
        if tracker.is_some_and(|tracker| !tracker.begins()) {
            let detail = "the run has ended, and no write begins any more";
            return Err(StoreError::new(ErrorKind::ClaimLost, operation, location, detail).on(key));
        }
        Ok(Self { tracker })
    }

    /// Ends the write, of which this many requests may still act.
    pub(super) async fn end(mut self, key: &Key, open: u32) {
        if let Some(tracker) = self.tracker {
            if open > 0 {
                tracker.unknown(key).await;
            }
            self.tracker = None;
            tracker.ended();
        }
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        if let Some(tracker) = self.tracker {
            tracker.dropped();
        }
    }
}
