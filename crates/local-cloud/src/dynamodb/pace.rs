//! [`Pace`]: a server that takes so many writes a second.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use tokio::time::Instant;

use super::operation::DynamoOperation;

/// Lets so many items a second be written: each waits for its turn, and none is refused.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that one item takes.
    each: Duration,
    /// When the next item may be written.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(writes_a_second: NonZeroU32) -> Self {
        Self { each: Duration::from_secs(1) / writes_a_second.get(), next: Mutex::default() }
    }

    /// Waits for the turn of what a request writes.
    pub(super) async fn take(&self, operation: DynamoOperation, request: &Json) {
        let items = written(operation, request);
        if items == 0 {
            return;
        }
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.unwrap_or_else(Instant::now).max(Instant::now()) + self.each * items;
            *next = Some(turn);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// How many items a request writes.
fn written(operation: DynamoOperation, request: &Json) -> u32 {
    match operation {
        DynamoOperation::PutItem | DynamoOperation::DeleteItem => 1,
        DynamoOperation::BatchWriteItem => {
            let tables = request.get("RequestItems").and_then(Json::as_object);
            let writes = tables.into_iter().flat_map(|tables| tables.values()).filter_map(Json::as_array);
            u32::try_from(writes.map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn items_come_at_the_pace_however_many_ask_at_once() {
        let (pace, began) = (Pace::new(NonZeroU32::new(100).unwrap()), Instant::now());
        let batch = json!({ "RequestItems": { "t": [{}, {}, {}, {}, {}] } });
        let put = json!({});
        let all = (0..10).map(|_| pace.take(DynamoOperation::BatchWriteItem, &batch));
        tokio::join!(
            futures::future::join_all(all),
            pace.take(DynamoOperation::PutItem, &put),
            pace.take(DynamoOperation::Scan, &put),
        );
        assert_eq!(began.elapsed().as_millis(), 510);
    }
}
