//! How fast a piece of work goes and how long it will still take, judged by what was done at each moment.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

/// The time that rates are measured over.
const RATE_OVER: Duration = Duration::from_secs(15);
/// A rate needs at least this long.
const RATE_AFTER: Duration = Duration::from_secs(1);
/// Work that is younger says nothing about its end.
const END_AFTER: Duration = Duration::from_secs(5);
/// The time in which an expected end follows a change of the rate, in seconds.
const END_FOLLOWS_S: f64 = 10.0;
/// So much of what was left at the begin must have been done, or so much time have passed.
const END_AFTER_SHARE: f64 = 0.01;
const END_AFTER_ANY: Duration = Duration::from_mins(1);
/// What is seen for a minute says nothing about what happens in a thousand.
const CREDIBLE_TIMES: f64 = 1000.0;
/// Nobody knows what a network does in a hundred days.
const CREDIBLE_MAX: Duration = Duration::from_hours(24 * 99);

/// What is done of a piece of work at one moment. All numbers are those of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Records that are done.
    pub records: u64,
    /// All records; `None` if nobody has counted them.
    pub records_total: Option<u64>,
    /// Bytes of the records that are done.
    pub bytes: u64,
    /// Bytes of all records; `None` if nobody has counted them.
    pub bytes_total: Option<u64>,
    /// Bytes that were written, also of records that are not done yet.
    pub written: u64,
    /// The part of the written bytes that belongs to records that are not done yet.
    pub under_way: u64,
}

impl Work {
    /// Whether at least this share of what was left here is done by now.
    fn is_behind(&self, now: &Self, share: f64) -> bool {
        let is_behind = |then: u64, now: u64, total: Option<u64>| {
            total.is_some_and(|total| float(now.saturating_sub(then)) >= share * float(total.saturating_sub(then)))
        };
        is_behind(self.records, now.records, now.records_total)
            || is_behind(self.bytes + self.under_way, now.bytes + now.under_way, now.bytes_total)
    }
}

/// How far a piece of work is, and how fast it goes. All numbers are those of one target: the one that is least far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Advance {
    /// The share of the records that is done, from 0 to 1; `None` while their number is not known.
    pub fraction: Option<f64>,
    /// Records that are done: seen at the lead, and copied, found equal, failed or left for later.
    pub records_done: u64,
    /// All records of the dataset; `None` while nobody has counted them.
    pub records_total: Option<u64>,
    /// Bytes of the records that are done.
    pub bytes_done: u64,
    /// Bytes of all records; `None` while nobody has counted them.
    pub bytes_total: Option<u64>,
    /// Bytes written in a second, measured over the last 15 s; `None` if none were.
    pub rate_bytes_per_second: Option<u64>,
    /// The time that is left, in seconds; `None` in the first 5 s, and while nothing credible can be said.
    pub eta_seconds: Option<u64>,
}

/// The pace of one piece of work.
#[derive(Debug, Default)]
pub struct Pace {
    began: Option<(Duration, Work)>,
    samples: VecDeque<(Duration, Work)>,
    /// The expected end and when it was last judged, in seconds by the same clock.
    end: Option<(f64, f64)>,
}

impl Pace {
    /// Takes what is done now. `now` is the time of any clock that never goes back.
    pub fn advance(&mut self, now: Duration, work: Work) -> Advance {
        let (began, first) = *self.began.get_or_insert((now, work));
        self.samples.push_back((now, work));
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= RATE_OVER) {
            self.samples.pop_front();
        }
        // More than was counted: the count is that of an earlier time.
        let records_total = work.records_total.filter(|total| work.records <= *total);
        let bytes_total = work.bytes_total.filter(|total| records_total.is_some() && work.bytes <= *total);
        let (from, then) = self.samples.front().copied().unwrap_or((now, work));
        let over = now.saturating_sub(from);
        let rates = (over >= RATE_AFTER).then(|| Rates::between(&then, &work, over.as_secs_f64()));
        let observed = now.saturating_sub(began);
        let left = rates.and_then(|rates| rates.left(&work, records_total, bytes_total));
        let is_told = observed >= END_AFTER_ANY || first.is_behind(&work, END_AFTER_SHARE);
        Advance {
            fraction: records_total.map(|total| share(work.records, total)),
            records_done: work.records,
            records_total,
            bytes_done: work.bytes,
            bytes_total,
            rate_bytes_per_second: rates.and_then(|rates| whole(rates.written)).filter(|rate| *rate > 0),
            eta_seconds: self.end(now, observed, left.filter(|_| is_told)).and_then(whole),
        }
    }

    /// Smooths the expected end; the seconds that are left until it.
    fn end(&mut self, now: Duration, observed: Duration, left: Option<f64>) -> Option<f64> {
        let credible = (observed.as_secs_f64() * CREDIBLE_TIMES).min(CREDIBLE_MAX.as_secs_f64());
        let Some(left) = left.filter(|left| observed >= END_AFTER && *left <= credible) else {
            self.end = None;
            return None;
        };
        let (now, judged) = (now.as_secs_f64(), now.as_secs_f64() + left);
        let end = match self.end {
            Some((end, at)) if (left / 2.0..left * 2.0).contains(&(end - now)) => {
                let weight = 1.0 - (-(now - at) / END_FOLLOWS_S).exp();
                end + (judged - end) * weight
            }
            // The first judgement, or one that contradicts the last so much that it counts alone.
            _ => judged,
        };
        self.end = Some((end, now));
        Some((end - now).ceil())
    }
}

/// What is done in a second.
#[derive(Debug, Clone, Copy)]
struct Rates {
    records: f64,
    bytes: f64,
    written: f64,
}

impl Rates {
    fn between(then: &Work, now: &Work, seconds: f64) -> Self {
        let rate = |then: u64, now: u64| float(now.saturating_sub(then)) / seconds;
        Self {
            records: rate(then.records, now.records),
            bytes: rate(then.bytes, now.bytes),
            written: rate(then.written, now.written),
        }
    }

    /// The seconds that are left, by what takes longest; `None` if nothing moves or nothing is known.
    fn left(&self, work: &Work, records_total: Option<u64>, bytes_total: Option<u64>) -> Option<f64> {
        let left = |done: u64, total: Option<u64>, rate: f64| {
            let left = float(total?.saturating_sub(done));
            if left > 0.0 { (rate > 0.0).then(|| left / rate) } else { Some(0.0) }
        };
        let records = left(work.records, records_total, self.records);
        // A large record is done all at once: until then only what is written of it tells.
        let bytes = left(work.bytes.saturating_add(work.under_way), bytes_total, self.bytes.max(self.written));
        match (records, bytes) {
            (Some(records), Some(bytes)) => Some(records.max(bytes)),
            (records, bytes) => records.or(bytes),
        }
    }
}

/// A share of a whole, from 0 to 1; all of nothing is done.
fn share(done: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { float(done) / float(total) }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number that is not negative")]
fn whole(number: f64) -> Option<u64> {
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: u64 = 5_000;

    fn work(records: u64) -> Work {
        let bytes = records * 1_000;
        Work {
            records,
            records_total: Some(TOTAL),
            bytes,
            bytes_total: Some(TOTAL * 1_000),
            written: bytes,
            under_way: 0,
        }
    }

    #[test]
    fn a_steady_pace_tells_its_end_and_the_share_of_the_records() {
        let mut pace = Pace::default();
        for tenths in 0..500_u64 {
            let told = pace.advance(Duration::from_millis(tenths * 100), work(tenths * 10));
            assert!((told.fraction.unwrap() - float(tenths) / 500.0).abs() < 1e-9);
            if tenths < 50 {
                assert_eq!(told.eta_seconds, None, "nothing before five seconds");
                continue;
            }
            let (left, eta) = (50.0 - float(tenths) / 10.0, float(told.eta_seconds.unwrap()));
            assert!((left..left + 1.1).contains(&eta), "{eta} s, and {left} s are left");
            assert!(told.rate_bytes_per_second.unwrap().abs_diff(100_000) < 2);
        }
    }

    #[test]
    fn what_nobody_has_counted_has_no_share_and_no_end() {
        let mut pace = Pace::default();
        let unknown = |records| Work { records_total: None, bytes_total: None, ..work(records) };
        let told =
            (0..20).map(|second| pace.advance(Duration::from_secs(second), unknown(second * 10))).last().unwrap();
        assert_eq!((told.fraction, told.records_total, told.bytes_total, told.eta_seconds), (None, None, None, None));
        assert_eq!((told.records_done, told.rate_bytes_per_second), (190, Some(10_000)));
        // A count that is exceeded was that of an earlier time.
        let told = pace.advance(Duration::from_secs(20), work(TOTAL + 1));
        assert_eq!((told.fraction, told.records_total, told.eta_seconds), (None, None, None));
    }

    #[test]
    fn an_end_is_smooth_and_never_past_what_is_credible() {
        let mut pace = Pace::default();
        // It goes on after an earlier run: almost nothing moves at first.
        for second in 0..10_u64 {
            let told = pace.advance(Duration::from_secs(second), work(1_000 + second / 9));
            assert!(told.eta_seconds.is_none_or(|eta| eta < 10 * 1_000), "{told:?}");
        }
        let mut pace = Pace::default();
        let mut last = None;
        // Every other second is empty.
        for second in 0..60_u64 {
            let told = pace.advance(Duration::from_secs(second), work(second / 2 * 100));
            if let (Some(last), Some(eta)) = (last, told.eta_seconds) {
                assert!(eta.abs_diff(last) <= 8, "from {last} to {eta} in one second");
            }
            last = told.eta_seconds;
        }
        assert!(last.is_some());
    }

    #[test]
    fn a_large_record_is_judged_by_what_is_written_of_it() {
        let mut pace = Pace::default();
        let one = |written| Work {
            records_total: Some(1),
            bytes_total: Some(100_000),
            written,
            under_way: written,
            ..Work::default()
        };
        let told = (0..20).map(|second| pace.advance(Duration::from_secs(second), one(second * 1_000))).last().unwrap();
        assert_eq!((told.fraction, told.rate_bytes_per_second), (Some(0.0), Some(1_000)));
        assert!((80..84).contains(&told.eta_seconds.unwrap()), "{told:?}");
        let stalled = (20..60).map(|second| pace.advance(Duration::from_secs(second), one(19_000))).last().unwrap();
        assert_eq!((stalled.rate_bytes_per_second, stalled.eta_seconds), (None, None));
    }
}
