//! Archived objects: a restore takes no time, and before it they cannot be read.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{RestoreObjectInput, RestoreObjectOutput, Timestamp, TimestampFormat},
    s3_error,
};

use super::{
    objects::{Content, Stored},
    service::Service,
};

const DAY: Duration = Duration::from_hours(24);

impl Service {
    /// Restores an archived object at once; AWS would take minutes or hours. 202 for a new restore,
    /// 200 for one that only lasts longer: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>
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

/// The end of a restored copy: the midnight after its days.
fn end_of_day(time: SystemTime) -> SystemTime {
    let days = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs((days + 1) * DAY.as_secs())
}

/// Refuses to read an object that is archived and not restored.
pub(super) fn check_restored(content: &Content) -> S3Result<()> {
    let restored = content.restored_until.is_some_and(|until| until > SystemTime::now());
    if !content.is_archived() || restored {
        return Ok(());
    }
    Err(s3_error!(InvalidObjectState, "The operation is not valid for the object's storage class"))
}

/// The value of `x-amz-restore`, if the object was restored.
pub(super) fn restored(stored: &Stored) -> Option<String> {
    let until = stored.content.as_ref()?.restored_until.filter(|until| *until > SystemTime::now())?;
    let mut date = Vec::new();
    Timestamp::from(until).format(TimestampFormat::HttpDate, &mut date).expect("writing to memory does not fail");
    Some(format!("ongoing-request=\"false\", expiry-date=\"{}\"", String::from_utf8_lossy(&date)))
}
