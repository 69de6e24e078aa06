//! What a walk has seen to its end: a proof that covers every key is made of nothing else.

use crate::control::Control;
use migrate_core::{
    model::KeyRange,
    shard::{self, Cursor},
};
use migrate_ledger::VerifiedShard;

/// A range whose rows were all seen, at a number of followers. Its fields are private, so that only the end of a
/// walk, or the ledger's record of one, can make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    range: KeyRange,
    followers: usize,
}

impl Seen {
    /// The range of a shard whose rows have all been settled. Closes the shard, so that its end can no longer move.
    pub(crate) fn to_the_end(control: &Control, followers: usize) -> Self {
        Self { range: control.close(), followers }
    }

    /// A shard that an earlier process has seen; `None` if that did not come to its end.
    pub(crate) fn recorded(shard: &VerifiedShard, followers: usize) -> Option<Self> {
        (shard.cursor == Cursor::End).then(|| Self { range: shard.range.clone(), followers })
    }
}

/// Whether every key was seen, once, at the lead and at the followers that could be listed there.
pub(crate) fn covers_all(seen: &[Seen]) -> bool {
    shard::tile(seen.iter().map(|seen| &seen.range))
}

/// Whether every key was seen, once, at all of this many followers.
pub(crate) fn is_whole(seen: &[Seen], followers: usize) -> bool {
    seen.iter().all(|seen| seen.followers == followers) && covers_all(seen)
}
