//! Logs what has become durable: the decisions of a run, and what it did.
//!
//! What happens a few times for each dataset is told as `debug`, what happens for each record as `trace`. Values that
//! are texts stand in fields of the names that a log which hides keys knows.

use serde_json::Value;
use tracing::{Level, debug, enabled, trace};

use super::{fact::Fact, record::Record, rows::Open};

/// Logs a batch that was committed.
pub(crate) fn log(batch: &[Record]) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    for record in batch {
        match record {
            Record::Happened { dataset, event, .. } => {
                let told = serde_json::to_value(event).unwrap_or(Value::Null);
                let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
                let pass = told["pass"].as_u64();
                debug!(dataset = dataset.as_str(), event = &*word("event"), step = &*word("step"), pass, "it happened");
            }
            Record::ShardsPlanned { dataset, shards } => {
                debug!(dataset = dataset.as_str(), shards = shards.len(), "a pass walks its shards");
            }
            Record::ShardSplit { shard, at, new } => {
                debug!(shard = shard.0, new = new.0, key = at.as_str(), "a shard gives its upper part away");
            }
            Record::CursorMoved { shard, place, done, .. } => {
                let (copied, same) = (done.copied, done.same);
                trace!(shard = shard.0, place = place.0, copied, same, "a shard is done up to a further key");
            }
            Record::At { dataset, place, key, fact } => {
                let (dataset, place, key) = (dataset.as_str(), place.0, key.as_str());
                match fact {
                    Fact::Waits(Open::Deferred) => debug!(dataset, place, key, "a record is left for later"),
                    Fact::Waits(Open::Failed) | Fact::Failed { .. } => debug!(dataset, place, key, "a record failed"),
                    Fact::Waits(Open::Doomed) => debug!(dataset, place, key, "a record is to be deleted"),
                    Fact::Waits(Open::Damaged) => debug!(dataset, place, key, "a record is to be copied over"),
                    Fact::Late { .. } => debug!(dataset, place, key, "a record was written late at the old lead"),
                    Fact::Paired { .. } => trace!(dataset, place, key, "a record is paired"),
                    _ => trace!(dataset, place, key, "something is known of a record"),
                }
            }
            _ => {}
        }
    }
}
