//! [`ObjectStore`]: what every place that holds objects can do, and what it shows of them.

use super::error::{ErrorKind, StoreError};
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

/// Whether a listing shows a key that a look, or another answer, says is not there. A 404 proves nothing: the
/// answer to HEAD has no body that could name its cause, a bucket that is gone says the same, and so does what
/// stands between us and the store. So nothing acts on "not found" before a listing has said so too.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
///
/// A key that is listed was perhaps written since, or its deletion is not listed yet: look again.
pub async fn is_listed(store: &dyn ObjectStore, key: &Key) -> Result<bool> {
    let mut listing = store.list(shard::only(key));
    while let Some(page) = listing.next().await? {
        if page.iter().any(|entry| entry.key == *key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fails, in a way that may pass, where a listing shows a key that `operation` did not find.
pub async fn must_be_gone(store: &dyn ObjectStore, operation: &'static str, key: &Key) -> Result<()> {
    if is_listed(store, key).await? {
        let detail = "an answer says that it is not there, and a listing shows it";
        return Err(StoreError::new(ErrorKind::Unavailable, operation, store.location(), detail).on(key));
    }
    Ok(())
}

/// What a store operation returns.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A place that holds objects under keys.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// Where this is, for people: `s3://california/bucket/prefix/`.
    fn location(&self) -> &str;

    /// What is known of the endpoint; [`Capabilities::unproved`] until [`probe`](Self::probe) or
    /// [`adopt`](Self::adopt).
    fn capabilities(&self) -> Capabilities;

    /// Asks the endpoint what it can do, with a scratch key that is removed again.
    async fn probe(&self) -> Result<Capabilities>;

    /// Takes what an earlier probe of the same endpoint found.
    fn adopt(&self, capabilities: Capabilities);

    /// Lists the objects of a range, ascending by key.
    fn list(&self, range: KeyRange) -> Box<dyn Listing>;

    /// Looks at one object; `None` where there is none.
    async fn head(&self, key: &Key) -> Result<Option<Head>>;

    /// The tags of an object. Asked only where [`Head::tag_count`] is not `Some(0)`.
    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>>;

    /// Reads an object, or `range` of it, at the version `pin`.
    ///
    /// Fails with [`ErrorKind::Changed`] where the object is no longer at `pin`, with
    /// [`ErrorKind::NotFound`] where it is gone.
    async fn read(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read>;

    /// Writes a whole object.
    ///
    /// Fails with [`ErrorKind::Precondition`] where `condition` does not hold. Where the endpoint does
    /// not keep conditions, [`conditional`](crate::conditional) looks right before.
    async fn put(&self, key: &Key, body: &Body, properties: &Properties, condition: &Condition) -> Result<Token>;

    /// Why this store cannot hold an object under this key; `None` where it can, as far as is known.
    /// A write under a key that it refuses fails with [`ErrorKind::KeyUnholdable`].
    fn refuses(&self, key: &Key) -> Option<&'static str>;

    /// Begins a multipart upload; its id outlives this process. `before` is told of every request, right
    /// before it leaves and after every wait for a limit.
    /// Tags are kept from here on only where [`Capabilities::upload_tags`] says so.
    async fn begin_upload(&self, key: &Key, properties: &Properties, before: &dyn BeforeSending) -> Result<Upload>;

    /// Writes part `number` (from 1), whose first byte is at `offset` of the object.
    async fn put_part(&self, upload: &Upload, number: u32, offset: u64, body: &Body) -> Result<Part>;

    /// The parts that an upload holds, ascending by number. Fails with [`ErrorKind::NoUpload`]
    /// where the upload is gone.
    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>>;

    /// Makes the object of its parts, whose digests are `evidence`. `properties` are those that the upload was
    /// begun with.
    async fn finish_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        evidence: &Evidence,
        properties: &Properties,
        condition: &Condition,
    ) -> Result<Token>;

    /// Gives the object, still at the version `pin`, these tags in place of those that it has.
    ///
    /// Fails with [`ErrorKind::Changed`] where it is another version, or none. On a store without
    /// versions a writer in the instant between the look and the tags is not seen.
    async fn set_tags(&self, key: &Key, tags: &BTreeMap<String, String>, pin: &Token) -> Result<()>;

    /// Drops an upload and its parts. An upload that is gone is no error.
    async fn abort_upload(&self, upload: &Upload) -> Result<()>;

    /// The unfinished uploads of exactly this key, with the time each began where known.
    async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>>;

    /// Deletes an object under a condition. An object that is gone is no error.
    async fn delete(&self, key: &Key, condition: &Condition) -> Result<()>;
}

/// Is told that a request is about to leave, so that its time can be recorded before it acts.
#[async_trait]
pub trait BeforeSending: Send + Sync {
    /// The request leaves once this has returned; after an error it does not, and the error is the request's.
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
    /// The next page, never empty; `None` at the end of the range. After an error the same call
    /// goes on where it failed.
    async fn next(&mut self) -> Result<Option<Vec<Entry>>>;
}

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its version.
    pub token: Token,
    /// Why it cannot be copied, where the listing already tells (a symbolic link, say).
    pub problem: Option<Box<str>>,
}

/// One object as a closer look shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its version, equal to what a listing shows.
    pub token: Token,
    /// Headers and user metadata; tags are asked separately.
    pub properties: Properties,
    /// How many tags it has, where the store says so, or where its silence can mean nothing but none.
    pub tag_count: Option<u32>,
    /// The checksums that the store keeps.
    pub checksums: Checksums,
    /// Size of the first part, where the object was made of parts and the store says so.
    pub part_size: Option<u64>,
    /// What it carries that this build cannot bring along, by the names that a plan waives.
    pub left_behind: Vec<&'static str>,
    /// It is in cold storage: it cannot be read before it is restored.
    pub archived: bool,
}

/// An object's body, or a range of it, with what came along.
#[derive(Debug, Clone)]
pub struct Read {
    /// What the response said of the object. For a range, `checksums` is empty.
    pub head: Head,
    /// Exactly the bytes asked for.
    pub bytes: Bytes,
}

/// Bytes `start..end` of an object; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// What an object carries beside its bytes. More kinds will come; code that copies or compares
/// them treats them as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Properties {
    /// Content headers and the like.
    pub headers: BTreeMap<Header, String>,
    /// User metadata; names are lower case, as S3 keeps them. Values are what a client reads: a value
    /// that comes as encoded words is kept as these words (see [`MetadataForm`](crate::MetadataForm)).
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl Properties {
    /// What a header says; `None` where it is absent, or there and says nothing.
    ///
    /// An empty value says nothing. Nor does a `Content-Type` of unspecified bytes: that is what servers
    /// show of an object that was written without one, each in its way. AWS, Ceph's gateway, moto and `MinIO`
    /// since 2021 show `binary/octet-stream`, older `MinIO` `application/octet-stream`, Garage none at all
    /// (<https://github.com/minio/minio/pull/11508>, <https://github.com/getmoto/moto/pull/4439>), and to a
    /// client an absent one means `application/octet-stream`
    /// (<https://www.rfc-editor.org/rfc/rfc9110#section-8.3-5>).
    pub fn header(&self, header: Header) -> Option<&str> {
        let value = self.headers.get(&header)?.trim();
        let unspecified = |kind: &str| value.eq_ignore_ascii_case(kind);
        let silent = value.is_empty()
            || header == Header::ContentType
                && (unspecified("binary/octet-stream") || unspecified("application/octet-stream"));
        (!silent).then_some(value)
    }

    /// Whether there is nothing to carry.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.metadata.is_empty() && self.tags.is_empty()
    }
}

/// The headers that S3 stores with an object and gives back.
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
    /// All of them.
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
    /// SHA-256 of the full object; a composite one is not taken here.
    pub sha256: Option<migrate_core::model::Sha256>,
    /// MD5 of the full object, where the `ETag` is known to be one.
    pub md5: Option<[u8; 16]>,
}

/// A multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key that the object will have.
    pub key: Key,
    /// The store's name for it.
    pub id: String,
}

/// One part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The store's tag for it.
    pub tag: String,
}

impl migrate_core::diff::Keyed for Entry {
    fn key(&self) -> &Key {
        &self.key
    }
}
