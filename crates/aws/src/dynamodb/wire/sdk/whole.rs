//! Every answer is whole before anything in it is believed.
//!
//! The SDK reads an empty body as an answer without members: a page of a scan without items and without a next page,
//! so the end of the segment, and a write of which nothing is left. An answer that a proxy has emptied would so end a
//! scan early, and the missing items would never be copied. JSON that is cut anywhere else does not parse, so a body
//! that is one object is whole. `DynamoDB` also sends the CRC-32 of the body, in `x-amz-crc32`.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut},
    },
    error::BoxError,
};
// One type of all SDKs, which that of tables does not hand on.
use aws_sdk_s3::primitives::SdkBody;
use crc_fast::CrcAlgorithm::Crc32IsoHdlc;
use http_body_util::Limited;

use crate::failed::Unsound;
use migrate_store::ErrorKind;

/// The longest accepted answer. The most that a request returns is 16 MB of items, which JSON makes longer, at most
/// sixfold (an escaped control character).
const ANSWER_BYTES_MAX: usize = 96 << 20;

/// Checks every answer of a client. Its errors hold an [`Unsound`].
#[derive(Debug)]
pub(super) struct WholeAnswers;

impl Intercept for WholeAnswers {
    fn name(&self) -> &'static str {
        "WholeAnswers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, ANSWER_BYTES_MAX));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // A body that could not be read is no answer at all; the SDK's error says so.
        let Some(body) = response.body().bytes() else { return Ok(()) };
        check(response.status().is_success(), response.headers().get("x-amz-crc32"), body)?;
        Ok(())
    }
}

fn check(success: bool, crc: Option<&str>, body: &[u8]) -> Result<(), Unsound> {
    let unsound = |foreign, detail: &str| {
        Err(Unsound { kind: ErrorKind::Unavailable, foreign, detail: format!("the answer {detail}") })
    };
    let crc_fits = || crc.is_none_or(|crc| crc.parse() == Ok(crc_fast::checksum(Crc32IsoHdlc, body)));
    match body.trim_ascii() {
        [] if success => unsound(false, "is empty"),
        [] => Ok(()),
        [b'{', .., b'}'] if crc_fits() => Ok(()),
        [b'{', .., b'}'] => unsound(false, "does not have the checksum that was sent with it"),
        [b'{', ..] => unsound(false, "is cut"),
        _ => unsound(true, "is no JSON object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_believed() {
        let crc = crc_fast::checksum(Crc32IsoHdlc, b"{\"Items\":[]}").to_string();
        assert!(check(true, Some(&crc), b"{\"Items\":[]}").is_ok());
        assert!(check(true, None, b"{}\n").is_ok());
        assert!(check(false, None, b"").is_ok(), "the status says what it is");
        for (success, crc, body, foreign) in [
            (true, None, &b""[..], false),
            (true, None, b"{\"Items\":[", false),
            (true, Some(&*crc), b"{\"Items\":[{}]}", false),
            (true, Some("x"), b"{}", false),
            (true, None, b"<html></html>", true),
            (false, None, b"<html></html>", true),
        ] {
            let error = check(success, crc, body).unwrap_err();
            assert_eq!((error.kind, error.foreign), (ErrorKind::Unavailable, foreign), "{error}");
        }
    }
}
