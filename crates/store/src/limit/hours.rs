//! Working hours.

use std::fmt;

use jiff::{
    ToSpan as _,
    civil::Time,
    tz::{TimeZone, db},
};
use tokio::time::Duration;

/// Hours of the day in a time zone in which work may be done. If `start` is after `end` they span midnight; if both
/// are equal, the window is always open.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkingHours {
    start_min: u16,
    end_min: u16,
    zone_name: Box<str>,
    zone: TimeZone,
}

impl WorkingHours {
    /// Hours from `start_min` up to `end_min`, in minutes after midnight (0 to 1,440), in the zone of an IANA name.
    ///
    /// Fails with a phrase if a minute is too large or the zone unknown.
    pub fn new(start_min: u16, end_min: u16, zone: &str) -> Result<Self, String> {
        if start_min > 1440 || end_min > 1440 {
            return Err(format!("{start_min} to {end_min} are not minutes of a day: 0 to 1440"));
        }
        let found = db().get(zone).map_err(|cause| format!("the time zone {zone:?} is unknown: {cause}"))?;
        Ok(Self { start_min, end_min, zone_name: zone.into(), zone: found })
    }

    /// The time until it opens; zero while it is open.
    pub(super) fn opens_in(&self, now: jiff::Timestamp) -> Duration {
        let here = now.to_zoned(self.zone.clone());
        let minute = u16::try_from(here.hour()).unwrap_or(0) * 60 + u16::try_from(here.minute()).unwrap_or(0);
        let open = match (self.start_min % 1440, self.end_min % 1440) {
            (start, end) if start == end => true,
            (start, end) if start < end => (start..end).contains(&minute),
            (start, end) => minute >= start || minute < end,
        };
        if open {
            return Duration::ZERO;
        }
        // By the calendar, not by adding minutes: a day has 23 to 25 hours.
        let start = self.start_min % 1440;
        let opening = Time::constant(0, 0, 0, 0) + i64::from(start).minutes();
        let day = if minute < start { Ok(here.date()) } else { here.date().tomorrow() };
        let opens = day.and_then(|day| day.to_datetime(opening).to_zoned(self.zone.clone()));
        let wait = opens.map(|opens| now.until(opens.timestamp()));
        match wait {
            Ok(Ok(span)) => Duration::try_from(span).unwrap_or(Duration::from_secs(1)),
            // Beyond the calendar; look again soon.
            _ => Duration::from_mins(1),
        }
    }
}

/// `22:00-06:00 Europe/Paris`
impl fmt::Display for WorkingHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.start_min, self.end_min);
        write!(f, "{:02}:{:02}-{:02}:{:02} {}", start / 60, start % 60, end / 60, end % 60, self.zone_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes_until(window: &WorkingHours, now: &str) -> u64 {
        window.opens_in(now.parse().unwrap()).as_secs() / 60
    }

    #[test]
    fn it_opens_and_closes_by_the_zones_clock_also_across_midnight_and_summer_time() {
        let night = WorkingHours::new(22 * 60, 6 * 60, "Europe/Paris").unwrap();
        assert_eq!(minutes_until(&night, "2025-01-10T20:59:00Z"), 1);
        assert_eq!(minutes_until(&night, "2025-01-10T21:00:00Z"), 0);
        assert_eq!(minutes_until(&night, "2025-01-11T04:59:00Z"), 0);
        assert_eq!(minutes_until(&night, "2025-01-11T05:00:00Z"), 16 * 60);
        assert_eq!(minutes_until(&night, "2025-07-10T19:00:00Z"), 60, "summer time");
        let day = WorkingHours::new(9 * 60, 17 * 60, "America/Los_Angeles").unwrap();
        // 17:00 on the eve of the short day of 2025: 15 hours, not 16, until 09:00.
        assert_eq!(minutes_until(&day, "2025-03-09T01:00:00Z"), 15 * 60);
        assert_eq!(day.to_string(), "09:00-17:00 America/Los_Angeles");
    }

    #[test]
    fn what_is_no_window_is_refused() {
        assert!(WorkingHours::new(0, 1441, "UTC").unwrap_err().contains("1441"));
        assert!(WorkingHours::new(0, 60, "Mars/Olympus").unwrap_err().contains("Mars/Olympus"));
        let always = WorkingHours::new(60, 60, "UTC").unwrap();
        assert_eq!(minutes_until(&always, "2025-01-10T20:59:00Z"), 0);
        let until_midnight = WorkingHours::new(0, 1440, "UTC").unwrap();
        assert_eq!(minutes_until(&until_midnight, "2025-01-10T20:59:00Z"), 0);
    }
}
