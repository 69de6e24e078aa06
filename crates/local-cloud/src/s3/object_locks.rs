//! Locks of objects: retentions and legal holds, shown and set.

use std::time::SystemTime;

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
        ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, PutObjectLegalHoldInput,
        PutObjectLegalHoldOutput, PutObjectRetentionInput, PutObjectRetentionOutput,
    },
    s3_error,
};

use super::{
    locks::{Bypass, Lock, Retention},
    service::Service,
    versions::find,
};

impl Service {
    /// The lock of a version, in a bucket with locks.
    fn lock_of(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Lock> {
        let state = self.buckets.read();
        state.bucket(bucket)?.settings.need_locks()?;
        let stored = find(&state, bucket, key, version)?;
        Ok(stored.content.as_ref().expect("only versions with content are found").lock.clone())
    }

    pub(super) fn retention(
        &self,
        request: S3Request<GetObjectRetentionInput>,
    ) -> S3Result<S3Response<GetObjectRetentionOutput>> {
        let input = request.input;
        let lock = self.lock_of(&input.bucket, &input.key, input.version_id.as_deref())?;
        let Retention { mode, until } = lock.retention.ok_or_else(no_lock)?;
        let retention =
            ObjectLockRetention { mode: Some(mode.name().to_owned().into()), retain_until_date: Some(until) };
        Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
    }

    pub(super) fn set_retention(
        &self,
        request: S3Request<PutObjectRetentionInput>,
    ) -> S3Result<S3Response<PutObjectRetentionOutput>> {
        let bypass = Bypass::of(&request.headers);
        let input = request.input;
        self.buckets.read().bucket(&input.bucket)?.settings.need_locks()?;
        let retention = Retention::read(input.retention)?;
        self.change(&input.bucket, &input.key, input.version_id.as_deref(), |content| {
            content.lock.retain(retention, SystemTime::now(), bypass)
        })?;
        Ok(S3Response::new(PutObjectRetentionOutput::default()))
    }

    pub(super) fn legal_hold(
        &self,
        request: S3Request<GetObjectLegalHoldInput>,
    ) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
        let input = request.input;
        let lock = self.lock_of(&input.bucket, &input.key, input.version_id.as_deref())?;
        let status = Some(lock.shown_hold().ok_or_else(no_lock)?);
        Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status }) }))
    }

    pub(super) fn set_legal_hold(
        &self,
        request: S3Request<PutObjectLegalHoldInput>,
    ) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
        let input = request.input;
        self.buckets.read().bucket(&input.bucket)?.settings.need_locks()?;
        let status = input.legal_hold.and_then(|hold| hold.status);
        let on = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
            Some("ON") => true,
            Some("OFF") => false,
            _ => return Err(s3_error!(MalformedXML, "The status of a legal hold is ON or OFF")),
        };
        self.change(&input.bucket, &input.key, input.version_id.as_deref(), |content| {
            content.lock.legal_hold = Some(on);
            Ok(())
        })?;
        Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
    }
}

fn no_lock() -> S3Error {
    s3_error!(NoSuchObjectLockConfiguration, "The specified object does not have a ObjectLock configuration")
}
