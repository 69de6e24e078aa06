//! Unfinished uploads: listing them, listing their parts, and aborting them.

use std::collections::HashSet;

use super::{
    convert::bare_tag,
    wire::{bucket::Wire, plain::ListedPart},
};
use crate::{deadline::within, operation::Operation};
use migrate_core::model::{Key, Timestamp};
use migrate_store::{ErrorKind, Part, Result, Retry, StoreError, Upload};

impl Wire {
    /// Aborts an upload and drops its parts. A missing upload counts as success.
    pub(super) async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        let request = self.server.cold().abort(self.full_key(&upload.key), &upload.id);
        let Err(error) = within(self.writes("abort upload of"), 0, request).await else { return Ok(()) };
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
            let request = self.server.cold().list_parts(self.full_key(&upload.key), &upload.id, position.clone());
            let page = within(operation, 0, request).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => return Err(self.no_upload(upload, error).await),
            };
            for listed in &page.entries {
                let garbled = || operation.error(ErrorKind::Garbled, "a part has no number or no size").on(&upload.key);
                parts.push(part(listed).ok_or_else(garbled)?);
            }
            if page.follows != Some(true) {
                return Ok(parts);
            }
            let number = |marker: &Option<String>| marker.as_ref().and_then(|marker| marker.parse::<u32>().ok());
            let next = page.next;
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
        let (mut position, mut passed) = (None, HashSet::new());
        loop {
            let request = self.server.cold().list_uploads(&full_key, position.clone());
            let page = within(operation, 0, request).await.map_err(|error| error.on(key))?;
            for upload in page.entries.into_iter().filter(|upload| upload.key.as_ref() == Some(&full_key)) {
                let begun = upload.begun_s.map(|seconds| Timestamp(seconds * 1000));
                uploads.push((Upload { key: key.clone(), id: upload.id.unwrap_or_default() }, begun));
            }
            if page.follows != Some(true) {
                return Ok(uploads);
            }
            position = page.next;
            if position.is_none() || !passed.insert(position.clone()) {
                return Err(no_end(operation).on(key));
            }
        }
    }
}

fn part(listed: &ListedPart) -> Option<Part> {
    Some(Part { number: listed.number?, size: listed.size?, tag: bare_tag(listed.tag.as_deref()).into() })
}

fn no_end(operation: Operation<'_>) -> StoreError {
    operation.error(ErrorKind::Garbled, "a page says that more follows, and not where")
}
