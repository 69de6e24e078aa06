//! [`TableAbilities`]: what a probe found of an endpoint that holds tables.

use serde::{Deserialize, Serialize};

/// What an endpoint does with tables, as far as a probe has seen it. An ability that was not seen is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own")]
pub struct TableAbilities {
    /// A strong read shows the last acknowledged write.
    pub strong_reads: bool,
    /// A put under a condition is refused if the condition does not hold, and taken if it does.
    pub conditions: bool,
    /// Two spellings of one number are one key (`1e3` and `1000`).
    pub numeric_keys: bool,
    /// Items with empty texts and binaries are held as they are.
    pub empty_values: bool,
    /// A table can have a stream of its changes.
    pub streams: bool,
    /// Items can expire.
    pub ttl: bool,
}
