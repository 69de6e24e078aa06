//! Sizes, rates, durations, shares and windows as a plan writes them.
//!
//! Each function returns the problem and, if possible, how to mend it.

use std::time::Duration;

use crate::plan::site::Window;

/// The problem of a value, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) message: String,
    pub(super) mend: String,
}

fn bad<T>(message: impl Into<String>, mend: impl Into<String>) -> Result<T, Bad> {
    Err(Bad { message: message.into(), mend: mend.into() })
}

/// Decimal and binary units in bytes. A lower-case `b` could mean bits, so it is not accepted.
const UNITS: [(&str, u64); 11] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];

/// `16MiB` (binary) or `16MB` (decimal) in bytes; not zero.
pub(super) fn size(text: &str) -> Result<u64, Bad> {
    let mend = "write a number and a unit: \"16MiB\" (binary) or \"16MB\" (decimal)";
    if let Some(rest) = text.strip_suffix("/s") {
        return bad(format!("{text:?} is a rate, and a size is wanted"), format!("write {rest:?}"));
    }
    let Some((number, unit)) = split_unit(text) else {
        return bad(format!("{text:?} is not a size"), mend);
    };
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let meant = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let mend = meant.map_or(mend.to_owned(), |(name, _)| format!("write {:?}", format!("{number}{name}")));
        return bad(format!("{text:?} is not a size: {unit:?} is not a unit of bytes"), mend);
    };
    match scaled(number, *factor) {
        Some(0) => bad(format!("{text:?} is nothing at all"), mend),
        Some(bytes) => Ok(bytes),
        None => bad(format!("{text:?} is not a size"), mend),
    }
}

/// `400MB/s` in bytes per second; not zero.
pub(super) fn rate(text: &str) -> Result<u64, Bad> {
    let mend = "write a size and \"/s\": \"400MB/s\" or \"50MiB/s\"";
    let Some(amount) = text.strip_suffix("/s") else {
        let mend = if size(text).is_ok() { format!("write {:?}", format!("{text}/s")) } else { mend.to_owned() };
        return bad(format!("{text:?} is not a rate"), mend);
    };
    size(amount).map_err(|Bad { mend, .. }| {
        let mend =
            mend.strip_prefix("write \"").and_then(|rest| rest.strip_suffix('"')).filter(|rest| !rest.contains('"'));
        let mend = mend.map_or("write a size and \"/s\": \"400MB/s\" or \"50MiB/s\"".to_owned(), |amount| {
            format!("write \"{amount}/s\"")
        });
        Bad { message: format!("{text:?} is not a rate"), mend }
    })
}

/// `30s`, `1m30s`, `250ms`, `2h`, `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, Bad> {
    let wrong = || Bad {
        message: format!("{text:?} is not a duration"),
        mend: "write numbers with units ms, s, m, h or d: \"30s\" or \"1m30s\"".to_owned(),
    };
    let (mut rest, mut total_ms) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms));
        total_ms = part.and_then(|part| total_ms.checked_add(part)).ok_or_else(wrong)?;
        rest = next;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total_ms)) }
}

/// `10%` or `2.5%` in thousandths.
pub(super) fn share(text: &str) -> Result<u16, Bad> {
    let wrong = || Bad {
        message: format!("{text:?} is not a share"),
        mend: "write a percentage from 0 to 100 with at most one decimal: \"10%\" or \"2.5%\"".to_owned(),
    };
    let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let permille = scaled(number, 10).filter(|_| number.split_once('.').is_none_or(|(_, tail)| tail.len() == 1));
    permille.filter(|permille| *permille <= 1000).and_then(|permille| u16::try_from(permille).ok()).ok_or_else(wrong)
}

/// `22:00-07:00 Asia/Shanghai`.
pub(super) fn window(text: &str) -> Result<Window, Bad> {
    let mend = "write hours and an IANA time zone: \"22:00-07:00 Asia/Shanghai\"";
    let Some((hours, zone)) = text.split_once(' ') else {
        return bad(format!("{text:?} is not a window"), mend);
    };
    let ends = hours.split_once('-').and_then(|(start, end)| Some((minutes(start)?, minutes(end)?)));
    let Some((start_min, end_min)) = ends else {
        return bad(format!("{hours:?} is not a pair of hours"), mend);
    };
    if start_min == end_min || start_min == 24 * 60 {
        return bad(format!("the window {hours:?} is empty"), "leave the window out to work at all hours");
    }
    let zone = zone.trim();
    // The bundled database, so that every machine gives the same answer.
    match jiff::tz::TimeZoneDatabase::bundled().get(zone) {
        Ok(found) => Ok(Window { start_min, end_min, zone: found.iana_name().unwrap_or(zone).to_owned() }),
        Err(_) => {
            bad(format!("there is no time zone {zone:?}"), "use an IANA name such as \"Asia/Shanghai\" or \"UTC\"")
        }
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (minutes < 60 && (hours < 24 || (hours == 24 && minutes == 0))).then_some(hours * 60 + minutes)
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    Some((&text[..at], text[at..].trim_start()))
}

/// `number × factor` without floating point; `None` if it is no number, too large or not whole.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let denominator = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let numerator = whole.parse::<u128>().ok()? * denominator + fraction.parse::<u128>().ok()?;
    let product = numerator.checked_mul(u128::from(factor))?;
    (product % denominator == 0).then(|| u64::try_from(product / denominator).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("16 MB"), Ok(16_000_000));
        assert_eq!(size("1.5GiB"), Ok(3 << 29));
        assert_eq!(rate("400MB/s"), Ok(400_000_000));
        assert_eq!(rate("512KiB/s"), Ok(512 << 10));
    }

    #[test]
    fn bad_sizes_are_refused_with_a_mend() {
        for (text, mend) in [("16mib", "write \"16MiB\""), ("5MB/s", "write \"5MB\"")] {
            assert_eq!(size(text).unwrap_err().mend, mend);
        }
        for (text, mend) in [("400MB", "write \"400MB/s\""), ("400mb/s", "write \"400MB/s\"")] {
            assert_eq!(rate(text).unwrap_err().mend, mend, "{text}");
        }
        for text in ["", "MB", "16", "-1MB", "0MB", "1.0001B", "99999999TiB", "1e3MB", "1..5MB", "16 parsecs"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "30", "s", "-1s", "1.5s", "30 s", "99999999999999999999s", "1w"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_in_thousandths() {
        assert_eq!(share("10%"), Ok(100));
        assert_eq!(share("2.5%"), Ok(25));
        assert_eq!(share("100%"), Ok(1000));
        for text in ["10", "101%", "-1%", "0.05%", "%", "100.1%", "65636%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn windows_span_midnight_and_know_their_zone() {
        let night = window("22:00-07:00 Asia/Shanghai").unwrap();
        assert_eq!((night.start_min, night.end_min, night.zone.as_str()), (22 * 60, 7 * 60, "Asia/Shanghai"));
        assert_eq!(window("00:00-24:00 UTC").unwrap().end_min, 24 * 60);
        for text in [
            "22:00-07:00",
            "22-07 UTC",
            "25:00-07:00 UTC",
            "22:60-07:00 UTC",
            "07:00-07:00 UTC",
            "1:00-2:00 Mars/Olympus",
            "01:00-02:00 Mars/Olympus",
        ] {
            assert!(window(text).is_err(), "{text}");
        }
    }
}
