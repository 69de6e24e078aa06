//! What a multipart upload keeps of its begin, and how the conditions of its finish are tested.

use super::{
    ask::{CONTENT, Probe, TAG, plain},
    traces::held,
};
use crate::s3::{
    convert::{bare_tag, sent_metadata, tagging_header},
    wire::{
        bucket::How,
        plain::{Carried, Guard},
    },
};
use crate::{
    deadline::within,
    patience::{afresh, patiently},
};
use migrate_store::{ErrorKind, MetadataForm, Part, Properties, Result, Upload, UploadTags};

/// Errors of an endpoint without tags, or of an identity without the right.
const UNABLE: [ErrorKind; 3] = [ErrorKind::Unsupported, ErrorKind::Other, ErrorKind::Denied];

/// The properties that survive from an upload's begin.
pub(super) struct UploadKeeps {
    /// Whether headers and user metadata survive.
    pub(super) properties: bool,
    pub(super) tags: UploadTags,
}

impl Probe<'_> {
    /// Writes the scratch object once; the caller handles a lost answer.
    pub(super) async fn write_once(&self, guard: Guard) -> Result<Option<String>> {
        let how = How { with_crc: false, metadata: MetadataForm::Raw };
        Ok(self.wire.put(&self.key, &self.body, &plain(), guard, how).await?.tag)
    }

    /// Whether multipart uploads can be begun at all.
    pub(super) async fn takes_uploads(&self) -> Result<bool> {
        match self.begin_plain().await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Denied) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn begin_plain(&self) -> Result<Upload> {
        let plain = plain();
        patiently(&[], || self.begin(&plain)).await
    }

    async fn begin(&self, properties: &Properties) -> Result<Upload> {
        let operation = self.wire.writes("begin upload of");
        let metadata = sent_metadata(properties, MetadataForm::Ascii, operation)?;
        let carried = Carried { properties, metadata, tagging: tagging_header(&properties.tags) };
        let request = self.wire.server.cold().begin(self.wire.full_key(&self.key), carried, false);
        let id = within(operation, 0, request).await?;
        let upload = Upload { key: self.key.clone(), id: id.unwrap_or_default() };
        held(&self.uploads).push(upload.clone());
        Ok(upload)
    }

    /// Finishes an upload of one part under a condition. A refused upload is left for the next finish, or for the
    /// end of the probe. An upload that is gone no longer counts, and the next finish begins another.
    pub(super) async fn finish(&self, guard: Guard) -> Result<()> {
        let open = held(&self.uploads).last().cloned();
        let upload = match open {
            Some(upload) => upload,
            None => self.begin_plain().await?,
        };
        match self.complete(&upload, guard).await {
            // A refusal, or an earlier lost answer, has used it up.
            Err(error) if matches!(error.kind(), ErrorKind::NoUpload | ErrorKind::NotFound) => {
                self.forget(&upload);
                Err(error.of_kind(ErrorKind::Unavailable))
            }
            answer => answer,
        }
    }

    async fn complete(&self, upload: &Upload, guard: Guard) -> Result<()> {
        let written = patiently(&[], || self.wire.put_part(upload, 1, &self.body, false)).await?;
        let parts = [Part { number: 1, size: self.body.size(), tag: bare_tag(written.tag.as_deref()).into() }];
        let request = self.wire.server.cold().complete(self.wire.full_key(&self.key), &upload.id, &parts, None, guard);
        match within(self.wire.writes("finish upload of"), CONTENT.len() as u64, request).await {
            Ok(_) => {}
            // Done, with an answer in a form that is not understood.
            Err(error) if error.kind() == ErrorKind::Garbled => {}
            Err(error) => return Err(error),
        }
        self.forget(upload);
        Ok(())
    }

    fn forget(&self, upload: &Upload) {
        held(&self.uploads).retain(|open| open.id != upload.id);
    }

    /// Aborts the unfinished uploads. Only the endpoint knows the uploads whose begin lost its answer, and those of
    /// an interrupted probe.
    pub(super) async fn abort_uploads(&self) -> Result<()> {
        let mut uploads = held(&self.uploads).clone();
        let mut failed = None;
        match patiently(&[], || self.wire.list_uploads(&self.key)).await {
            Ok(listed) => uploads.extend(listed.into_iter().map(|(upload, _)| upload)),
            // The endpoint does not list uploads, or the identity may not.
            Err(error) if UNABLE.contains(&error.kind()) => {}
            Err(error) => failed = Some(error),
        }
        for upload in uploads {
            match patiently(&[], || self.wire.abort_upload(&upload)).await {
                Ok(()) => self.forget(&upload),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The properties that an object of parts has from its upload's begin.
    pub(super) async fn what_an_upload_keeps(&self, tags: bool) -> Result<UploadKeeps> {
        let mut begun_with = plain();
        if tags {
            begun_with.tags.insert(TAG.0.to_owned(), TAG.1.to_owned());
        }
        if !afresh(|| self.make(&begun_with)).await? {
            return Ok(UploadKeeps { properties: true, tags: UploadTags::Lost });
        }
        let shows_tags = async { Ok(tags && self.shows_tags(&UNABLE).await?) };
        let (head, shows_tags) = tokio::try_join!(self.head(), shows_tags)?;
        let properties = head == plain();
        let tags = if !tags {
            UploadTags::Lost
        } else if shows_tags {
            UploadTags::AtBegin
        } else if self.sets_tags(&begun_with).await? {
            UploadTags::Afterwards
        } else {
            UploadTags::Lost
        };
        Ok(UploadKeeps { properties, tags })
    }

    /// Writes the scratch object as one part; `false` if this endpoint cannot.
    async fn make(&self, begun_with: &Properties) -> Result<bool> {
        let upload = match patiently(&UNABLE, || self.begin(begun_with)).await {
            Ok(upload) => upload,
            Err(error) if UNABLE.contains(&error.kind()) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.complete(&upload, Guard::default()).await.map(|()| true)
    }

    /// Whether tags can be set on an existing object.
    async fn sets_tags(&self, tagged: &Properties) -> Result<bool> {
        let tag = || self.wire.server.cold().set_tags(self.wire.full_key(&self.key), None, &tagged.tags);
        match patiently(&UNABLE, || within(self.wire.writes("set tags of"), 0, tag())).await {
            Ok(()) => self.shows_tags(&UNABLE).await,
            Err(error) if UNABLE.contains(&error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
