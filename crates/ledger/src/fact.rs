//! [`Fact`]: what is true of one record at one place.

use super::rows::{Open, Pair, Unclaimed, UploadIntent, WrittenPart};
use migrate_core::model::{PlaceIndex, Timestamp, Token};

/// What is true of a record at a place; [`Record::At`](super::Record::At) says of which one, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The place shows what the lead shows. Replaces what the place held, if anything; a failure or deferral of the
    /// record is cleared.
    Paired {
        /// The lead, another place.
        lead: PlaceIndex,
        /// Both tokens.
        pair: Pair,
    },
    /// The same as [`Paired`](Self::Paired), learned by looking, not by writing: whatever the record waits for stays.
    Learned {
        /// The lead, another place.
        lead: PlaceIndex,
        /// Both tokens.
        pair: Pair,
    },
    /// The record is gone from the place, as it is from the lead; its failure or deferral is cleared too.
    Unpaired,
    /// The record waits for this action, after the pass. Replaces what it waited for before; a damaged record stays
    /// damaged.
    Waits(Open),
    /// The record could not be copied; a deferral of it is cleared.
    Failed {
        /// Why, for people; no secrets.
        reason: String,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// What the record waited for is over, without a new pair. A damaged one that is not deleted after all stays
    /// damaged.
    Settled,
    /// Another writer has written or deleted the record at this place, which led before: it is left alone until it is
    /// settled. If it was settled for just this version, it stays settled.
    Late {
        /// What the place shows; `None` if the record was deleted there.
        shown: Option<Token>,
    },
    /// A multipart upload is about to begin. Written right before the request leaves. One at a time: replaces an
    /// earlier one.
    UploadIntended(UploadIntent),
    /// The store named the upload. Written before the first part.
    UploadBegun {
        /// Upload id from the store.
        id: String,
    },
    /// A part is at the place.
    PartWritten(WrittenPart),
    /// The upload was finished or aborted: it and its parts are forgotten.
    UploadEnded,
    /// An upload whose begin got no answer may exist, and nothing proves that it is ours: it is kept until it is
    /// known to be gone. Replaces what was known of it.
    UploadUnclaimed(Unclaimed),
    /// A write of the record got no answer, and no look has shown its effect: it may still act.
    Unknown {
        /// When it was given up, in milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// The unclaimed upload is gone, or never existed.
    UploadGone {
        /// When it was asked for, in milliseconds since 1970 UTC.
        at: Timestamp,
    },
}
