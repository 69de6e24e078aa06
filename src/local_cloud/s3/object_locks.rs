//! What can be changed of a version beside its bytes: tags, locks, and whether it is restored.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use hyper::StatusCode;
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
        GetObjectRetentionInput, GetObjectRetentionOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
        ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, PutObjectLegalHoldInput,
        PutObjectLegalHoldOutput, PutObjectRetentionInput, PutObjectRetentionOutput, PutObjectTaggingInput,
        PutObjectTaggingOutput, RestoreObjectInput, RestoreObjectOutput, Tag, Timestamp, TimestampFormat,
    },
    s3_error,
};

use super::{
    gate::custom_error,
    locks::{Bypass, Lock, Retention},
    objects::{Content, Stored},
    reads::find,
    service::Service,
    text::form_decode,
};

const DAY: Duration = Duration::from_hours(24);

impl Service {
    /// Changes a version in place, and gives it.
    pub(super) fn change<T>(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        change: impl FnOnce(&mut Content) -> S3Result<T>,
    ) -> S3Result<(T, Option<String>)> {
        let mut state = self.buckets.write();
        let found = find(&state, bucket, key, version)?;
        let bucket = state.bucket_mut(bucket)?;
        let stored = bucket.version_mut(key, version).expect("it was just found");
        let changed = change(stored.content.as_mut().expect("only versions with content are found"))?;
        Ok((changed, bucket.shown_version(&found)))
    }

    fn replace_tags(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        tags: BTreeMap<String, String>,
    ) -> S3Result<Option<String>> {
        let replace = |content: &mut Content| {
            content.tags = tags;
            Ok(())
        };
        self.change(bucket, key, version, replace).map(|((), shown_version)| shown_version)
    }

    /// The lock of a version, in a bucket that knows locks.
    fn lock_of(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Lock> {
        let state = self.buckets.read();
        state.bucket(bucket)?.settings.need_locks()?;
        let stored = find(&state, bucket, key, version)?;
        Ok(stored.content.as_ref().expect("only versions with content are found").lock.clone())
    }

    pub(super) fn tags(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        let state = self.buckets.read();
        let stored = find(&state, &input.bucket, &input.key, input.version_id.as_deref())?;
        let tags = stored.content.iter().flat_map(|content| &content.tags);
        let tag_set = tags.map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect();
        let version_id = state.bucket(&input.bucket)?.shown_version(&stored);
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id }))
    }

    pub(super) fn set_tags(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = request.input;
        let mut tags = BTreeMap::new();
        for tag in input.tagging.tag_set {
            if tags.insert(tag.key.unwrap_or_default(), tag.value.unwrap_or_default()).is_some() {
                return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
            }
        }
        let tags = check_tags(tags)?;
        let version_id = self.replace_tags(&input.bucket, &input.key, input.version_id.as_deref(), tags)?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
    }

    pub(super) fn delete_tags(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = request.input;
        let none = BTreeMap::new();
        let version_id = self.replace_tags(&input.bucket, &input.key, input.version_id.as_deref(), none)?;
        Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
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

    /// Restores an archived object at once, where AWS would take minutes or hours. 202 when it begins,
    /// 200 when it only lasts longer: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>
    pub(super) fn restore(&self, request: S3Request<RestoreObjectInput>) -> S3Result<S3Response<RestoreObjectOutput>> {
        let input = request.input;
        let days = input.restore_request.and_then(|asked| asked.days).and_then(|days| u32::try_from(days).ok());
        let days = days.filter(|days| *days > 0).ok_or_else(|| s3_error!(MalformedXML, "Days must be at least one"))?;
        let now = SystemTime::now();
        let restore = |content: &mut Content| {
            if !content.is_archived() {
                let text = "Restore is not allowed for the object's current storage class";
                return Err(s3_error!(InvalidObjectState, "{text}"));
            }
            let was_restored = content.restored_until.is_some_and(|until| until > now);
            content.restored_until = Some(end_of_day(now + days * DAY));
            Ok(was_restored)
        };
        let (again, _) = self.change(&input.bucket, &input.key, input.version_id.as_deref(), restore)?;
        let status = if again { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok(S3Response::with_status(RestoreObjectOutput::default(), status))
    }
}

fn no_lock() -> S3Error {
    s3_error!(NoSuchObjectLockConfiguration, "The specified object does not have a ObjectLock configuration")
}

/// A copy lasts until the midnight after its days.
fn end_of_day(time: SystemTime) -> SystemTime {
    let days = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs((days + 1) * DAY.as_secs())
}

/// Refuses to read what is archived and not restored.
pub(super) fn check_restored(content: &Content) -> S3Result<()> {
    let restored = content.restored_until.is_some_and(|until| until > SystemTime::now());
    if !content.is_archived() || restored {
        return Ok(());
    }
    Err(s3_error!(InvalidObjectState, "The operation is not valid for the object's storage class"))
}

/// The value of `x-amz-restore`, where the object was restored.
pub(super) fn restored(stored: &Stored) -> Option<String> {
    let until = stored.content.as_ref()?.restored_until.filter(|until| *until > SystemTime::now())?;
    let mut date = Vec::new();
    Timestamp::from(until).format(TimestampFormat::HttpDate, &mut date).expect("writing to memory does not fail");
    Some(format!("ongoing-request=\"false\", expiry-date=\"{}\"", String::from_utf8_lossy(&date)))
}

/// Reads the header of a write that carries tags.
pub(super) fn parse_tags(text: &str) -> S3Result<BTreeMap<String, String>> {
    let invalid = || s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded");
    let mut tags = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (form_decode(key).ok_or_else(invalid)?, form_decode(value).ok_or_else(invalid)?);
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    check_tags(tags)
}

fn check_tags(tags: BTreeMap<String, String>) -> S3Result<BTreeMap<String, String>> {
    if tags.len() > 10 {
        return Err(custom_error(StatusCode::BAD_REQUEST, "BadRequest", "Object tags cannot be greater than 10"));
    }
    let legal = |(key, value): (&String, &String)| {
        !key.is_empty() && key.chars().count() <= 128 && value.chars().count() <= 256
    };
    if tags.iter().all(legal) { Ok(tags) } else { Err(s3_error!(InvalidTag, "The tag provided was not a valid tag.")) }
}
