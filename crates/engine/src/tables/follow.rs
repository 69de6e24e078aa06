//! Follows a table until the run is to stop, after its pass and its proof.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    clock::now,
    error::EngineError,
    tables::{follower::Follower, settled::Settled, tail::CaughtUp, work::TableWork},
};
use migrate_core::report::EventKind;

/// How often people are told how far behind the followers are.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl TableWork {
    /// Brings over what changes, until the run is to stop. Does nothing for a table without a stream.
    ///
    /// # Errors
    ///
    /// If the stream cannot be read, or a follower is down.
    pub(crate) async fn follow(self: &Arc<Self>) -> Result<(), EngineError> {
        let mut told: Option<Instant> = None;
        loop {
            let tails = self.tails_of_leads();
            if tails.is_empty() {
                return Ok(());
            }
            match self.all_caught_up(&tails).await? {
                None => return Ok(()),
                Some(CaughtUp::Yes) if self.catch_up(now()).await? == Settled::Stopped => return Ok(()),
                Some(CaughtUp::Yes) => {}
                // The pass tells why, and compares all items.
                Some(CaughtUp::Broken(_)) => _ = self.pass().await?,
            }
            if let Some(error) = self.sides.followers.iter().find_map(Follower::take_error) {
                return Err(error);
            }
            if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                told = Some(Instant::now());
                self.tell_lag().await?;
            }
        }
    }

    /// Tells how many keys the followers owe, and since when.
    async fn tell_lag(&self) -> Result<(), EngineError> {
        let dataset = self.sides.dataset.name.clone();
        let mut owed = self.journal.ledger.owed(&dataset).await?;
        // A mark of a lead tells what was written elsewhere.
        owed.retain(|owed| self.sides.follower(owed.place).is_some());
        let since = owed.iter().map(|owed| owed.since).min();
        let lag_s = since.map_or(0, |since| u64::try_from(now().0 - since.0).unwrap_or(0) / 1000);
        self.sides.sink.tell(EventKind::Follows { dataset, owed: owed.iter().map(|owed| owed.keys).sum(), lag_s });
        Ok(())
    }
}
