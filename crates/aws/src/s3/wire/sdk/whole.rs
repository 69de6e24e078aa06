//! Every answer that the SDK reads goes through [`document`](crate::s3::document), not through a check that each
//! operation would have to remember.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut},
    },
    error::BoxError,
    primitives::SdkBody,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use http_body_util::Limited;

use crate::s3::document::{ANSWER_BYTES_MAX, check, streams};

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
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if !streams(operation(config), response.status().is_success()) {
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, ANSWER_BYTES_MAX));
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // A body that could not be read is no answer at all; the SDK's error says so.
        let Some(body) = response.body().bytes() else { return Ok(()) };
        check(operation(config), response.status().is_success(), body)?;
        Ok(())
    }
}

/// The current operation, by its S3 name.
fn operation(config: &ConfigBag) -> &str {
    config.load::<Metadata>().map_or("", Metadata::name)
}
