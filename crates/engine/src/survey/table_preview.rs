//! What a survey has seen of a table dataset, as values.

use serde::Serialize;

/// What a run would do with a table dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TablePreview {
    /// Items of the lead's table, as its server estimates them; `None` if it does not. `DynamoDB` counts every six
    /// hours.
    pub items_estimated: Option<u64>,
    /// Bytes of these items, by the same estimate.
    pub bytes_estimated: Option<u64>,
    /// The parts in which the table is scanned for its first copy.
    pub segments: u32,
    /// Those of them that every target has.
    pub segments_done: u32,
    /// How a run learns what changes.
    pub stream: StreamPreview,
    /// Estimated read units that the rest of the first copy takes at the lead; `None` without an estimate of the items.
    pub read_units: Option<u64>,
    /// Attributes beside the key that decide which target an item belongs to. An application that knows only a key can
    /// tell the target if there are none.
    pub where_beyond_key: Vec<String>,
    /// What a run would do at each target.
    pub targets: Vec<TableTargetPreview>,
}

/// How a run learns what changes at the lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamPreview {
    /// The plan asks for no stream: each further run compares all items.
    NotAsked,
    /// The place has none: each further run compares all items.
    None,
    /// The first run would enable one.
    WouldBeEnabled,
    /// The first run would read the one that is there.
    Reused,
    /// It is read.
    Read,
    /// Changes were lost: the next run reads it anew and compares all items.
    Broken,
}

impl StreamPreview {
    /// What it is, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "none asked for (live = false): each further run compares all items",
            Self::None => "the lead has none: each further run compares all items",
            Self::WouldBeEnabled => "the lead has none yet: a run enables one, and each further run reads what changed",
            Self::Reused => "the lead's own is read and left as it is: each further run reads what changed",
            Self::Read => "it is read since the first run",
            Self::Broken => "changes were lost: the next run reads it anew and compares all items",
        }
    }
}

/// One target of a table dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableTargetPreview {
    /// The target's location.
    pub target: String,
    /// The table that a run would make, as one phrase; `None` if it is there, or was not looked at.
    pub creates: Option<String>,
    /// How the table that is there differs from the lead's.
    pub differs: Vec<StructureDifference>,
    /// Estimated write units that the rest of the first copy takes; `None` without an estimate of the items. Each global
    /// index takes its own on top.
    pub write_units: Option<u64>,
}

/// One difference of a target's table from the lead's, in all but the items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StructureDifference {
    /// What differs, as one phrase.
    pub what: String,
    /// Whether it blocks a run.
    pub blocks: bool,
    /// The name that accepts it in the plan's `waive`, if one does.
    pub waive: Option<&'static str>,
}
