//! One bucket and prefix at one server: what is asked of it, within which time, and what a failure means.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    plain::{Carried, Got, Guard, Listed, ListedObject, Written},
    server::{Server, Stream},
};
use crate::{
    deadline::{seconds_for, within},
    failed::Cause,
    operation::Operation,
    s3::{
        convert::{quoted, sent_metadata, tagging_header},
        error::S3,
    },
};
use migrate_core::{
    digest::Body,
    model::{Key, Token},
    report::{self as words, Grouped},
};
use migrate_store::{
    ByteRange, Condition, ErrorKind, Honoured, IfMatch, MetadataForm, Properties, Result, StoreError, Upload,
    buffers::Buffer,
};

/// One bucket and prefix at one endpoint.
#[derive(Clone)]
pub(in crate::s3) struct Wire {
    pub(in crate::s3) server: Server,
    pub(in crate::s3) prefix: Arc<str>,
    pub(in crate::s3) location: Arc<str>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Wire {
    /// The key in the bucket, prefix included.
    pub(in crate::s3) fn full_key(&self, key: &Key) -> String {
        format!("{}{}", self.prefix, key.as_str())
    }

    pub(in crate::s3) fn reads(&self, name: &'static str) -> Operation<'_> {
        Operation { name, location: &self.location, writes: false, dialect: &S3 }
    }

    pub(in crate::s3) fn writes(&self, name: &'static str) -> Operation<'_> {
        Operation { name, location: &self.location, writes: true, dialect: &S3 }
    }

    /// Reads an object or a range of it. The body is exactly as long as the response says and, for a whole object,
    /// agrees with the checksum in the response, if any.
    pub(in crate::s3) async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        pin: Option<&Token>,
    ) -> Result<Got<Bytes>> {
        let operation = self.reads("read");
        let changed = || operation.error(ErrorKind::Changed, "it is no longer the version first seen");
        let request = self.server.get(self.full_key(key), range, pin.map(|pin| quoted(&pin.tag)));
        let Got { shown, range: content_range, body } =
            within(operation, 0, request).await.map_err(|error| match error.kind() {
                ErrorKind::Precondition => changed(),
                _ => error,
            })?;
        // The budget has room for the requested bytes. A server that ignores the range or the condition, or does
        // not say how much it sends, must not make us hold more.
        let asked = range.map(|range| range.end - range.start).or(pin.map(|pin| pin.size));
        match (asked, shown.length) {
            (Some(asked), Some(length)) if length > asked && range.is_some() => {
                let detail = format!("{} come where {} were asked for", words::bytes(length), Grouped(asked));
                return Err(operation.error(ErrorKind::Corrupt, detail));
            }
            (Some(asked), Some(length)) if length > asked => return Err(changed()),
            _ => {}
        }
        let length = shown.length.or(asked);
        let seconds = seconds_for(length.unwrap_or(0));
        let bytes = tokio::time::timeout(Duration::from_secs(seconds), collect(operation, body, length))
            .await
            .map_err(|_| operation.timed_out(seconds))??;
        Ok(Got { shown, range: content_range, body: bytes })
    }

    /// Writes a whole object.
    pub(in crate::s3) async fn put(
        &self,
        key: &Key,
        body: &Body,
        properties: &Properties,
        guard: Guard,
        how: How,
    ) -> Result<Written> {
        let operation = self.writes("write");
        let metadata = sent_metadata(properties, how.metadata, operation)?;
        let carried = Carried { properties, metadata, tagging: tagging_header(&properties.tags) };
        let request = self.server.put(self.full_key(key), body, carried, guard, how.with_crc);
        within(operation, body.size(), request).await
    }

    /// Writes a part.
    pub(in crate::s3) async fn put_part(
        &self,
        upload: &Upload,
        number: u32,
        body: &Body,
        with_crc: bool,
    ) -> Result<Written> {
        let request = self.server.put_part(self.full_key(&upload.key), &upload.id, number, body, with_crc);
        within(self.writes("write part of"), body.size(), request).await
    }

    /// Lists one page of the objects under the prefix, of at most so many keys.
    pub(in crate::s3) async fn list(
        &self,
        after: Option<String>,
        token: Option<String>,
        most: Option<u16>,
    ) -> Result<Listed<ListedObject>> {
        within(self.reads("list"), 0, self.server.list(&self.prefix, after, token, most)).await
    }
}

/// Collects a body of exactly `length` bytes, if the response told the length.
async fn collect(operation: Operation<'_>, mut body: Stream, length: Option<u64>) -> Result<Bytes> {
    let broke = |error: Cause| -> StoreError {
        operation.error(ErrorKind::Unavailable, "the body broke off, or fails its checksum").because(error)
    };
    let Some(first) = body.next().await.map_err(broke)? else {
        return of_right_length(operation, Bytes::new(), length);
    };
    if length == Some(first.len() as u64) {
        // The usual small object arrives in one piece. The stream must still be driven to its end, which compares
        // the checksum.
        return match body.next().await.map_err(broke)? {
            None => Ok(first),
            Some(_) => Err(operation.error(ErrorKind::Corrupt, "the body runs past its length")),
        };
    }
    let capacity = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(first.len());
    let mut bytes = Buffer::with_capacity(capacity);
    bytes.extend_from_slice(&first);
    while let Some(chunk) = body.next().await.map_err(broke)? {
        if length.is_some_and(|length| (bytes.len() + chunk.len()) as u64 > length) {
            return Err(operation.error(ErrorKind::Corrupt, "the body runs past its length"));
        }
        bytes.extend_from_slice(&chunk);
    }
    of_right_length(operation, bytes.freeze(), length)
}

fn of_right_length(operation: Operation<'_>, bytes: Bytes, length: Option<u64>) -> Result<Bytes> {
    match length {
        Some(length) if length != bytes.len() as u64 => {
            let detail = format!("the body ends after {} of {}", Grouped(bytes.len() as u64), words::bytes(length));
            Err(operation.error(ErrorKind::Corrupt, detail))
        }
        _ => Ok(bytes),
    }
}

/// Every write takes its condition from [`Guard::of`].
impl Guard {
    /// The headers of a condition, in the form that the endpoint keeps. A condition that it does not keep is not
    /// sent: `store::conditional` has looked.
    pub(in crate::s3) fn of(condition: &Condition, honoured: Honoured) -> Self {
        match condition {
            Condition::Absent if honoured.absent => Self { if_none_match: Some("*".to_owned()), ..Self::default() },
            Condition::Matches(token) => Self::tag(&token.tag, honoured.matches),
            Condition::None | Condition::Absent => Self::default(),
        }
    }

    /// The `If-Match` header for the tag of a version, given without its quotes.
    pub(in crate::s3) fn tag(tag: &str, form: IfMatch) -> Self {
        let if_match = match form {
            IfMatch::Quoted => Some(quoted(tag)),
            IfMatch::Bare => Some(tag.to_owned()),
            IfMatch::Ignored => None,
        };
        Self { if_match, ..Self::default() }
    }
}

/// What a whole write sends along with the body.
#[derive(Debug, Clone, Copy)]
pub(in crate::s3) struct How {
    /// Whether to send the CRC-64/NVME of the body.
    pub(in crate::s3) with_crc: bool,
    /// How metadata that is not ASCII is sent.
    pub(in crate::s3) metadata: MetadataForm,
}
