//! Where a server departs from AWS: each departure was seen on a server that others run.

use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use s3s::{S3Result, dto::ETagCondition, s3_error};

use super::{
    gate::{custom_error, header},
    objects::{Condition, Content},
    service::Service,
};

const METADATA_PREFIX: &str = "x-amz-meta-";

/// Ways in which servers that call themselves S3-compatible differ from AWS. All off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent departure")]
pub struct Quirks {
    /// `If-Match` and `If-None-Match` are accepted and ignored on writes and deletes.
    pub ignore_conditions: bool,
    /// The same for the completion of a multipart upload alone.
    pub ignore_conditions_on_complete: bool,
    /// `If-None-Match` on writes and completions is `NotImplemented`, whether it holds or not.
    pub no_if_none_match: bool,
    /// How the tag of `If-Match` on writes, completions and deletes is compared.
    pub if_match: IfMatchQuirk,
    /// A wrong `x-amz-checksum-*` is accepted; none is stored.
    pub ignore_checksums: bool,
    /// A body that does not match the signed `x-amz-content-sha256` is accepted. Covers object and
    /// part writes; `s3s` itself still refuses XML bodies that do not match.
    pub ignore_payload_hash: bool,
    /// Tags are `NotImplemented`, as operations and as the header of a write.
    pub no_tags: bool,
    /// Tags given to `CreateMultipartUpload` are dropped: the object has none.
    pub drop_upload_tags: bool,
    /// Tags cannot be changed after a write: `PutObjectTagging` is `NotImplemented`.
    pub no_put_tagging: bool,
    /// `GetObjectAttributes` is `NotImplemented`.
    pub no_get_object_attributes: bool,
    /// `GetObjectAttributes` fails with 500.
    pub failing_get_object_attributes: bool,
    /// `CompleteMultipartUpload` answers with an empty `ETag`.
    pub empty_etag_on_complete: bool,
    /// `ListParts` answers with `ListPartsResponse` instead of `ListPartsResult`.
    pub misnamed_list_of_parts: bool,
    /// The `ETag` has nothing to do with MD5.
    pub etag_not_md5: bool,
    /// GET and HEAD do not say how many tags an object has.
    pub no_tag_count: bool,
    /// HEAD does not say how many tags an object has, and GET does.
    pub no_tag_count_on_head: bool,
    /// Pages of a listing are not in order.
    pub listing_unordered: bool,
    /// Every request is refused with `RequestTimeTooSkewed`.
    pub clock_skew: bool,
    /// A policy that denies everybody (`"Principal": "*"`) under a condition is accepted and given
    /// back, but does not hold: some servers know no `aws:PrincipalArn`.
    pub ignore_conditional_deny: bool,
    /// What becomes of user metadata that is not ASCII.
    pub metadata: MetadataQuirk,
    /// The type of an object that was written without one.
    pub untyped: Untyped,
    /// Slashes that a key begins with are swallowed: `/x` is stored as `x`.
    pub swallow_leading_slash: bool,
    /// Requests on keys above 511 bytes are answered with 503, for ever.
    pub busy_above_511_bytes: bool,
    /// Error answers carry a code and no message.
    pub errors_without_message: bool,
}

/// How a server compares the tag of `If-Match` on a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfMatchQuirk {
    /// As AWS: with and without quotes.
    #[default]
    None,
    /// The quotes are compared too, and no object has them: a quoted tag never matches, a bare one
    /// does. Ceph RGW 16.2.
    BareOnly,
    /// No tag ever matches.
    NeverMatches,
}

/// What a server makes of user metadata that is not ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataQuirk {
    /// As AWS: encoded words (RFC 2047) are decoded when stored, and made again when shown.
    #[default]
    None,
    /// Values are shown as they were sent: raw UTF-8 raw, encoded words as these words.
    Raw,
    /// The same for ASCII; a value that is not ASCII is refused.
    AsciiOnly,
}

/// The `Content-Type` of an object that was written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Untyped {
    /// `binary/octet-stream`, as AWS.
    #[default]
    BinaryOctetStream,
    /// `application/octet-stream`.
    ApplicationOctetStream,
    /// None: no such header is shown.
    None,
    /// An empty one is shown.
    Empty,
}

impl Quirks {
    /// The condition of a write, from its headers.
    pub(super) fn condition(&self, headers: &HeaderMap) -> S3Result<Condition> {
        if self.ignore_conditions {
            return Ok(Condition::None);
        }
        let invalid = |_| s3_error!(InvalidArgument, "A condition is not an entity tag");
        let parse = |name: &str| header(headers, name).map(|text| ETagCondition::parse_http_header(text.as_bytes()));
        let asked =
            (parse("if-match").transpose().map_err(invalid)?, parse("if-none-match").transpose().map_err(invalid)?);
        match asked {
            (None, None) => Ok(Condition::None),
            (Some(ETagCondition::Any), None) => Ok(Condition::Present),
            (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(match self.if_match {
                IfMatchQuirk::None => etag.into_value(),
                IfMatchQuirk::BareOnly => header(headers, "if-match").unwrap_or_default().to_owned(),
                IfMatchQuirk::NeverMatches => String::new(),
            })),
            (None, Some(ETagCondition::Any)) if !self.no_if_none_match => Ok(Condition::Absent),
            _ => Err(s3_error!(NotImplemented, "A header you provided implies functionality that is not implemented")),
        }
    }

    /// The condition of a completion.
    pub(super) fn condition_of_completion(&self, headers: &HeaderMap) -> S3Result<Condition> {
        if self.ignore_conditions_on_complete { Ok(Condition::None) } else { self.condition(headers) }
    }

    /// Gives what is to be stored the form that this server keeps.
    pub(super) fn bend_content(&self, content: &mut Content, headers: &HeaderMap) -> S3Result<()> {
        if !content.headers.iter().any(|(name, _)| *name == CONTENT_TYPE) {
            let shown = match self.untyped {
                Untyped::BinaryOctetStream => Some("binary/octet-stream"),
                Untyped::ApplicationOctetStream => Some("application/octet-stream"),
                Untyped::Empty => Some(""),
                Untyped::None => None,
            };
            content.headers.extend(shown.map(|shown| (CONTENT_TYPE, HeaderValue::from_static(shown))));
        }
        if self.metadata == MetadataQuirk::None {
            return Ok(());
        }
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix(METADATA_PREFIX) else { continue };
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if self.metadata == MetadataQuirk::AsciiOnly && !value.is_ascii() {
                return Err(s3_error!(InvalidArgument, "Metadata is limited to US-ASCII"));
            }
            content.metadata.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// The metadata that an answer carries: `s3s` encodes what it is given; what is to be shown as it
    /// is kept goes among the headers.
    pub(super) fn shown_metadata(&self, content: &Content, headers: &mut HeaderMap) -> Option<s3s::dto::Metadata> {
        if self.metadata == MetadataQuirk::None {
            return Some(content.metadata.clone().into_iter().collect());
        }
        for (name, value) in &content.metadata {
            let name = HeaderName::from_bytes(format!("{METADATA_PREFIX}{name}").as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
                headers.insert(name, value);
            }
        }
        None
    }
}

impl Service {
    /// The key that a request means here.
    pub(super) fn bend_key(&self, key: &mut String) -> S3Result<()> {
        let quirks = self.config.quirks;
        if quirks.busy_above_511_bytes && key.len() > 511 {
            return Err(custom_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Please try again."));
        }
        if quirks.swallow_leading_slash {
            let rest = key.trim_start_matches('/');
            *key = rest.to_owned();
        }
        Ok(())
    }
}
