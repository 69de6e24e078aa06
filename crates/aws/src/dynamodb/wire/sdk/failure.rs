//! The SDK's errors as plain ones, with what `DynamoDB` adds to a refusal for load.

use std::error::Error;

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
    let reasons = error.raw_response().and_then(|raw| reasons(raw.body().bytes()?));
    let mut failed = failure::told(error);
    if let (Failed::Refused(Refused { message, .. }), Some(reasons)) = (&mut failed, reasons) {
        let said = message.take().unwrap_or_default();
        *message = Some(format!("{said} ({reasons})"));
    }
    failed
}

/// `IndexWriteProvisionedThroughputExceeded of table/orders/index/by-date`, for each reason.
fn reasons(body: &[u8]) -> Option<String> {
    // Most errors have none: they are not parsed again.
    body.windows(REASONS.len()).position(|window| window == REASONS.as_bytes())?;
    let answer: Json = serde_json::from_slice(body).ok()?;
    let reasons = answer.get(REASONS)?.as_array()?.iter().filter_map(|reason| {
        let text = |name: &str| reason.get(name).and_then(Json::as_str);
        let reason = text("reason")?;
        let resource = text("resource").map(|arn| arn.rsplit_once(':').map_or(arn, |(_, resource)| resource));
        Some(resource.map_or_else(|| reason.to_owned(), |resource| format!("{reason} of {resource}")))
    });
    let reasons: Vec<_> = reasons.collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
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
            "IndexWriteProvisionedThroughputExceeded","resource":"arn:aws:dynamodb:r:1:table/t/index/i"},{"reason":"A"}]}"#;
        assert_eq!(reasons(body).unwrap(), "IndexWriteProvisionedThroughputExceeded of table/t/index/i, A");
        assert_eq!(reasons(b"{}"), None);
        assert_eq!(reasons(b"{\"ThrottlingReasons\":"), None);
    }
}
