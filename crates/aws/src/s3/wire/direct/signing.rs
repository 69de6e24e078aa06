//! Signatures of version 4, as S3 takes them.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::time::SystemTime;

use aws_sdk_s3::{config::http::HttpRequest, primitives::SdkBody};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningInstructions, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity as Signer;

use super::{
    asked::{Asked, not_made},
    place::Place,
};
use crate::failed::Failed;

/// The hash of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// As the user agent of a request that the SDK sends names the program, which signs it not.
const USER_AGENT: &str = concat!("migrate/", env!("CARGO_PKG_VERSION"), " app/migrate");

/// The request as it is sent: every header is signed, and the hash of the body with them.
pub(super) fn signed(asked: &Asked, place: &Place, signer: &Signer, time: SystemTime) -> Result<HttpRequest, Failed> {
    let signature = signature(asked, place, signer, time)?;
    let body = asked.body.as_ref().map_or_else(|| SdkBody::from(""), |(bytes, _)| SdkBody::from(bytes.clone()));
    let mut request = HttpRequest::new(body);
    request.set_method(asked.method).map_err(not_made)?;
    request.set_uri(&*asked.url).map_err(not_made)?;
    let headers = request.headers_mut();
    for (name, value) in &asked.headers {
        headers.try_append(name.clone(), value.clone()).map_err(not_made)?;
    }
    for header in signature.into_parts().0 {
        headers.try_insert(header.name(), header.value().to_owned()).map_err(not_made)?;
    }
    headers.insert("user-agent", USER_AGENT);
    Ok(request)
}

fn signature(asked: &Asked, place: &Place, signer: &Signer, time: SystemTime) -> Result<SigningInstructions, Failed> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder()
        .identity(signer)
        .region(&place.region)
        .name("s3")
        .time(time)
        .settings(settings)
        .build()
        .map_err(not_made)?
        .into();
    let hash = asked.body.as_ref().map_or_else(|| EMPTY.to_owned(), |(_, hash)| hash.to_string());
    let headers = asked.headers.iter().map(|(name, value)| (&**name, value.as_str()));
    let signable = SignableRequest::new(asked.method, &*asked.url, headers, SignableBody::Precomputed(hash));
    Ok(sign(signable.map_err(not_made)?, &params).map_err(not_made)?.into_parts().0)
}
