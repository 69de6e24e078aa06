//! What answers tell: headers as plain values, refusals with their code.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{HeaderMap, header::HeaderValue};

use super::{
    page::error_of,
    pool::{Answer, AnswerBody},
};
use crate::{
    failed::{Failed, Refused, Unsound},
    s3::{
        document::{ANSWER_BYTES_MAX, Reads, check, check_reading},
        wire::plain::Shown,
    },
};
use migrate_store::Header;

/// The prefix of the headers of user metadata.
const METADATA: &str = "x-amz-meta-";

/// The headers of an answer, each of which is read at most once.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Told<'a> {
    /// The one value of a header, without white space around it. It is an error if there are several, or if it is no text.
    pub(super) fn one(self, name: &'static str) -> Result<Option<&'a str>, Failed> {
        let mut values = self.headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
        let Some(first) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(self.odd(name));
        }
        std::str::from_utf8(first).map(|text| Some(text.trim())).map_err(|_| self.odd(name))
    }

    fn text(self, name: &'static str) -> Result<Option<String>, Failed> {
        Ok(self.one(name)?.map(ToOwned::to_owned))
    }

    /// A number that the SDK takes too; a negative one counts for none, as there.
    fn number(self, name: &'static str) -> Result<Option<i64>, Failed> {
        let Some(text) = self.one(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.odd(name))
    }

    /// A date, as seconds since 1970.
    fn date(self, name: &'static str) -> Result<Option<i64>, Failed> {
        let Some(text) = self.one(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let read = DateTime::from_str(text, DateTimeFormat::HttpDate);
        read.map(|date| Some(date.secs())).map_err(|_| self.odd(name))
    }

    /// A success whose headers cannot be read is no success.
    fn odd(self, name: &str) -> Failed {
        let message = format!("the answer's {name} cannot be read");
        Failed::Refused(Refused { status: self.status, message: Some(message), ..Refused::default() })
    }

    fn metadata(self) -> Result<HashMap<String, String>, Failed> {
        let mut metadata = HashMap::new();
        for (name, value) in self.headers {
            let Some(name) = name.as_str().strip_prefix(METADATA) else { continue };
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| self.odd(METADATA))?;
            if metadata.insert(name.to_owned(), value.trim().to_owned()).is_some() {
                return Err(self.odd(METADATA));
            }
        }
        Ok(metadata)
    }

    /// What the headers of an answer to GET or HEAD show of an object.
    pub(super) fn shown(self) -> Result<Shown, Failed> {
        let unsigned = |number: i64| u64::try_from(number).ok();
        let mut headers = BTreeMap::new();
        for (header, name) in [
            (Header::CacheControl, "cache-control"),
            (Header::ContentDisposition, "content-disposition"),
            (Header::ContentEncoding, "content-encoding"),
            (Header::ContentLanguage, "content-language"),
            (Header::ContentType, "content-type"),
            (Header::Expires, "expires"),
        ] {
            if let Some(value) = self.text(name)? {
                headers.insert(header, value);
            }
        }
        Ok(Shown {
            length: self.number("content-length")?.and_then(unsigned),
            tag: self.text("etag")?,
            modified_s: self.date("last-modified")?,
            version: self.text("x-amz-version-id")?,
            headers,
            metadata: self.metadata()?,
            hides_metadata: self.number("x-amz-missing-meta")?.is_some_and(|count| count > 0),
            tag_count: self.number("x-amz-tagging-count")?.and_then(|count| u32::try_from(count).ok()),
            is_composite: self.one("x-amz-checksum-type")? == Some("COMPOSITE"),
            crc64nvme: self.text("x-amz-checksum-crc64nvme")?,
            sha256: self.text("x-amz-checksum-sha256")?,
            encryption: self.text("x-amz-server-side-encryption")?,
            has_customer_key: self.one("x-amz-server-side-encryption-customer-algorithm")?.is_some(),
            redirects: self.one("x-amz-website-redirect-location")?.is_some(),
            is_retained: self.one("x-amz-object-lock-mode")?.is_some(),
            has_legal_hold: self.one("x-amz-object-lock-legal-hold")? == Some("ON"),
            storage_class: self.text("x-amz-storage-class")?,
            is_archived: false,
        })
    }
}

/// The body of an answer that does not stream, to its end.
pub(super) async fn whole(body: &mut AnswerBody) -> Result<Bytes, Failed> {
    let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    Ok(read.map_err(Failed::Unread)?.to_bytes())
}

/// What an answer that is no success tells.
pub(super) async fn failed(operation: &'static str, answer: &mut Answer) -> Failed {
    match succeeded(operation, answer).await {
        Err(failed) => failed,
        // It is called for no success.
        Ok(_) => Failed::Refused(Refused { status: answer.status.as_u16(), ..Refused::default() }),
    }
}

/// The body of an answer to an operation of this name, if the answer is a success and the body what it must be.
pub(super) async fn succeeded(operation: &'static str, answer: &mut Answer) -> Result<Bytes, Failed> {
    let body = whole(&mut answer.body).await?;
    let checked = check(operation, answer.status.is_success(), &body);
    judged(answer, body, checked)
}

/// [`succeeded`], while the body is read. What was read counts only then.
pub(super) async fn succeeded_reading(
    operation: &'static str,
    answer: &mut Answer,
    reads: &mut impl Reads,
) -> Result<(), Failed> {
    let body = whole(&mut answer.body).await?;
    let checked = check_reading(operation, answer.status.is_success(), &body, reads);
    judged(answer, body, checked).map(drop)
}

/// The body of an answer, if the answer is a success.
fn judged(answer: &Answer, body: Bytes, checked: Result<(), Unsound>) -> Result<Bytes, Failed> {
    let status = answer.status;
    if let Err(unsound) = checked {
        let shown = if unsound.foreign { body.to_vec() } else { Vec::new() };
        return Err(Failed::Unsound(status.as_u16(), shown, unsound));
    }
    // S3 reports some failures after it has already answered 200.
    let error = if body.is_empty() { None } else { error_of(&body) };
    if status.is_success() && error.is_none() {
        return Ok(body);
    }
    let (code, message) = match error {
        // A HEAD has no body that would say so; the SDK takes the status for this code.
        None if body.is_empty() && status.as_u16() == 404 => ("NotFound".to_owned(), None),
        None => (String::new(), None),
        Some(error) => (error.code.unwrap_or_default(), error.message),
    };
    Err(Failed::Refused(Refused {
        status: status.as_u16(),
        is_bare: code.is_empty() && body.is_empty(),
        code,
        message,
        at_limit: None,
        region: answer.headers.get("x-amz-bucket-region").and_then(|region| Some(region.to_str().ok()?.to_owned())),
    }))
}
