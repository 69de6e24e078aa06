//! The engine: requests as JSON to `dynoxide`, and its answers as JSON.

use std::fmt;

use dynoxide::{Database, DynoxideError};
use serde::{Serialize, de::DeserializeOwned};

use super::{answers::Answer, operation::DynamoOperation};

/// The tables, with their items and streams. Cheap to clone.
#[derive(Clone)]
pub(super) struct Engine {
    database: Database,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine in memory, without tables.
    pub(super) fn in_memory() -> std::io::Result<Self> {
        Ok(Self { database: Database::memory().map_err(std::io::Error::other)? })
    }

    /// Carries a request out. It blocks: one request runs at a time.
    pub(super) async fn run(&self, operation: DynamoOperation, request: String) -> Answer {
        let database = self.database.clone();
        match tokio::task::spawn_blocking(move || dispatch(&database, operation, &request)).await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Answer::refusal("InternalServerError", "the server stops"),
        }
    }
}

fn dispatch(database: &Database, operation: DynamoOperation, request: &str) -> Answer {
    use DynamoOperation as Op;
    match operation {
        Op::BatchGetItem => run(request, |input| database.batch_get_item(input)),
        Op::BatchWriteItem => run(request, |input| database.batch_write_item(input)),
        Op::CreateTable => run(request, |input| database.create_table(input)),
        Op::DeleteItem => run(request, |input| database.delete_item(input)),
        Op::DeleteTable => run(request, |input| database.delete_table(input)),
        Op::DescribeStream => run(request, |input| database.describe_stream(input)),
        Op::DescribeTable => run(request, |input| database.describe_table(input)),
        Op::DescribeTimeToLive => run(request, |input| database.describe_time_to_live(input)),
        Op::GetItem => run(request, |input| database.get_item(input)),
        Op::GetRecords => run(request, |input| database.get_records(input)),
        Op::GetShardIterator => run(request, |input| database.get_shard_iterator(input)),
        Op::ListStreams => run(request, |input| database.list_streams(input)),
        Op::ListTables => run(request, |input| database.list_tables(input)),
        Op::ListTagsOfResource => run(request, |input| database.list_tags_of_resource(input)),
        Op::PutItem => run(request, |input| database.put_item(input)),
        Op::Query => run(request, |input| database.query(input)),
        Op::Scan => run(request, |input| database.scan(input)),
        Op::TagResource => run(request, |input| database.tag_resource(input)),
        Op::TransactGetItems => run(request, |input| database.transact_get_items(input)),
        Op::TransactWriteItems => run(request, |input| database.transact_write_items(input)),
        Op::UntagResource => run(request, |input| database.untag_resource(input)),
        Op::UpdateItem => run(request, |input| database.update_item(input)),
        Op::UpdateTable => run(request, |input| database.update_table(input)),
        Op::UpdateTimeToLive => run(request, |input| database.update_time_to_live(input)),
        _ => Answer::refusal("UnknownOperationException", "the engine does not have it"),
    }
}

fn run<I: DeserializeOwned, O: Serialize>(
    request: &str,
    operate: impl FnOnce(I) -> Result<O, DynoxideError>,
) -> Answer {
    let input = match serde_json::from_str(request) {
        Ok(input) => input,
        Err(error) => return unread(&error.to_string()),
    };
    match operate(input) {
        Ok(output) => match serde_json::to_vec(&output) {
            Ok(body) => Answer::ok(body),
            Err(error) => Answer::refusal("InternalServerError", &error.to_string()),
        },
        Err(error) => Answer { status: error.status_code(), body: error.to_json().into() },
    }
}

/// A request that the engine does not understand. It marks what it has judged itself, and `serde_json` adds a place.
fn unread(error: &str) -> Answer {
    const JUDGED: [(&str, &str); 5] = [
        ("VALIDATION_REQUEST:", "ValidationException"),
        ("VALIDATION_AS_READ:", "ValidationException"),
        ("VALIDATION:", "ValidationException"),
        ("SERIALIZATION_AS_READ:", "SerializationException"),
        ("SERIALIZATION:", "SerializationException"),
    ];
    let text = error.rfind(" at line ").map_or(error, |at| &error[..at]);
    if let Some((mark, code)) = JUDGED.into_iter().find(|(mark, _)| text.starts_with(mark)) {
        return Answer::refusal(code, &text[mark.len()..]);
    }
    let invalid = ["missing field", "unknown variant", "invalid type: null", "AttributeValue"];
    let code =
        if invalid.iter().any(|part| text.contains(part)) { "ValidationException" } else { "SerializationException" };
    Answer::refusal(code, text)
}
