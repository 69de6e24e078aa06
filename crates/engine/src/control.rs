//! The view of a running shard for other tasks: how far it is, and whether it gives work away.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use migrate_core::{
    model::{Key, KeyRange},
    shard::{self, Cursor},
};

/// The view of a running shard for other tasks, which may also cut it.
#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<ControlState>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct ControlState {
    range: KeyRange,
    position: Option<Key>,
    rows: u64,
    /// Whether it takes no more keys, so that it has none to give away.
    closed: bool,
}

impl Control {
    pub(crate) fn new(range: KeyRange) -> Self {
        let state = Mutex::new(ControlState { range, position: None, rows: 0, closed: false });
        Self { state, closed: CancellationToken::new() }
    }

    /// The same for a shard that goes on behind its cursor: it gives away nothing before it.
    pub(crate) fn from(range: KeyRange, cursor: &Cursor) -> Self {
        let control = Self::new(range);
        if let Cursor::At(key) = cursor {
            control.state().position = Some(key.clone());
        }
        control
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next key, unless it was given away.
    pub(crate) fn admit(&self, key: &Key) -> bool {
        let mut state = self.state();
        if !state.range.contains(key) {
            return false;
        }
        state.position = Some(key.clone());
        state.rows += 1;
        true
    }

    /// The range that is left, and the rows taken since the last cut or vain search.
    pub(crate) fn rest(&self) -> (KeyRange, u64) {
        let state = self.state();
        let after = state.position.clone().or_else(|| state.range.after.clone());
        (KeyRange { after, until: state.range.until.clone() }, state.rows)
    }

    /// Gives away all keys above `at`; `false` if the shard has already come that far.
    ///
    /// `record` must queue the split for the ledger before it returns. The shard sees its new end only afterwards, so
    /// it is never recorded as done up to an end that the ledger does not know.
    pub(crate) fn cut(&self, at: &Key, record: impl FnOnce()) -> bool {
        let mut state = self.state();
        let reached = state.position.as_ref().is_some_and(|position| position >= at);
        if state.closed || reached || !state.range.contains(at) || state.range.until.as_ref() == Some(at) {
            return false;
        }
        record();
        state.range.until = Some(at.clone());
        state.rows = 0;
        true
    }

    /// Takes no more keys; returns the range that is left after all cuts, from its beginning.
    pub(crate) fn close(&self) -> KeyRange {
        let mut state = self.state();
        state.closed = true;
        state.rows = 0;
        self.closed.cancel();
        state.range.clone()
    }

    /// Waits until it takes no more keys.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// How much of its range it has taken, from 0 to 1, judged by bytes.
    pub(crate) fn fraction(&self) -> f64 {
        let state = self.state();
        let cursor = state.position.clone().map_or(Cursor::Start, Cursor::At);
        shard::progress(&state.range, &cursor)
    }

    /// Counts rows from 0 again after a vain search, so that the next one waits for as many as a split needs.
    pub(crate) fn rest_for_now(&self) {
        self.state().rows = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_cut_only_above_what_it_took() {
        let control = Control::new(KeyRange { after: None, until: Some("z".into()) });
        assert!(control.admit(&"f".into()));
        assert!(!control.cut(&"f".into(), || panic!()), "it has come that far");
        assert!(!control.cut(&"z".into(), || panic!()), "nothing would be given away");
        assert!(control.cut(&"m".into(), || {}));
        assert!(control.admit(&"m".into()));
        assert!(!control.admit(&"n".into()), "it was given away");
        assert!(futures::FutureExt::now_or_never(control.closed()).is_none());
        control.close();
        assert!(futures::FutureExt::now_or_never(control.closed()).is_some(), "nothing more is searched for it");
        assert!(!control.cut(&"m".into(), || panic!()), "it has ended");
        assert_eq!(control.rest().0, KeyRange { after: Some("m".into()), until: Some("m".into()) });
    }

    #[test]
    fn a_shard_that_goes_on_gives_away_nothing_before_its_cursor() {
        let control = Control::from(KeyRange::all(), &Cursor::At("f".into()));
        assert!(!control.cut(&"c".into(), || panic!()) && !control.cut(&"f".into(), || panic!()));
        assert_eq!(control.rest(), (KeyRange { after: Some("f".into()), until: None }, 0));
        assert_eq!(control.close(), KeyRange::all(), "the whole was seen, in both processes together");
    }
}
