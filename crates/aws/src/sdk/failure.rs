//! The SDK's errors as plain ones.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

use crate::failed::{Failed, Refused, Unsound};

/// What an error of the SDK tells.
pub(crate) fn told<E>(error: SdkError<E, HttpResponse>) -> Failed
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(service) => {
            let (meta, raw) = (service.err().meta(), service.raw());
            let code = meta.code().unwrap_or_default().to_owned();
            Failed::Refused(Refused {
                status: raw.status().as_u16(),
                is_bare: code.is_empty() && raw.body().bytes().is_some_and(<[u8]>::is_empty),
                code,
                at_limit: None,
                message: meta.message().map(ToOwned::to_owned),
                region: raw.headers().get("x-amz-bucket-region").map(ToOwned::to_owned),
            })
        }
        SdkError::ResponseError(answer) => match cause::<Unsound>(&error) {
            Some(unsound) => {
                let body = answer.raw().body().bytes().filter(|_| unsound.foreign).unwrap_or_default();
                Failed::Unsound(answer.raw().status().as_u16(), body.to_vec(), unsound.clone())
            }
            None => Failed::Unread(error.into()),
        },
        SdkError::TimeoutError(_) => Failed::TimedOut(error.into()),
        SdkError::ConstructionFailure(_) => Failed::NotMade(error.into()),
        SdkError::DispatchFailure(_) => not_answered(error),
        _ => Failed::Other(DisplayErrorContext(&error).to_string()),
    }
}

/// No answer: no credentials, no connection, or a broken connection.
pub(crate) fn not_answered(error: impl Error + Send + Sync + 'static) -> Failed {
    let identity = cause::<aws_credential_types::provider::error::CredentialsError>(&error).is_some();
    let connecting =
        cause::<hyper_util::client::legacy::Error>(&error).is_some_and(hyper_util::client::legacy::Error::is_connect);
    let root = root(&error);
    match (identity, connecting) {
        (true, _) => Failed::NoCredentials(root),
        (false, true) => Failed::NoConnection(root, error.into()),
        (false, false) => Failed::Broke(root, error.into()),
    }
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The text of the last cause of an error, which is the first in time.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The first cause of type `T`.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{error::ErrorMetadata, operation::head_object::HeadObjectError, primitives::SdkBody};

    use super::*;

    fn response(status: u16, body: &'static str) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
    }

    #[test]
    fn an_answer_of_the_server_is_told_as_it_came() {
        let mut answer = response(400, "<Error/>");
        answer.headers_mut().insert("x-amz-bucket-region", "eu-central-1");
        let meta = ErrorMetadata::builder().code("ExpiredToken").message("gone").build();
        let Failed::Refused(refused) = told(SdkError::service_error(HeadObjectError::generic(meta), answer)) else {
            panic!("it is a refusal");
        };
        assert_eq!((refused.status, &*refused.code, refused.is_bare), (400, "ExpiredToken", false));
        assert_eq!((refused.message.as_deref(), refused.region.as_deref()), (Some("gone"), Some("eu-central-1")));
        for (body, bare) in [("", true), ("<html>bad request</html>", false)] {
            let meta = ErrorMetadata::builder().build();
            let told = told(SdkError::service_error(HeadObjectError::generic(meta), response(400, body)));
            assert!(matches!(told, Failed::Refused(refused) if refused.is_bare == bare), "{body}");
        }
    }

    #[test]
    fn an_unsound_answer_keeps_its_status_and_its_reason() {
        let unsound = Unsound { kind: migrate_store::ErrorKind::Garbled, foreign: true, detail: "no".to_owned() };
        let told = told(SdkError::<HeadObjectError, _>::response_error(unsound, response(502, "<html/>")));
        assert!(matches!(told, Failed::Unsound(502, body, Unsound { foreign: true, .. }) if body == b"<html/>"));
    }
}
