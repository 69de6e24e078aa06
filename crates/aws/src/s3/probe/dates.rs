//! Whether the answer to a write tells when the object was written.
//!
//! S3's PUT shows no `Last-Modified`, but as every answer of HTTP it has a `Date`. If both come from one clock, a listing
//! that shows no later time shows the object that was written, and no later one with equal bytes.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html>

use std::time::{Duration, Instant};

use super::ask::{Probe, plain};
use crate::{
    patience::{REFUSALS_MIN, TRIES_MAX},
    s3::wire::plain::Guard,
};
use migrate_store::Result;

/// By so many seconds a `Date` may be later: an answer may come in the second after the write, and both are cut to
/// seconds. A proxy whose clock is ahead would hide each write within the difference.
const LATER_MAX_S: i64 = 1;
/// By so many seconds a `Date` may be earlier and say nothing: servers keep the text of a `Date` for a second, so a write
/// at the turn of a second may be answered with the one before. Such a write would be looked at.
const EARLIER_MIN_S: i64 = -1;
/// An answer that took longer may be later for that reason, and says nothing.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl Probe<'_> {
    /// Whether the `Date` of each answer is the time that the object shows, or hardly later.
    pub(super) async fn dates_writes(&self) -> Result<bool> {
        let mut fitting = 0;
        for _ in 0..TRIES_MAX {
            let began = Instant::now();
            let written = self.write(&self.body, &plain(), Guard::default(), false, &[]).await?;
            let took = began.elapsed();
            let modified_s = self.read().await?.shown.modified_s;
            let Some((date_s, modified_s)) = written.date_s.zip(modified_s) else { return Ok(false) };
            match says(date_s.saturating_sub(modified_s), took) {
                Some(true) => fitting += 1,
                Some(false) => return Ok(false),
                None => {}
            }
            if fitting == REFUSALS_MIN {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether an answer whose `Date` is so much later than the object's time, and which took so long, shows one clock;
/// `None` if it says nothing.
fn says(later_s: i64, took: Duration) -> Option<bool> {
    match later_s {
        0..=LATER_MAX_S => Some(true),
        EARLIER_MIN_S..0 => None,
        _ if later_s > 0 && took >= ANSWER_MAX => None,
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_date_of_the_second_before_nor_a_slow_answer_tells_of_two_clocks() {
        let (quick, slow) = (Duration::from_millis(20), Duration::from_secs(3));
        for (later_s, took, one_clock) in [
            (0, quick, Some(true)),
            (1, slow, Some(true)),
            (-1, quick, None),
            (2, slow, None),
            (2, quick, Some(false)),
            (-2, quick, Some(false)),
            (-2, slow, Some(false)),
        ] {
            assert_eq!(says(later_s, took), one_clock, "{later_s} {took:?}");
        }
    }
}
