//! Which shards of a pass have come to their ends, and the pause before one that has not is taken up again.

use std::time::Duration;

use crate::shutdown::Shutdown;
use migrate_core::{model::PlaceIndex, shard::Cursor};
use migrate_ledger::ShardRow;

/// How often a shard is taken up again, at most.
pub(super) const TAKES_MAX: u32 = 3;
/// Half the first pause before that; the store has tried the listing several times before.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits before a shard is taken up again, longer each time.
pub(super) async fn pause(again: u32, shutdown: &Shutdown) {
    if again == 0 {
        return;
    }
    tokio::select! {
        () = tokio::time::sleep(PAUSE * (1 << again.min(TAKES_MAX))) => {}
        () = shutdown.draining() => {}
    }
}

/// Whether every shard has ended at a place: only then does a pass end there.
pub(crate) fn all_ended(shards: &[ShardRow], at: PlaceIndex) -> bool {
    let ended = |shard: &ShardRow| shard.places.iter().any(|(place, cursor, _)| *place == at && *cursor == Cursor::End);
    !shards.is_empty() && shards.iter().all(ended)
}
