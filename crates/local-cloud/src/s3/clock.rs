//! The server's clock. It may be an hour ahead of this machine's: as a server sees a client whose clock is an hour behind.

use std::time::{Duration, SystemTime};

use hyper::{
    HeaderMap, Response,
    header::{DATE, HeaderValue},
};
use s3s::{
    Body,
    config::S3Config,
    dto::{Timestamp, TimestampFormat},
};

use super::{headers::header, quirks::Quirks};

const AHEAD: Duration = Duration::from_hours(1);
/// For how long a server keeps the text of a `Date`.
const KEPT: Duration = Duration::from_secs(1);
/// How far the time of a signature may be from the server's.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>
const APART_MAX: Duration = Duration::from_mins(15);

impl Quirks {
    /// Whether a request is signed at another time than the server's. One without a time is left to the signature's
    /// own check.
    pub(super) fn is_skewed(&self, headers: &HeaderMap) -> bool {
        self.clock_skew
            || self.clock_ahead && header(headers, "x-amz-date").and_then(signed_at).is_some_and(|at| is_apart(&at))
    }

    /// Says the server's time. `hyper` would say that of its last look at the clock, which may be before the write that is
    /// answered.
    pub(super) fn stamp(&self, answer: &mut Response<Body>) {
        let now = if self.clock_ahead { ahead() } else { SystemTime::now() };
        let now = if self.date_behind { now - KEPT } else { now };
        let mut text = Vec::new();
        let written = Timestamp::from(now).format(TimestampFormat::HttpDate, &mut text);
        if let (Ok(()), Ok(date)) = (written, HeaderValue::from_bytes(&text)) {
            answer.headers_mut().insert(DATE, date);
        }
    }

    /// How `s3s` checks signatures: it compares their times with this machine's.
    pub(super) fn signatures(&self) -> S3Config {
        let mut config = S3Config::default();
        if self.clock_ahead {
            config.presigned_url_max_skew_time_secs = u32::MAX;
        }
        config
    }
}

fn ahead() -> SystemTime {
    SystemTime::now() + AHEAD
}

/// Reads `20261128T162100Z`.
fn signed_at(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_at_checked(8)?;
    let ((year, day), (hours, rest)) = (date.split_at_checked(4)?, time.split_at_checked(3)?);
    let ((month, day), (minutes, seconds)) = (day.split_at_checked(2)?, rest.split_at_checked(2)?);
    let text = format!("{year}-{month}-{day}{hours}:{minutes}:{seconds}");
    Timestamp::parse(TimestampFormat::DateTime, &text).ok()
}

fn is_apart(signed: &Timestamp) -> bool {
    let now = ahead();
    *signed < Timestamp::from(now - APART_MAX) || *signed > Timestamp::from(now + APART_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_signature_is_read() {
        let read = signed_at("20261128T162100Z").unwrap();
        assert_eq!(read, Timestamp::parse(TimestampFormat::EpochSeconds, "1795882860").unwrap());
        assert_eq!((signed_at("yesterday"), signed_at("")), (None, None));
        for (apart, time) in [(false, ahead()), (true, SystemTime::now()), (true, ahead() + AHEAD)] {
            assert_eq!(is_apart(&Timestamp::from(time)), apart);
        }
    }
}
