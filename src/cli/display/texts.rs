//! Events as lines for people.

use std::fmt::Write as _;

use crate::cli::{display::pace::Speed, render};
use migrate_core::{
    model::ByteCount,
    report::{EventKind, TargetProgress},
};

/// The text of an event that even `--quiet` shows.
pub(super) fn warned(told: &EventKind) -> Option<String> {
    Some(match told {
        EventKind::Warning { dataset: Some(dataset), message, .. } => format!("warning: {dataset}: {message}"),
        EventKind::Warning { dataset: None, message, .. } => format!("warning: {message}"),
        EventKind::TargetDown { dataset, target, reason, .. } => {
            format!("warning: {dataset}: {target} is down, and nothing more is copied to it in this run: {reason}")
        }
        EventKind::UploadUnclaimed { dataset, target, key, ids, asked_for } => {
            format!("warning: {dataset}: {}", render::unclaimed(key, target, ids, &asked_for.to_string()))
        }
        _ => return None,
    })
}

/// Whether a verification goes on with an earlier one; `None` if there was none.
pub(super) fn begins(told: &EventKind) -> Option<String> {
    let EventKind::VerificationBegan { dataset, compared, since, anew } = told else { return None };
    match (since, anew) {
        (Some(since), _) => {
            let compared = render::count(*compared, "record", "records");
            Some(format!("{dataset}: goes on with the verification of {since}: {compared} compared then"))
        }
        (None, Some(why)) => {
            Some(format!("{dataset}: verifies anew, since an earlier verification does not count: {why}"))
        }
        (None, None) => None,
    }
}

pub(super) fn verifying(compared: u64, expected: Option<u64>, pace: &Speed) -> String {
    let of = expected.map_or_else(String::new, |expected| format!(" of {}", expected.max(compared)));
    format!("verifying, {compared}{of} compared{}", eta(pace))
}

pub(super) fn copying(targets: &[TargetProgress], pace: &Speed, waits_for: Option<&str>) -> String {
    let records = targets.iter().map(|target| target.tally.records).min().unwrap_or(0);
    let bytes = targets.iter().map(|target| target.tally.bytes).min().unwrap_or(0);
    let failed: u64 = targets.iter().map(|target| target.failed).sum();
    let mut text = format!("{records} records, {}", ByteCount(bytes));
    if let Some(rate) = pace.bytes_per_second {
        let _ = write!(text, ", {}/s", ByteCount(rate));
    }
    text.push_str(&eta(pace));
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    if let Some(reason) = waits_for {
        let _ = write!(text, " (waits for {reason})");
    }
    text
}

fn eta(speed: &Speed) -> String {
    speed.left.map_or_else(String::new, |left| format!(", about {} left", render::duration(left)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use migrate_core::model::{DatasetName, Timestamp};

    #[test]
    fn a_verification_says_how_much_is_left_and_whether_it_goes_on() {
        let speed = Speed { left: Some(Duration::from_secs(90)), ..Speed::default() };
        let line = verifying(5, Some(20), &speed);
        assert!(line.starts_with("verifying, 5 of 20 compared, about ") && line.ends_with(" left"), "{line}");
        assert_eq!(verifying(5, None, &Speed::default()), "verifying, 5 compared");
        let began = |since, anew: Option<&str>| {
            let (dataset, anew) = (DatasetName::new("d").unwrap(), anew.map(str::to_owned));
            begins(&EventKind::VerificationBegan { dataset, compared: 7, since, anew })
        };
        assert_eq!(began(None, None), None);
        let on = began(Some(Timestamp(0)), None).unwrap();
        assert_eq!(on, "d: goes on with the verification of 1970-01-01T00:00:00.000Z: 7 records compared then");
        let anew = "d: verifies anew, since an earlier verification does not count: it was by another level";
        assert_eq!(began(None, Some("it was by another level")).unwrap(), anew);
    }

    #[test]
    fn a_line_says_why_it_is_slow() {
        let line = copying(&[], &Speed::default(), Some("the request limit of beijing"));
        assert_eq!(line, "0 records, 0 B (waits for the request limit of beijing)");
    }
}
