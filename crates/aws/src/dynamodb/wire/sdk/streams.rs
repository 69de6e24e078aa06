//! The requests about a table's stream of changes.

use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType, StreamStatus};

use super::{
    connect::Sdk,
    failure::{garbled, told, unheld},
};
use crate::failed::Failed;
use migrate_core::{
    item::{ItemKey, KeyNames, Value},
    model::Timestamp,
};
use migrate_store::table::{Change, Changes, Position, StreamIterator, StreamShard};

/// A page of a stream's shards.
#[derive(Debug)]
pub(in crate::dynamodb) struct Shards {
    pub(in crate::dynamodb) found: Vec<StreamShard>,
    /// After which shard the next page begins.
    pub(in crate::dynamodb) next: Option<String>,
    /// The end of the stream's name, which tells it from an earlier one of the same table, if the server says so.
    pub(in crate::dynamodb) label: Option<String>,
    pub(in crate::dynamodb) enabled: bool,
}

impl Sdk {
    /// A page of the shards of a stream.
    pub(in crate::dynamodb) async fn shards(&self, stream: &str, after: Option<String>) -> Result<Shards, Failed> {
        let request = self.client.streams.describe_stream().stream_arn(stream).set_exclusive_start_shard_id(after);
        let output = request.send().await.map_err(told)?;
        let stream = output.stream_description.ok_or_else(|| garbled("an answer comes without the stream"))?;
        let shard = |shard: aws_sdk_dynamodbstreams::types::Shard| {
            let id = shard.shard_id.ok_or_else(|| garbled("a shard comes without its id"))?;
            Ok(StreamShard { id, parent: shard.parent_shard_id })
        };
        Ok(Shards {
            found: stream.shards.into_iter().flatten().map(shard).collect::<Result<_, Failed>>()?,
            next: stream.last_evaluated_shard_id,
            label: stream.stream_label,
            enabled: stream.stream_status == Some(StreamStatus::Enabled),
        })
    }

    /// An iterator at a position of a shard.
    pub(in crate::dynamodb) async fn iterator(
        &self,
        stream: &str,
        shard: &str,
        from: &Position,
    ) -> Result<StreamIterator, Failed> {
        let (kind, after) = match from {
            Position::Oldest => (ShardIteratorType::TrimHorizon, None),
            Position::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.clone())),
        };
        let request = self
            .client
            .streams
            .get_shard_iterator()
            .stream_arn(stream)
            .shard_id(shard)
            .shard_iterator_type(kind)
            .set_sequence_number(after);
        let iterator = request.send().await.map_err(told)?.shard_iterator.filter(|text| !text.is_empty());
        iterator.map(StreamIterator).ok_or_else(|| garbled("an answer comes without an iterator"))
    }

    /// The next records of a shard.
    pub(in crate::dynamodb) async fn records(
        &self,
        names: &KeyNames,
        iterator: StreamIterator,
    ) -> Result<Changes, Failed> {
        let output = self.client.streams.get_records().shard_iterator(iterator.0).send().await.map_err(told)?;
        let records = output.records.ok_or_else(|| garbled("an answer comes without records"))?;
        Ok(Changes {
            records: records.into_iter().map(|record| change(names, record)).collect::<Result<_, _>>()?,
            next: output.next_shard_iterator.filter(|text| !text.is_empty()).map(StreamIterator),
        })
    }
}

fn change(names: &KeyNames, record: Record) -> Result<Change, Failed> {
    let lacking = |what: &str| garbled(format!("a record of the stream comes without {what}"));
    let expired = record.user_identity.is_some_and(|who| {
        who.r#type.as_deref() == Some("Service") && who.principal_id.as_deref() == Some("dynamodb.amazonaws.com")
    });
    let record = record.dynamodb.ok_or_else(|| lacking("its change"))?;
    let mut keys = record.keys.ok_or_else(|| lacking("its key"))?;
    let mut part = |name: &str| keys.remove(name).ok_or_else(|| lacking("a key attribute")).and_then(key_value);
    let partition = part(&names.partition)?;
    let sort = names.sort.as_deref().map(part).transpose()?;
    Ok(Change {
        key: ItemKey { partition, sort },
        sequence: record.sequence_number.ok_or_else(|| lacking("its sequence number"))?,
        at: record.approximate_creation_date_time.and_then(|time| time.to_millis().ok()).map(Timestamp),
        expired,
    })
}

/// The value of a key attribute. The SDK has a type of its own for the values of streams.
fn key_value(of: AttributeValue) -> Result<Value, Failed> {
    Ok(match of {
        AttributeValue::S(text) => Value::Text(text),
        AttributeValue::N(text) => {
            let read = |error| unheld(format!("a key of the stream cannot be read: {error}"));
            Value::Number(text.parse().map_err(|error: migrate_core::item::BadNumber| read(error))?)
        }
        AttributeValue::B(bytes) => Value::Binary(bytes.into_inner().into()),
        _ => return Err(unheld("a key of the stream has a type that keys do not have")),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodbstreams::types::{Identity, StreamRecord};

    use super::*;

    /// By <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html>.
    #[test]
    fn only_a_deletion_by_the_service_itself_is_an_expiry() {
        let names = KeyNames { partition: "id".to_owned(), sort: None };
        let shown = |identity: Option<(&str, &str)>| {
            let who = identity.map(|(kind, who)| Identity::builder().r#type(kind).principal_id(who).build());
            let of = StreamRecord::builder().keys("id", AttributeValue::S("a".to_owned())).sequence_number("1").build();
            change(&names, Record::builder().dynamodb(of).set_user_identity(who).build()).unwrap().expired
        };
        assert!(shown(Some(("Service", "dynamodb.amazonaws.com"))));
        assert!(!shown(Some(("Service", "another.amazonaws.com"))));
        assert!(!shown(Some(("AssumedRole", "dynamodb.amazonaws.com"))));
        assert!(!shown(None));
    }
}
