//! What asks at one scratch key: what a write keeps, which writes are refused.

use std::sync::Mutex;

use bytes::Bytes;

use super::traces::{Traces, list};
use crate::s3::{
    convert::{bare_tag, head_of, tagging_header},
    wire::{
        bucket::{How, Wire},
        plain::{Got, Guard, Shown, Written},
    },
};
use crate::{
    deadline::within,
    patience::{REFUSALS_MIN, patiently, refused},
};
use migrate_core::{digest::Body, model::Key};
use migrate_store::{ErrorKind, Header, MetadataForm, Properties, Result, Upload, UploadTags};

pub(super) const CONTENT: &[u8] =
    b"A scratch object of `migrate`, which asks what this endpoint can do. Safe to delete.\n";

/// A tag that needs encoding.
pub(super) const TAG: (&str, &str) = ("migrate-probe", "a b");

/// What asks at one scratch key.
pub(super) struct Probe<'a> {
    pub(super) wire: &'a Wire,
    pub(super) key: Key,
    pub(super) body: Body,
    /// Uploads that were begun and not finished.
    pub(super) uploads: Mutex<Vec<Upload>>,
    pub(super) traces: &'a Traces,
}

/// What comes back of what a write carries.
pub(super) struct Kept {
    /// Headers and metadata, of a write and of an upload.
    pub(super) properties: bool,
    /// Whether tags do; if so, whether HEAD and GET show their number.
    pub(super) tags: Option<bool>,
    pub(super) upload_tags: UploadTags,
}

/// What becomes of a CRC-64/NVME that is sent along.
pub(super) struct Checksums {
    /// Whether it is shown again.
    pub(super) kept: bool,
    pub(super) wrong_refused: bool,
}

/// The properties of the scratch object, to see which of them survive.
pub(super) fn plain() -> Properties {
    Properties {
        headers: [(Header::ContentType, "text/x-migrate-probe".to_owned())].into(),
        metadata: [("migrate-probe".to_owned(), "1".to_owned())].into(),
        tags: [].into(),
    }
}

impl Probe<'_> {
    /// The scratch object is there as [`plain`] describes it.
    pub(super) async fn what_is_kept(&self) -> Result<Kept> {
        // Before any other write, which may carry less.
        let head = self.head().await?;
        let tags = Box::pin(self.keeps_tags()).await?;
        let upload = self.what_an_upload_keeps(tags.is_some()).await?;
        Ok(Kept { properties: head == plain() && upload.properties, tags, upload_tags: upload.tags })
    }

    /// Writes the scratch object.
    pub(super) async fn write(
        &self,
        body: &Body,
        properties: &Properties,
        guard: Guard,
        with_crc: bool,
        refusals: &[ErrorKind],
    ) -> Result<Written> {
        self.traces.keep(self.wire.full_key(&self.key), true);
        let how = How { with_crc, metadata: MetadataForm::Raw };
        let request = || self.wire.put(&self.key, body, properties, guard.clone(), how);
        patiently(refusals, request).await
    }

    /// How metadata that is not ASCII is shown: as raw UTF-8 and as an encoded word.
    pub(super) async fn metadata(&self) -> Result<MetadataForm> {
        const RAW: &str = "caf\u{e9}";
        // Not the word that an encoder would make of it: if it comes back, it was kept, not made again.
        const WORD: &str = "=?utf-8?Q?ca=66=C3=A9?=";
        let refusals =
            [ErrorKind::Other, ErrorKind::Unsupported, ErrorKind::Credentials, ErrorKind::Denied, ErrorKind::Corrupt];
        let carrying = |metadata: &[(&str, &str)]| Properties {
            metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Properties::default()
        };
        let both = carrying(&[("migrate-raw", RAW), ("migrate-word", WORD)]);
        if self.refuses_each_time(&self.body, &both, false, &refusals).await? {
            let word = carrying(&[("migrate-word", WORD)]);
            if self.refuses_each_time(&self.body, &word, false, &refusals).await? {
                return Ok(MetadataForm::Ascii);
            }
        }
        let metadata = self.read().await?.shown.metadata;
        let shown = |name| metadata.get(name).map(String::as_str);
        let (raw, word) = (shown("migrate-raw"), shown("migrate-word"));
        let means = |shown: Option<&str>| shown.is_some_and(|shown| MetadataForm::Words.reads_alike(shown, RAW));
        Ok(if raw == Some(RAW) && word == Some(WORD) {
            MetadataForm::Raw
        } else if means(word) && (word != Some(WORD) || means(raw)) {
            MetadataForm::Words
        } else {
            MetadataForm::Ascii
        })
    }

    /// The endpoint must refuse a body that is not the signed one.
    pub(super) async fn refuses_wrong_body(&self) -> Result<bool> {
        let wrong = self.body.with_bytes_damaged();
        // Credentials that expire just now look like a wrong signature.
        let refusals = [ErrorKind::Corrupt, ErrorKind::Credentials, ErrorKind::Other];
        self.refuses_each_time(&wrong, &Properties::default(), false, &refusals).await
    }

    /// Whether a write is refused each time. Damage on the way is refused too, but not every time. One accepted
    /// write settles it.
    async fn refuses_each_time(
        &self,
        body: &Body,
        properties: &Properties,
        with_crc: bool,
        refusals: &[ErrorKind],
    ) -> Result<bool> {
        for _ in 0..REFUSALS_MIN {
            let answer = self.write(body, properties, Guard::default(), with_crc, refusals).await;
            if !refused(answer.map(drop), refusals)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a CRC-64/NVME is shown again, and whether a wrong one is refused.
    pub(super) async fn checksums(&self) -> Result<Checksums> {
        let properties = &plain();
        let refusals = [ErrorKind::Corrupt, ErrorKind::Other, ErrorKind::Unsupported];
        if self.refuses_each_time(&self.body, properties, true, &refusals).await? {
            return Ok(Checksums { kept: false, wrong_refused: false });
        }
        let shown = self.looked_at().await?;
        let size = shown.length;
        let kept = size.and_then(|size| head_of(shown, size).checksums.crc64nvme) == Some(self.body.crc64nvme());
        let wrong = self.body.with_crc_damaged();
        let wrong_refused =
            self.refuses_each_time(&wrong, properties, true, &[ErrorKind::Corrupt, ErrorKind::Other]).await?;
        Ok(Checksums { kept: kept && wrong_refused, wrong_refused })
    }

    /// Whether tags come back; if so, whether HEAD and GET show their number.
    async fn keeps_tags(&self) -> Result<Option<bool>> {
        let tagged = Properties { tags: [(TAG.0.to_owned(), TAG.1.to_owned())].into(), ..Default::default() };
        debug_assert!(tagging_header(&tagged.tags).is_some());
        // The identity may lack the right to tag, which has the same effect.
        let unable = [ErrorKind::Unsupported, ErrorKind::Other, ErrorKind::Denied];
        let answer = self.write(&self.body, &tagged, Guard::default(), false, &unable).await;
        if refused(answer.map(drop), &unable)? {
            return Ok(None);
        }
        let (shown, read, looked_at) = tokio::join!(self.shows_tags(&unable), self.read(), self.looked_at());
        if !shown? {
            return Ok(None);
        }
        // Some servers count on GET alone.
        Ok(Some(read?.shown.tag_count == Some(1) && looked_at?.tag_count == Some(1)))
    }

    /// Whether the scratch object has its tag.
    pub(super) async fn shows_tags(&self, unable: &[ErrorKind]) -> Result<bool> {
        let tags = || self.wire.server.tags(self.wire.full_key(&self.key));
        match patiently(unable, || within(self.wire.reads("read tags of"), 0, tags())).await {
            Ok(tags) => Ok(tags.get(TAG.0).is_some_and(|value| value == TAG.1)),
            Err(error) if unable.contains(&error.kind()) || error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn looked_at(&self) -> Result<Shown> {
        let look = || self.wire.server.head(self.wire.full_key(&self.key), None, true);
        patiently(&[], || within(self.wire.reads("look at"), 0, look())).await
    }

    pub(super) async fn head(&self) -> Result<Properties> {
        let mut properties = head_of(self.read().await?.shown, CONTENT.len() as u64).properties;
        // Some servers add headers of their own; only ours must have survived.
        properties.headers.retain(|header, _| *header == Header::ContentType);
        Ok(properties)
    }

    pub(super) async fn read(&self) -> Result<Got<Bytes>> {
        patiently(&[], || self.wire.get(&self.key, None, None)).await
    }

    /// The current tag of the scratch object, without its quotes; `None` if there is no object.
    pub(super) async fn tag_now(&self) -> Result<Option<Box<str>>> {
        match self.read().await {
            Ok(read) => Ok(Some(bare_tag(read.shown.tag.as_deref()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the scratch object, once.
    pub(super) async fn delete(&self, guard: Guard) -> Result<()> {
        self.traces
            .delete(self.wire, &self.wire.full_key(&self.key), None, guard)
            .await
            .map_err(|error| error.on(&self.key))
    }

    /// The existing full keys under the scratch name.
    pub(super) async fn list(&self, slash: &str) -> Result<Vec<String>> {
        list(self.wire, &self.key, slash).await
    }
}
