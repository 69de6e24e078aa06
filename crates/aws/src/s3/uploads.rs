//! Unfinished uploads: listing them, listing their parts, and aborting them.

use std::collections::HashSet;

use super::{
    convert::{bare_tag, size},
    error::Operation,
    wire::{Wire, within},
};
use migrate_core::model::{Key, Timestamp};
use migrate_store::{ErrorKind, Part, Result, Retry, StoreError, Upload};

impl Wire {
    /// Aborts an upload and drops its parts. A missing upload counts as success.
    pub(super) async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&*self.bucket)
            .key(self.full_key(&upload.key))
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(&upload.id);
        let Err(error) = within(self.writes("abort upload of"), 0, request.send()).await else { return Ok(()) };
        match self.no_upload(upload, error).await {
            error if error.kind() == ErrorKind::NoUpload => Ok(()),
            error => Err(error),
        }
    }

    /// The meaning of an error of an operation on an upload: a 404 is about the upload, not the object. If it does
    /// not say so itself, it is believed only if a list does not show the upload.
    pub(super) async fn no_upload(&self, upload: &Upload, error: StoreError) -> StoreError {
        let error = error.on(&upload.key);
        if error.kind() != ErrorKind::NotFound {
            return error;
        }
        match self.list_uploads(&upload.key).await {
            Ok(uploads) if uploads.iter().any(|(listed, _)| listed.id == upload.id) => {
                error.of_kind(ErrorKind::Unavailable)
            }
            Err(failed) if failed.kind().retry() != Retry::Permanent => failed,
            // The server, or the identity, lists no uploads: the 404 is the only evidence.
            Ok(_) | Err(_) => error.of_kind(ErrorKind::NoUpload),
        }
    }

    /// The parts that the upload holds, ascending by number.
    pub(super) async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        let operation = self.reads("list parts of");
        let mut parts = Vec::new();
        let mut position = None;
        loop {
            let request = self
                .client
                .list_parts()
                .bucket(&*self.bucket)
                .key(self.full_key(&upload.key))
                .set_expected_bucket_owner(self.owner.clone())
                .upload_id(&upload.id)
                .set_part_number_marker(position.clone());
            let page = within(operation, 0, request.send()).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => return Err(self.no_upload(upload, error).await),
            };
            for listed in page.parts() {
                let garbled = || operation.error(ErrorKind::Garbled, "a part has no number or no size").on(&upload.key);
                parts.push(part(listed).ok_or_else(garbled)?);
            }
            if page.is_truncated() != Some(true) {
                return Ok(parts);
            }
            let number = |marker: &Option<String>| marker.as_ref().and_then(|marker| marker.parse::<u32>().ok());
            let next = page.next_part_number_marker;
            if number(&next).is_none() || number(&next) <= number(&position) {
                return Err(no_end(operation).on(&upload.key));
            }
            position = next;
        }
    }

    /// The unfinished uploads of one key, with the start time of each.
    pub(super) async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        let operation = self.reads("list uploads of");
        let full_key = self.full_key(key);
        let mut uploads = Vec::new();
        let (mut position, mut passed) = ((None, None), HashSet::new());
        loop {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&*self.bucket)
                .prefix(&full_key)
                .set_expected_bucket_owner(self.owner.clone())
                .set_key_marker(position.0.clone())
                .set_upload_id_marker(position.1.clone());
            let output = within(operation, 0, request.send()).await.map_err(|error| error.on(key))?;
            for upload in output.uploads().iter().filter(|upload| upload.key() == Some(&full_key)) {
                let begun = upload.initiated().map(|moment| Timestamp(moment.secs() * 1000));
                let id = upload.upload_id().unwrap_or_default().to_owned();
                uploads.push((Upload { key: key.clone(), id }, begun));
            }
            if output.is_truncated() != Some(true) {
                return Ok(uploads);
            }
            position = (output.next_key_marker, output.next_upload_id_marker);
            if position.0.is_none() || !passed.insert(position.clone()) {
                return Err(no_end(operation).on(key));
            }
        }
    }
}

fn part(listed: &aws_sdk_s3::types::Part) -> Option<Part> {
    let number = u32::try_from(listed.part_number()?).ok()?;
    Some(Part { number, size: size(listed.size())?, tag: bare_tag(listed.e_tag()).into() })
}

fn no_end(operation: Operation<'_>) -> StoreError {
    operation.error(ErrorKind::Garbled, "a page says that more follows, and not where")
}
