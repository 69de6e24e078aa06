//! Whether the answer to a write tells when the object was written.
//!
//! S3's PUT shows no `Last-Modified`, but as every answer of HTTP it has a `Date`. If both come from one clock, a listing
//! that shows no later time than that of the answer shows the object that was written, and no later one with equal bytes.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html>

use std::time::{Duration, Instant};

use super::ask::{Probe, plain};
use crate::{
    patience::{REFUSALS_MIN, TRIES_MAX},
    s3::wire::plain::{DATE_AGE_MAX_S, Guard},
};
use migrate_store::Result;

/// By so many seconds a `Date` may be later: an answer may come in the second after the write, and both are cut to
/// seconds. A proxy whose clock is ahead would hide each write within the difference.
const LATER_MAX_S: i64 = 1;
/// By so many seconds it may be earlier.
const EARLIER_MIN_S: i64 = -DATE_AGE_MAX_S;
/// An answer that took longer may be later for that reason, and says nothing.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl Probe<'_> {
    /// Whether the `Date` of each answer is the time that the object shows, or hardly another.
    pub(super) async fn dates_writes(&self) -> Result<bool> {
        let mut fitting = 0;
        for _ in 0..TRIES_MAX {
            let began = Instant::now();
            let written = self.write(&self.body, &plain(), Guard::default(), false, &[]).await?;
            let took = began.elapsed();
            let modified_s = self.read().await?.shown.modified_s;
            let Some((date_s, modified_s)) = written.date_s.zip(modified_s) else { return Ok(false) };
            match date_s.saturating_sub(modified_s) {
                EARLIER_MIN_S..=LATER_MAX_S => fitting += 1,
                later_s if later_s > 0 && took >= ANSWER_MAX => {}
                _ => return Ok(false),
            }
            if fitting == REFUSALS_MIN {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
