//! The SDK's errors as plain ones, with what `DynamoDB` adds to a refusal for load.

use std::{collections::BTreeSet, error::Error, fmt};

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use serde_json::Value as Json;

use crate::{
    failed::{Failed, Refused, Unsound},
    sdk::failure,
};
use migrate_store::ErrorKind;

/// What an error of the SDK tells. A refusal for load names what is at its limit: the table or one of its indexes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/throttling-diagnosing.html>
pub(super) fn told<E>(error: SdkError<E, HttpResponse>) -> Failed
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let reasons = error.raw_response().and_then(|raw| reasons(raw.body().bytes()?)).unwrap_or_default();
    let mut failed = failure::told(error);
    if let (Failed::Refused(Refused { message, at_limit, .. }), false) = (&mut failed, reasons.is_empty()) {
        let said = message.take().unwrap_or_default();
        let texts: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        *message = Some(format!("{said} ({})", texts.join(", ")));
        let what: BTreeSet<_> = reasons.iter().filter_map(Reason::at_limit).collect();
        *at_limit = (!what.is_empty()).then(|| what.into_iter().collect::<Vec<_>>().join(", "));
    }
    failed
}

/// One reason of a refusal for load.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ThrottlingReason.html>
#[derive(Debug)]
struct Reason {
    /// `IndexWriteProvisionedThroughputExceeded`, for example.
    reason: String,
    /// `table/orders/index/by-date`, for example: the end of the ARN.
    resource: Option<String>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resource {
            Some(resource) => write!(f, "{} of {resource}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl Reason {
    /// What is at its limit, for people; `None` if it is not named.
    fn at_limit(&self) -> Option<String> {
        let named = self.resource.as_deref()?.strip_prefix("table/")?;
        let whole = match named.split_once("/index/") {
            Some((table, index)) => format!("the index {index} of the table {table}"),
            None => format!("the table {named}"),
        };
        // More capacity does not help a key that is written too often.
        let is_part = self.reason.ends_with("KeyRangeThroughputExceeded");
        Some(if is_part { format!("a range of keys of {whole}") } else { whole })
    }
}

/// Why a request was refused, as far as its answer tells.
fn reasons(body: &[u8]) -> Option<Vec<Reason>> {
    // Most errors have none: they are not parsed again.
    body.windows(REASONS.len()).position(|window| window == REASONS.as_bytes())?;
    let answer: Json = serde_json::from_slice(body).ok()?;
    let reasons = answer.get(REASONS)?.as_array()?.iter().filter_map(|reason| {
        let text = |name: &str| reason.get(name).and_then(Json::as_str);
        let resource = text("resource").map(|arn| arn.rsplit_once(':').map_or(arn, |(_, resource)| resource));
        Some(Reason { reason: text("reason")?.to_owned(), resource: resource.map(ToOwned::to_owned) })
    });
    Some(reasons.collect())
}

const REASONS: &str = "ThrottlingReasons";

/// A success that lacks what it must have: nothing in it is believed.
pub(super) fn garbled(detail: impl Into<String>) -> Failed {
    Failed::Unsound(200, Vec::new(), Unsound { kind: ErrorKind::Garbled, foreign: false, detail: detail.into() })
}

/// A success that holds what cannot be held here: asking again does not help.
pub(super) fn unheld(detail: impl Into<String>) -> Failed {
    Failed::Unsound(200, Vec::new(), Unsound { kind: ErrorKind::Unsupported, foreign: false, detail: detail.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_at_its_limit_is_named() {
        let body = br#"{"__type":"x#ThrottlingException","message":"slow","ThrottlingReasons":[{"reason":
            "IndexWriteProvisionedThroughputExceeded","resource":"arn:aws:dynamodb:r:1:table/t/index/i"},{"reason":
            "TableWriteKeyRangeThroughputExceeded","resource":"arn:aws:dynamodb:r:1:table/t"},{"reason":"A"}]}"#;
        let found = reasons(body).unwrap();
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        let told = [
            "IndexWriteProvisionedThroughputExceeded of table/t/index/i",
            "TableWriteKeyRangeThroughputExceeded of table/t",
            "A",
        ];
        assert_eq!(texts, told);
        let named: Vec<_> = found.iter().map(Reason::at_limit).collect();
        let index = "the index i of the table t".to_owned();
        assert_eq!(named, [Some(index), Some("a range of keys of the table t".to_owned()), None]);
        assert!(reasons(b"{}").is_none());
        assert!(reasons(b"{\"ThrottlingReasons\":").is_none());
    }
}
