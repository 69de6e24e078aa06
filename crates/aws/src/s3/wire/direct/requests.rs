//! The six requests, with the headers that the SDK would send.

use std::{collections::BTreeMap, sync::Arc};

use hyper::{
    Method,
    header::{self, HeaderName, HeaderValue},
};

use super::{
    answers::{Told, failed, succeeded, succeeded_reading},
    asked::{Asked, not_made},
    clock::date,
    page,
    place::Place,
    pool::Pool,
    sending::Connection,
};
use crate::{
    failed::{Failed, Refused},
    s3::{
        client::S3Config,
        convert::{content_type, crc64_header, push_encoded},
        document::streams,
        wire::plain::{Carried, Got, Guard, Listed, ListedObject, Shown, Written},
    },
};
use migrate_core::digest::Body;
use migrate_store::{ByteRange, Header};

pub(in crate::s3) use super::stream::Stream;

const CHECKSUM_CRC64NVME: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
const EXPECTED_OWNER: HeaderName = HeaderName::from_static("x-amz-expected-bucket-owner");
const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");

/// One bucket at one endpoint. Keys are those in the bucket.
#[derive(Debug, Clone)]
pub(in crate::s3) struct Direct {
    connection: Connection,
    place: Place,
    pool: Arc<Pool>,
    owner: Option<String>,
}

impl Direct {
    /// `None` for a bucket that only the SDK can reach.
    pub(in crate::s3) fn new(connection: Connection, config: &S3Config, bucket: &str) -> Option<Self> {
        let place = Place::of(config, bucket)?;
        let pool = connection.pool(&place);
        Some(Self { connection, place, pool, owner: config.expected_bucket_owner.clone() })
    }

    /// Reads an object, or a range of it. A whole one comes with its checksum, if the server has one.
    pub(in crate::s3) async fn get(
        &self,
        key: &str,
        range: Option<ByteRange>,
        if_match: Option<String>,
    ) -> Result<Got<Stream>, Failed> {
        let mut asked = self.of_key(Method::GET, key, "?x-id=GetObject")?;
        asked.header(header::IF_MATCH, if_match)?;
        asked.header(header::RANGE, range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))?;
        asked.header(CHECKSUM_MODE, range.is_none().then_some(HeaderValue::from_static("ENABLED")))?;
        let mut answer = self.connection.send(&asked, &self.place, &self.pool).await?;
        if !streams("GetObject", answer.status.is_success()) {
            return Err(failed("GetObject", &mut answer).await);
        }
        let told = Told { status: answer.status.as_u16(), headers: &answer.headers };
        let content_range = told.one("content-range")?.map(ToOwned::to_owned);
        let body = Stream::new(answer.body, range.is_none().then_some(&answer.headers));
        Ok(Got { shown: told.shown()?, range: content_range, body })
    }

    /// Looks at an object, or at a part of it.
    pub(in crate::s3) async fn head(
        &self,
        key: &str,
        part: Option<i32>,
        with_checksums: bool,
    ) -> Result<Shown, Failed> {
        let query = part.map(|part| format!("?partNumber={part}"));
        let mut asked = self.of_key(Method::HEAD, key, query.as_deref().unwrap_or_default())?;
        asked.header(CHECKSUM_MODE, with_checksums.then_some(HeaderValue::from_static("ENABLED")))?;
        let mut answer = self.connection.send(&asked, &self.place, &self.pool).await?;
        succeeded("HeadObject", &mut answer).await?;
        let told = Told { status: answer.status.as_u16(), headers: &answer.headers };
        let is_archived = told.one("x-amz-archive-status")?.is_some();
        Ok(Shown { is_archived, ..told.shown()? })
    }

    /// Writes a whole object, if asked with the CRC-64/NVME of its body.
    pub(in crate::s3) async fn put(
        &self,
        key: &str,
        body: &Body,
        carried: Carried<'_>,
        guard: Guard,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        let mut asked = self.of_key(Method::PUT, key, "?x-id=PutObject")?;
        for (header, name) in [
            (Header::CacheControl, header::CACHE_CONTROL),
            (Header::ContentDisposition, header::CONTENT_DISPOSITION),
            (Header::ContentEncoding, header::CONTENT_ENCODING),
            (Header::ContentLanguage, header::CONTENT_LANGUAGE),
        ] {
            asked.header(name, carried.properties.headers.get(&header).map(String::as_str))?;
        }
        asked.header(header::CONTENT_TYPE, Some(content_type(carried.properties)))?;
        // The source's text, date or not; one that is no header value was never stored as one.
        let expires = carried.properties.headers.get(&Header::Expires);
        asked.header(header::EXPIRES, expires.and_then(|text| HeaderValue::from_str(text).ok()))?;
        for (name, value) in carried.metadata.into_iter().flatten() {
            let name = HeaderName::try_from(format!("x-amz-meta-{name}")).map_err(not_made)?;
            asked.header(name, Some(value))?;
        }
        asked.header(TAGGING, carried.tagging)?;
        asked.header(header::IF_MATCH, guard.if_match)?;
        asked.header(header::IF_NONE_MATCH, guard.if_none_match)?;
        self.write("PutObject", asked, body, with_crc).await
    }

    /// Writes a part, if asked with the CRC-64/NVME of its body.
    pub(in crate::s3) async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: &Body,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        if upload.is_empty() {
            return Err(not_made("an upload has an id"));
        }
        let mut query = format!("?x-id=UploadPart&partNumber={number}&uploadId=");
        push_encoded(&mut query, upload, false);
        let mut asked = self.of_key(Method::PUT, key, &query)?;
        asked.header(header::CONTENT_TYPE, Some("application/octet-stream"))?;
        self.write("UploadPart", asked, body, with_crc).await
    }

    /// Lists a page of objects, after a key or at the start that an earlier page told, of at most so many keys.
    pub(in crate::s3) async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        token: Option<String>,
        most: Option<u16>,
    ) -> Result<Listed<ListedObject>, Failed> {
        let mut path = self.place.path_of("");
        path.push_str("?list-type=2&encoding-type=url&prefix=");
        push_encoded(&mut path, prefix, false);
        let most = most.map(|most| most.to_string());
        for (name, value) in [("continuation-token", token), ("max-keys", most), ("start-after", after)] {
            if let Some(value) = value {
                path.extend(["&", name, "="]);
                push_encoded(&mut path, &value, false);
            }
        }
        let mut asked = Asked::new(Method::GET, path);
        asked.header(EXPECTED_OWNER, self.owner.as_deref())?;
        let mut answer = self.connection.send(&asked, &self.place, &self.pool).await?;
        let mut page = page::Page::new();
        succeeded_reading("ListObjectsV2", &mut answer, &mut page).await?;
        page.listed().map_err(|reason| unread(answer.status.as_u16(), "listing", &reason))
    }

    /// The tags of an object.
    pub(in crate::s3) async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, Failed> {
        let asked = self.of_key(Method::GET, key, "?tagging")?;
        let mut answer = self.connection.send(&asked, &self.place, &self.pool).await?;
        let body = succeeded("GetObjectTagging", &mut answer).await?;
        page::tags(&body).map_err(|reason| unread(answer.status.as_u16(), "list of tags", &reason))
    }

    fn of_key(&self, method: Method, key: &str, query: &str) -> Result<Asked, Failed> {
        // The SDK refuses these too, for nearly every operation: an object that could be written and not deleted helps
        // nobody.
        if key.trim().is_empty() {
            return Err(not_made("the key is empty, or white space"));
        }
        let mut path = self.place.path_of(key);
        path.push_str(query);
        let mut asked = Asked::new(method, path);
        asked.header(EXPECTED_OWNER, self.owner.as_deref())?;
        Ok(asked)
    }

    async fn write(
        &self,
        operation: &'static str,
        mut asked: Asked,
        body: &Body,
        with_crc: bool,
    ) -> Result<Written, Failed> {
        asked.header(header::CONTENT_LENGTH, Some(body.size().to_string()))?;
        asked.header(CHECKSUM_CRC64NVME, with_crc.then(|| crc64_header(body.crc64nvme())))?;
        asked.body = Some((body.bytes().clone(), body.sha256()));
        let mut answer = self.connection.send(&asked, &self.place, &self.pool).await?;
        succeeded(operation, &mut answer).await?;
        let told = Told { status: answer.status.as_u16(), headers: &answer.headers };
        Ok(Written {
            tag: told.one("etag")?.map(ToOwned::to_owned),
            date_s: date(&answer.headers).map(|date| date.secs()),
        })
    }
}

/// A success whose document cannot be read is no success.
fn unread(status: u16, what: &str, reason: &str) -> Failed {
    let message = Some(format!("the {what} cannot be read: {reason}"));
    Failed::Refused(Refused { status, message, ..Refused::default() })
}
