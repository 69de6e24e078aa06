//! The unfinished uploads of a bucket: begun, filled, completed, aborted, and shown to tests.

use std::{collections::BTreeMap, sync::Arc};

use s3s::{S3Error, S3Result, s3_error};

use super::{
    objects::{Content, Stored, now},
    state::{Buckets, State},
    upload::{Completion, Declared, Part, Upload},
};
use migrate_fault::mix;

/// An unfinished upload, as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The key that the object would have.
    pub key: String,
    /// The upload's id.
    pub id: String,
    /// Number and size in bytes of the parts that arrived.
    pub parts: Vec<(i32, u64)>,
}

impl Buckets {
    /// A bucket's unfinished uploads, by key.
    pub fn uploads(&self, bucket: &str) -> Vec<UnfinishedUpload> {
        let state = self.read();
        let uploads = state.buckets.get(bucket).into_iter().flat_map(|bucket| &bucket.uploads);
        uploads
            .map(|((key, id), upload)| UnfinishedUpload {
                key: key.to_string(),
                id: id.clone(),
                parts: upload.parts.iter().map(|(number, part)| (*number, part.data.size)).collect(),
            })
            .collect()
    }
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
         completed."
    )
}

impl State {
    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<&Upload> {
        let uploads = &self.bucket(bucket)?.uploads;
        uploads.get(&(key.into(), id.to_owned())).ok_or_else(no_such_upload)
    }

    pub(super) fn begin_upload(
        &mut self,
        bucket: &str,
        key: &str,
        template: Content,
        declared: Option<Declared>,
    ) -> S3Result<String> {
        let sequence = self.next_sequence();
        let id = format!("{sequence:016x}{:016x}", mix(sequence));
        let bucket = self.bucket_mut(bucket)?;
        // The bucket's own retention begins once the object is there; the upload's is checked now.
        bucket.settings.lock_new(&mut template.lock.clone())?;
        let upload = Upload { initiated: now(), template, declared, parts: BTreeMap::new() };
        bucket.uploads.insert((key.into(), id.clone()), upload);
        Ok(id)
    }

    pub(super) fn put_part(&mut self, bucket: &str, key: &str, id: &str, number: i32, part: Part) -> S3Result<()> {
        let uploads = &mut self.bucket_mut(bucket)?.uploads;
        let upload = uploads.get_mut(&(key.into(), id.to_owned())).ok_or_else(no_such_upload)?;
        upload.parts.insert(number, part);
        Ok(())
    }

    pub(super) fn abort_upload(&mut self, bucket: &str, key: &str, id: &str) -> S3Result<()> {
        let removed = self.bucket_mut(bucket)?.uploads.remove(&(key.into(), id.to_owned()));
        removed.map(drop).ok_or_else(no_such_upload)
    }

    /// Makes the object. The upload is gone only if that succeeds.
    pub(super) fn complete_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: &str,
        completion: &Completion,
    ) -> S3Result<Arc<Stored>> {
        let upload = self.upload(bucket, key, id)?;
        let content = upload.finish(completion)?;
        let stored = self.put(bucket, key, content, &completion.condition)?;
        self.abort_upload(bucket, key, id)?;
        Ok(stored)
    }
}
