//! The copy of a table, as it is written and returned: how far each segment is, which stream is read and how far, and
//! which keys have changed since.

use migrate_core::model::{DatasetName, Key, PlaceIndex, Sha256, Timestamp};

/// One durable fact of the copy of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRecord {
    /// The dataset's name in the plan.
    pub dataset: DatasetName,
    /// What happened.
    pub step: TableStep,
}

/// What happened to the copy of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableStep {
    /// The copy begins anew: this many segments, none of which is done at any of these places. What was known of
    /// segments and changed keys is forgotten; streams that are read stay.
    BulkPlanned {
        /// How many segments the table is scanned in.
        segments: u32,
        /// The places to fill.
        places: Vec<PlaceIndex>,
    },
    /// These places are to be filled, too, in the same segments.
    BulkJoined {
        /// The places.
        places: Vec<PlaceIndex>,
    },
    /// The table of a place is gone, and with it all that was brought there.
    BulkForgotten {
        /// The place.
        place: PlaceIndex,
    },
    /// All items of a segment up to this one are at a place.
    SegmentMoved {
        /// The place.
        place: PlaceIndex,
        /// Which segment, from 0.
        segment: u32,
        /// The key of the last item; `None` at the segment's end.
        after: Option<Key>,
        /// Items written since the last position.
        items: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A stream of changes is read from its oldest record on. What was read of the streams of that place before is
    /// forgotten.
    CaptureBegan {
        /// The place whose changes it shows.
        place: PlaceIndex,
        /// The name of the stream.
        stream: String,
        /// Whether this migration has enabled it, so that it may disable it.
        ours: bool,
        /// Whether the place leads. Then all places that were being filled by then are to be compared: nothing tells what
        /// had changed before.
        leads: bool,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// Changes were lost: what has changed is only known after all items were compared.
    CaptureBroke {
        /// The place whose changes it shows.
        place: PlaceIndex,
        /// Why, for people.
        reason: String,
    },
    /// All items of a place were compared, and what differs is marked as changed.
    Compared {
        /// The place.
        place: PlaceIndex,
    },
    /// The stream of a place was read by a process that listed its shards at this time.
    CaptureGoesOn {
        /// The place whose changes it shows.
        place: PlaceIndex,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// A shard of a stream was read up to here.
    StreamRead {
        /// The place whose changes it shows.
        place: PlaceIndex,
        /// The shard's id.
        shard: String,
        /// The sequence number of the last record; `None` if there was none yet.
        sequence: Option<String>,
        /// Whether the shard has ended.
        ended: bool,
        /// The keys that have changed. Every one of these places owes each.
        keys: Vec<Key>,
        /// The places to bring the changes to.
        owed: Vec<PlaceIndex>,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// These keys must be looked at again at these places.
    Dirtied {
        /// The keys.
        keys: Vec<Key>,
        /// The places that owe them.
        owed: Vec<PlaceIndex>,
        /// Milliseconds since 1970 UTC.
        at: Timestamp,
    },
    /// The lead moves from a place that is wholly copied to another one. The old lead counts as filled, as the new one did.
    LeadMoved {
        /// The old lead.
        from: PlaceIndex,
        /// The new lead; several if each of them leads its own part.
        to: Vec<PlaceIndex>,
    },
    /// All items of a place are to be compared, because changes were lost.
    ToCompare {
        /// The place.
        place: PlaceIndex,
    },
    /// What a place owed so far needs no further look: all its items are about to be compared.
    MarksCleared {
        /// The place.
        place: PlaceIndex,
    },
    /// The old lead is about to be given what the new lead holds of these keys.
    WritesBack {
        /// The keys.
        keys: Vec<(Key, WrittenBack)>,
    },
    /// A place holds what the lead held of these keys. A key that was marked again meanwhile stays marked, as owed since
    /// then. If it is the old lead, what that held of them before is forgotten.
    Handled {
        /// The place.
        place: PlaceIndex,
        /// When the marks were read, or before: newer marks are younger. Milliseconds since 1970 UTC.
        at: Timestamp,
        /// The keys, each with the mark that was read.
        keys: Vec<(Key, u64)>,
    },
}

/// How far a segment is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// The place.
    pub place: PlaceIndex,
    /// Which segment, from 0.
    pub segment: u32,
    /// The key of the last item that is there; `None` if there is none yet, and at the end.
    pub after: Option<Key>,
    /// Whether all of the segment is there.
    pub done: bool,
    /// Items written.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A stream that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureRow {
    /// The place whose changes it shows.
    pub place: PlaceIndex,
    /// The name of the stream.
    pub stream: String,
    /// Whether this migration has enabled it.
    pub ours: bool,
    /// When a process last read it, in milliseconds since 1970 UTC.
    pub at: Timestamp,
    /// Why changes were lost, if they were.
    pub broken: Option<String>,
}

/// How far a shard of a stream was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamShardRow {
    /// The shard's id.
    pub shard: String,
    /// The sequence number of the last record that was read.
    pub sequence: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
}

/// What the old lead was last given of a key, by the digest of the item; `None` where there is no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBack {
    /// What it was to hold after that.
    pub after: Option<Sha256>,
    /// What it held before, as it does still if the write did not come to it.
    pub before: Option<Sha256>,
}

/// A key that must be looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyRow {
    /// The key.
    pub key: Key,
    /// The places that owe it, each with its mark: a change counts it up.
    pub owed: Vec<(PlaceIndex, u64)>,
}

/// How many keys a place owes, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// The place.
    pub place: PlaceIndex,
    /// The number of keys.
    pub keys: u64,
    /// Since when it owes the oldest.
    pub since: Timestamp,
}
