//! Whether the answer to a write tells when the object was written.
//!
//! S3's PUT shows no `Last-Modified`, but as every answer of HTTP it has a `Date`. If both come from one clock, a listing
//! that shows no later time shows the object that was written, and no later one with equal bytes.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html>

use super::ask::{Probe, plain};
use crate::{patience::REFUSALS_MIN, s3::wire::plain::Guard};
use migrate_store::Result;

/// By so many seconds a `Date` may be later: an answer may come in the second after the write, and both are cut to
/// seconds. A proxy whose clock is ahead would hide each write within the difference.
const LATER_MAX_S: i64 = 2;

impl Probe<'_> {
    /// Whether the `Date` of an answer is the time that the object shows, or hardly later. A slow answer is asked for again.
    pub(super) async fn dates_writes(&self) -> Result<bool> {
        for _ in 0..REFUSALS_MIN {
            let written = self.put(&self.body, &plain(), Guard::default(), false, &[]).await?;
            let modified_s = self.read().await?.shown.modified_s;
            let Some((date_s, modified_s)) = written.date_s.zip(modified_s) else { return Ok(false) };
            if (0..=LATER_MAX_S).contains(&(date_s - modified_s)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
