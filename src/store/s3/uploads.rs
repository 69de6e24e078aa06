//! Uploads that are not finished: which there are, and how they end.

use super::{
    error::Operation,
    wire::{Wire, within},
};
use crate::{
    model::{Key, Timestamp},
    store::{ErrorKind, Result, Upload},
};

impl Wire {
    /// Ends an upload and drops its parts. One that is gone already is what was asked for.
    pub(super) async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&*self.bucket)
            .key(self.full_key(&upload.key))
            .set_expected_bucket_owner(self.owner.clone())
            .upload_id(&upload.id);
        match within(self.writes("abort upload of"), 0, request.send()).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::NoUpload | ErrorKind::NotFound) => Ok(()),
            Err(error) => Err(error.on(&upload.key)),
        }
    }

    /// The uploads of one key that are begun and not finished, with the time at which each began.
    pub(super) async fn list_uploads(&self, key: &Key) -> Result<Vec<(Upload, Option<Timestamp>)>> {
        let operation = self.reads("list uploads of");
        let full_key = self.full_key(key);
        let mut uploads = Vec::new();
        let mut position = (None, None);
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
            let next = (output.next_key_marker, output.next_upload_id_marker);
            if next.0.is_none() || next == position {
                return Err(no_end(operation).on(key));
            }
            position = next;
        }
    }
}

fn no_end(operation: Operation<'_>) -> crate::store::StoreError {
    operation.error(ErrorKind::Garbled, "a page says that more follows, and not where")
}
