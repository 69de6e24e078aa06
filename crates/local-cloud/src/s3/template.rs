//! All that a write stores beside its bytes: headers, metadata, tags, class, lock and grants.

use std::time::SystemTime;

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use s3s::{
    S3Result,
    dto::{self, Owner},
};

use super::{acls, headers::header, locks::Lock, objects::Content, service::Service, storage_class, tags::parse_tags};

impl Service {
    /// All that a write stores beside its bytes, as this server keeps it.
    pub(super) fn template(&self, headers: &HeaderMap, metadata: Option<dto::Metadata>) -> S3Result<Content> {
        let mut content = template(headers, metadata, &self.owner())?;
        self.config.quirks.bend_content(&mut content, headers)?;
        Ok(content)
    }
}

/// The same as AWS keeps it, from headers and metadata.
fn template(headers: &HeaderMap, metadata: Option<dto::Metadata>, owner: &Owner) -> S3Result<Content> {
    const KEPT: [&str; 7] = [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
        "x-amz-website-redirect-location",
    ];
    let mut kept: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for name in KEPT {
        let Some(value) = headers.get(name) else { continue };
        let name = HeaderName::from_static(name);
        if name == "content-encoding" {
            kept.extend(without_aws_chunked(value).map(|value| (name, value)));
        } else if !value.is_empty() {
            kept.push((name, value.clone()));
        }
    }
    Ok(Content {
        headers: kept,
        metadata: metadata.unwrap_or_default().into_iter().collect(),
        tags: header(headers, "x-amz-tagging").map(parse_tags).transpose()?.unwrap_or_default(),
        storage_class: storage_class::asked(headers)?,
        lock: Lock::of(headers, SystemTime::now())?,
        grants: acls::of_headers(headers, owner)?,
        ..Content::default()
    })
}

/// `aws-chunked` is how the body travelled, not what it is.
fn without_aws_chunked(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let rest: Vec<&str> = text.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    HeaderValue::from_str(&rest.join(",")).ok().filter(|value| !value.is_empty())
}
