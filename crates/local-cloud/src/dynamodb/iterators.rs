//! Iterators that expire, and streams that are gone. The engine's iterators hold for ever, and it answers for any
//! name of a stream as long as the table has one, also for that of a stream that was disabled since.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value as Json, json};

use super::answers::Answer;

/// Gives out iterators that carry the name of their stream, and can be made to expire.
#[derive(Debug, Default)]
pub(super) struct Iterators {
    /// Those of an earlier number have expired.
    number: AtomicU64,
}

const ITERATOR: &str = "ShardIterator";

impl Iterators {
    /// Lets all iterators that were given out expire.
    pub(super) fn expire(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    /// The engine's iterator in an answer, wrapped with its stream.
    pub(super) fn wrap(&self, answer: &Answer, member: &str, stream: &str) -> Option<Answer> {
        let mut body: Json = serde_json::from_slice(&answer.body).ok()?;
        let inner = body.get(member)?.as_str()?;
        let number = self.number.load(Ordering::Relaxed);
        body[member] = json!(format!("{number}|{stream}|{inner}"));
        Some(Answer::ok(body.to_string()))
    }

    /// The stream of a request's iterator; the request becomes one with the engine's.
    pub(super) fn unwrap(&self, request: &mut Json) -> Result<String, Answer> {
        let wrapped = request.get(ITERATOR).and_then(Json::as_str).unwrap_or_default();
        let mut parts = wrapped.splitn(3, '|');
        let (Some(number), Some(stream), Some(inner)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Answer::refusal("ValidationException", "Invalid ShardIterator"));
        };
        if number.parse() != Ok(self.number.load(Ordering::Relaxed)) {
            let text = "Iterator expired. The iterator was created at a time which exceeds the maximum age.";
            return Err(Answer::refusal("ExpiredIteratorException", text));
        }
        let (stream, inner) = (stream.to_owned(), json!(inner));
        request[ITERATOR] = inner;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_comes_back_as_it_was_until_it_expires() {
        let iterators = Iterators::default();
        let given = iterators.wrap(&Answer::ok("{\"NextShardIterator\":\"a|b\"}"), "NextShardIterator", "arn").unwrap();
        let given: Json = serde_json::from_slice(&given.body).unwrap();
        let mut request = json!({ ITERATOR: given["NextShardIterator"] });
        let again = request.clone();
        assert_eq!(iterators.unwrap(&mut request).unwrap(), "arn");
        assert_eq!(request[ITERATOR], "a|b");
        iterators.expire();
        assert!(iterators.unwrap(&mut again.clone()).is_err());
        assert!(iterators.unwrap(&mut json!({})).is_err());
    }
}
