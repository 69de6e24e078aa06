//! [`ObjectStore`]: the abilities of every place that holds objects, and what it shows of them.

use super::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
};
use async_trait::async_trait;
use bytes::Bytes;
use migrate_core::{
    capability::{Capabilities, Condition},
    digest::Body,
    model::{Evidence, Key, KeyRange, Timestamp, Token},
    shard,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Debug};

/// Whether a listing shows a key that a look, or another answer, reports as absent. A 404 proves nothing: the
/// answer to HEAD has no body that could name its cause, a missing bucket answers the same, and so may a proxy
/// between us and the store. So nothing acts on "not found" before a listing confirms it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
///
/// If the key is listed, a writer may have written it since, or the listing does not show its deletion yet: look again.
pub async fn is_listed(store: &dyn ObjectStore, key: &Key) -> Result<bool> {
    let mut listing = store.list(shard::only(key));
    while let Some(page) = listing.next().await? {
        if page.iter().any(|entry| entry.key == *key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fails, in a way that may pass, if a listing shows a key that `operation` did not find.
pub async fn must_be_gone(store: &dyn ObjectStore, operation: &'static str, key: &Key) -> Result<()> {
    if is_listed(store, key).await? {
        let detail = "an answer says that it is not there, and a listing shows it";
        return Err(StoreError::new(ErrorKind::Unavailable, operation, store.location(), detail).on(key));
    }
    Ok(())
}

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A place that holds objects under keys.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// The location, for people: `s3://california/bucket/prefix/`.
    fn location(&self) -> &str;

    /// Which server this is, and as whom this process speaks to it.
    fn endpoint(&self) -> &EndpointId;

    /// What is known of the endpoint; [`Capabilities::unproved`] until [`probe`](Self::probe) or
    /// [`adopt`](Self::adopt).
    fn capabilities(&self) -> Capabilities;

    /// Tests the abilities of the endpoint under a scratch key, which it removes again.
    async fn probe(&self) -> Result<Capabilities>;

    /// Takes over the result of an earlier probe of the same endpoint.
    fn adopt(&self, capabilities: Capabilities);

    /// Lists the objects of a range in ascending key order. An empty range lists nothing.
    fn list(&self, range: KeyRange) -> Box<dyn Listing>;

    /// The first object of a range, without a page of those after it if the store can do so.
    async fn first(&self, range: KeyRange) -> Result<Option<Entry>> {
        let page = self.list(range).next().await?;
        Ok(page.and_then(|page| page.into_iter().next()))
    }

    /// Looks at one object; `None` if it is absent.
    async fn head(&self, key: &Key) -> Result<Option<Head>>;

    /// The tags of an object. Called only if [`Head::tag_count`] is not `Some(0)`.
    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>>;

    /// Reads an object, or `range` of it, at the version `pin`.
    ///
    /// Fails with [`ErrorKind::Changed`] if the object is no longer at `pin`, with [`ErrorKind::NotFound`] if it is
    /// gone.
    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read>;

    /// Writes a whole object.
    ///
    /// Fails with [`ErrorKind::Precondition`] if `condition` does not hold. If the endpoint does not keep
    /// conditions, [`conditional`](crate::conditional) looks right before.
    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token>;

    /// Why this store cannot hold an object under this key; `None` if it can, as far as is known. A write under a
    /// refused key fails with [`ErrorKind::KeyUnholdable`].
    fn refuses(&self, key: &Key) -> Option<&'static str>;

    /// Begins a multipart upload; its id outlives this process. `before` is called for every request, right before
    /// it leaves and after every wait for a limit.
    /// Tags are kept from here on only if [`Capabilities::upload_tags`] says so.
    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload>;

    /// Writes part `number` (from 1), whose first byte is at `offset` of the object.
    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part>;

    /// The parts that an upload holds, ascending by number. Fails with [`ErrorKind::NoUpload`] if the upload is gone.
    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>>;

    /// Joins the parts into the object; `evidence` holds their digests. `properties` are those of the upload's begin.
    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token>;

    /// Replaces the tags of the object, which must still be at the version `pin`.
    ///
    /// Fails with [`ErrorKind::Changed`] if the object has another version, or is gone. On a store without versions
    /// a write in the instant between the look and the tags goes unnoticed.
    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()>;

    /// Drops an upload and its parts. A missing upload is no error.
    async fn abort_upload(&self, upload: &Upload) -> Result<()>;

    /// The unfinished uploads of exactly this key, with the start time of each if known.
    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>>;

    /// Deletes an object under a condition. A missing object is no error.
    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()>;
}

/// Called right before a request leaves, so that its time can be recorded before it acts.
#[async_trait]
pub trait BeforeSending: Send + Sync {
    /// The request leaves after this returns. After an error it does not leave, and the error becomes the request's.
    async fn sending(&self) -> Result<()>;
}

/// Records nothing.
#[async_trait]
impl BeforeSending for () {
    async fn sending(&self) -> Result<()> {
        Ok(())
    }
}

/// A listing under way.
#[async_trait]
pub trait Listing: Send {
    /// The next page, never empty; `None` at the end of the range. After an error the same call goes on at the
    /// failed place.
    async fn next(&mut self) -> Result<Option<Vec<Entry>>>;
}

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key relative to the store's prefix.
    pub key: Key,
    /// Version as the listing shows it.
    pub token: Token,
    /// Why it cannot be copied, if the listing already tells (a symbolic link, say).
    pub problem: Option<Box<str>>,
}

/// One object as a closer look shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Version, equal to the one in a listing.
    pub token: Token,
    /// Headers and user metadata; tags need a separate request.
    pub properties: Properties,
    /// Number of tags, if the store tells it, or if its silence can only mean none.
    pub tag_count: Option<u32>,
    /// The checksums that the store keeps.
    pub checksums: Checksums,
    /// Size of the first part, if the object was written in parts and the store tells it.
    pub part_size: Option<u64>,
    /// Properties that this build cannot copy, by the names that a plan waives.
    pub left_behind: Vec<&'static str>,
    /// In cold storage: it must be restored before it can be read.
    pub archived: bool,
}

/// An object's body, or a range of it, with its head.
#[derive(Debug, Clone)]
pub struct Read {
    /// The head from the same response. For a range, `checksums` is empty.
    pub head: Head,
    /// Exactly the requested bytes.
    pub bytes: Bytes,
}

/// Bytes `start..end` of an object; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset one past the last byte.
    pub end: u64,
}

/// Everything an object carries beside its bytes. More kinds will come; code that copies or compares them treats
/// them as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Properties {
    /// Values of the stored headers.
    pub headers: BTreeMap<Header, String>,
    /// User metadata. Names are lower case, as S3 keeps them. Values are what a client reads: encoded words stay as
    /// these words (see [`MetadataForm`](migrate_core::capability::MetadataForm)).
    pub metadata: BTreeMap<String, String>,
    /// Object tags, by name.
    pub tags: BTreeMap<String, String>,
}

impl Properties {
    /// The meaning of a header; `None` if it is absent or empty of meaning.
    ///
    /// An empty value means nothing, and so does a `Content-Type` of unspecified bytes: servers show it for an
    /// object that was written without one, each in its own way. AWS, Ceph's gateway, moto and `MinIO` since 2021
    /// show `binary/octet-stream`, older `MinIO` `application/octet-stream`, Garage none at all
    /// (<https://github.com/minio/minio/pull/11508>, <https://github.com/getmoto/moto/pull/4439>), and to a client
    /// an absent one means `application/octet-stream` (<https://www.rfc-editor.org/rfc/rfc9110#section-8.3-5>).
    pub fn header(&self, header: Header) -> Option<&str> {
        let value = self.headers.get(&header)?.trim();
        let unspecified = |kind: &str| value.eq_ignore_ascii_case(kind);
        let silent = value.is_empty()
            || header == Header::ContentType
                && (unspecified("binary/octet-stream") || unspecified("application/octet-stream"));
        (!silent).then_some(value)
    }

    /// Whether the object carries nothing beside its bytes.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.metadata.is_empty() && self.tags.is_empty()
    }
}

/// The headers that S3 stores with an object and returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Header {
    /// `Cache-Control`
    CacheControl,
    /// `Content-Disposition`
    ContentDisposition,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Content-Language`
    ContentLanguage,
    /// `Content-Type`
    ContentType,
    /// `Expires`, as the text that was stored
    Expires,
}

impl Header {
    /// All headers, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::CacheControl,
        Self::ContentDisposition,
        Self::ContentEncoding,
        Self::ContentLanguage,
        Self::ContentType,
        Self::Expires,
    ];
}

/// Checksums that a store keeps of an object, as raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checksums {
    /// CRC-64/NVME of the full object.
    pub crc64nvme: Option<u64>,
    /// SHA-256 of the full object; never a composite one.
    pub sha256: Option<migrate_core::model::Sha256>,
    /// MD5 of the full object, if the `ETag` is known to be one.
    pub md5: Option<[u8; 16]>,
}

/// A multipart upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Key of the future object.
    pub key: Key,
    /// Upload id from the store.
    pub id: String,
}

/// One part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Part number, from 1.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// Tag that the store gave the part.
    pub tag: String,
}

impl migrate_core::diff::Keyed for Entry {
    fn key(&self) -> &Key {
        &self.key
    }
}
