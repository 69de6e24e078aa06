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

    /// Waits until a store that takes nothing is no longer to be waited for.
    async fn stops(&self) {
        std::future::pending::<()>().await;
    }
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
    pub(super) async fn end(self, key: &Key, open: u32) {
        self.end_all(std::iter::once(key).filter(|_| open > 0)).await;
    }

    /// Ends a write of several records. What was asked of these may still act.
    pub(super) async fn end_all(mut self, unknown: impl Iterator<Item = &Key> + Send) {
        if let Some(tracker) = self.tracker {
            for key in unknown {
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

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::{
        object::{ObjectStore as _, Properties},
        retry::tests::{Act, Stage},
    };
    use migrate_core::{capability::Condition, digest::Body};

    /// What a tracker was told, in order.
    #[derive(Debug, Default)]
    struct Told {
        words: Mutex<Vec<String>>,
        closed: bool,
    }

    impl Told {
        fn say(&self, word: &str) {
            self.words.lock().unwrap().push(word.to_owned());
        }

        fn take(&self) -> String {
            std::mem::take(&mut *self.words.lock().unwrap()).join(" ")
        }
    }

    #[async_trait]
    impl TrackWrites for Told {
        fn begins(&self) -> bool {
            self.say("begins");
            !self.closed
        }
        async fn unknown(&self, key: &Key) {
            self.say(&format!("unknown:{key}"));
        }
        fn ended(&self) {
            self.say("ended");
        }
        fn dropped(&self) {
            self.say("dropped");
        }
    }

    impl Stage {
        async fn tracked(closed: bool) -> (Self, Arc<Told>) {
            let told = Arc::new(Told { closed, ..Told::default() });
            let mut stage = Self::new().await;
            stage.store = stage.store.tracked_by(Arc::clone(&told) as _);
            (stage, told)
        }
    }

    const KNOWN: &str = "begins ended";
    const OPEN: &str = "begins unknown:k ended";

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_stays_unknown_though_a_later_attempt_succeeds() {
        let (stage, told) = Stage::tracked(false).await;
        // The whole object.
        for (script, expected) in [
            (&[Act::Pass][..], KNOWN),
            (&[Act::Fail(ErrorKind::Unavailable)], KNOWN),
            // A look shows its effect.
            (&[Act::Lose], KNOWN),
            // Which of the two acted cannot be told.
            (&[Act::FailUnknown, Act::Lose], OPEN),
            (&[Act::FailUnknown], OPEN),
            (&[Act::FailUnknown; 8], OPEN),
            (&[Act::FailUnknown, Act::Fail(ErrorKind::Denied)], OPEN),
        ] {
            stage.memory.remove("k");
            stage.script(script);
            let _ = stage.put("mine", Condition::Absent).await;
            assert_eq!(told.take(), expected, "{script:?}");
        }
        // Tags.
        let token = stage.memory.put_raw("k", "v", Properties::default());
        for (script, expected) in [(&[Act::Pass][..], KNOWN), (&[Act::Lose], OPEN), (&[Act::FailUnknown; 8], OPEN)] {
            stage.script(script);
            let _ = stage.store.set_tags(&"k".into(), &BTreeMap::new(), &token).await;
            assert_eq!(told.take(), expected, "tags: {script:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deletes_and_finished_uploads_are_tracked_and_what_changes_no_record_is_not() {
        let (stage, told) = Stage::tracked(false).await;
        // A delete: a store answers a second one of the same object alike, unless it says that there is none.
        for (script, expected) in [
            (&[Act::Pass][..], KNOWN),
            (&[Act::Lose], OPEN),
            (&[Act::Lose, Act::Fail(ErrorKind::NotFound)], KNOWN),
            (&[Act::Lose, Act::Fail(ErrorKind::Precondition)], KNOWN),
            (&[Act::FailUnknown], OPEN),
        ] {
            let token = stage.memory.put_raw("k", "v", Properties::default());
            stage.script(script);
            stage.store.delete(&"k".into(), &Condition::Matches(token)).await.unwrap();
            assert_eq!(told.take(), expected, "delete: {script:?}");
        }
        // The finish of an upload; its begin, parts and abort change no record.
        for (script, expected) in [
            (&[Act::Pass][..], KNOWN),
            (&[Act::Lose], KNOWN),
            (&[Act::Garble], OPEN),
            (&[Act::FailUnknown], OPEN),
            (&[Act::FailUnknown; 8], OPEN),
        ] {
            stage.memory.remove("k");
            let (upload, parts, evidence) = stage.upload().await;
            stage.script(script);
            let none = Properties::default();
            let _ = stage.store.finish_upload(&upload, &parts, &evidence, &none, &Condition::None).await;
            assert_eq!(told.take(), expected, "finish: {script:?}");
            stage.script(&[]);
        }
        stage.script(&[Act::Pass, Act::FailUnknown, Act::Pass, Act::FailUnknown]);
        let upload = stage.store.begin_upload(&"k".into(), &Properties::default(), &()).await.unwrap();
        stage.store.put_part(&upload, 1, 0, &Body::new("p".into())).await.unwrap();
        stage.store.abort_upload(&upload).await.unwrap();
        assert_eq!(told.take(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_dropped_is_told_and_none_begins_after_the_end() {
        let (stage, told) = Stage::tracked(false).await;
        stage.script(&[Act::FailUnknown; 8]);
        let put = stage.put("mine", Condition::Absent);
        assert!(futures_now_or_never(put).is_none(), "it pauses between two attempts");
        assert_eq!(told.take(), "begins dropped");

        let (stage, told) = Stage::tracked(true).await;
        let refused = stage.put("mine", Condition::Absent).await.unwrap_err();
        assert_eq!((refused.kind(), refused.outcome_unknown()), (ErrorKind::ClaimLost, false));
        assert_eq!((told.take().as_str(), stage.memory.bytes("k")), ("begins", None), "nothing is sent");
    }

    /// Polls a future once, and drops it.
    fn futures_now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }
}
