//! The effects of quirks on conditions, contents, metadata and keys.

use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use s3s::{S3Result, dto::ETagCondition, s3_error};

use super::{
    condition::Condition,
    errors::custom_error,
    headers::header,
    objects::Content,
    quirks::{IfMatchQuirk, MetadataQuirk, Quirks, Untyped},
};

const METADATA_PREFIX: &str = "x-amz-meta-";

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

    /// Changes a template to the form that this server keeps.
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

    /// The metadata that an answer carries. `s3s` encodes the metadata that it gets; values to be shown as they
    /// are kept go among the headers.
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

    /// The key that a request means here.
    pub(super) fn bend_key(&self, key: &mut String) -> S3Result<()> {
        if self.busy_above_511_bytes && key.len() > 511 {
            return Err(custom_error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Please try again."));
        }
        if self.swallow_leading_slash {
            let rest = key.trim_start_matches('/');
            *key = rest.to_owned();
        }
        Ok(())
    }
}
