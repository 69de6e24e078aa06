//! The server's clock, if this machine's is wrong.
//!
//! A signature holds for 15 minutes. The SDK signs with the clock of the latest answer's `Date`; here only a refusal
//! moves the clock, and only by more than servers and proxies differ among themselves.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use hyper::{
    HeaderMap,
    header::{AGE, DATE},
};

/// A smaller difference is not the reason of a refusal, as the SDK has it.
const DIFFERENCE_MIN_MS: i64 = 4 * 60 * 1000;
/// An answer that took longer tells no time, as the SDK has it.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(15);

/// How far the server's clock is ahead of this machine's.
#[derive(Debug, Default)]
pub(super) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    /// The time to sign with.
    pub(super) fn now(&self) -> SystemTime {
        let (now, ahead) = (SystemTime::now(), self.ahead_ms.load(Ordering::Relaxed));
        let by = Duration::from_millis(ahead.unsigned_abs());
        let moved = if ahead < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        moved.unwrap_or(now)
    }

    /// Whether a refused request was signed at a wrong time, by the `Date` of the answer. Then later ones are signed at
    /// the server's.
    pub(super) fn was_wrong(&self, answer: &HeaderMap, signed_at: SystemTime, took: Duration) -> bool {
        // A cache's answer has the time when it was made: RFC 9111, 5.1.
        if answer.contains_key(AGE) || took > ANSWER_TIME_MAX {
            return false;
        }
        let Some(server_ms) = date(answer).and_then(|date| date.to_millis().ok()) else { return false };
        let difference = server_ms.saturating_sub(millis(signed_at));
        if difference.saturating_abs() < DIFFERENCE_MIN_MS {
            return false;
        }
        let ahead = server_ms.saturating_sub(millis(SystemTime::now()));
        self.ahead_ms.store(ahead, Ordering::Relaxed);
        true
    }
}

/// When an answer was made, by the server's clock, if it tells that.
pub(super) fn date(answer: &HeaderMap) -> Option<DateTime> {
    DateTime::from_str(answer.get(DATE)?.to_str().ok()?, DateTimeFormat::HttpDate).ok()
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(named: &[(&'static str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    fn date(seconds_ahead: i64) -> String {
        let seconds = millis(SystemTime::now()) / 1000 + seconds_ahead;
        DateTime::from_secs(seconds).fmt(DateTimeFormat::HttpDate).unwrap()
    }

    #[test]
    fn a_refusal_with_another_time_moves_the_clock() {
        for ahead in [3600, -3600] {
            let clock = Clock::default();
            assert!(clock.was_wrong(&headers(&[("date", date(ahead))]), clock.now(), Duration::ZERO));
            let found = (millis(clock.now()) - millis(SystemTime::now())) / 1000;
            assert!((found - ahead).abs() <= 2, "{found} for {ahead}");
            assert!(!clock.was_wrong(&headers(&[("date", date(ahead))]), clock.now(), Duration::ZERO), "right by now");
            assert!(
                clock.was_wrong(&headers(&[("date", date(0))]), clock.now(), Duration::ZERO),
                "set right meanwhile"
            );
        }
    }

    #[test]
    fn what_tells_no_time_moves_nothing() {
        let clock = Clock::default();
        for (named, took) in [
            (vec![], 0),
            (vec![("date", "yesterday".to_owned())], 0),
            (vec![("date", date(100))], 0),
            (vec![("date", date(3600)), ("age", "7".to_owned())], 0),
            (vec![("date", date(3600))], 1000),
        ] {
            assert!(!clock.was_wrong(&headers(&named), clock.now(), Duration::from_secs(took)), "{named:?}");
        }
    }
}
