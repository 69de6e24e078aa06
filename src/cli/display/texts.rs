//! Events as lines for people.

use std::{fmt::Write as _, time::Duration};

use crate::cli::render::{self, number};
use migrate_core::{
    model::{ByteCount, DatasetName},
    report::{Advance, EventKind, RequestsAtOnce},
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

/// How far a dataset's work is, with its name; `None` if the event tells of nothing that takes time.
pub(super) fn progress(told: &EventKind) -> Option<(&DatasetName, String)> {
    Some(match told {
        EventKind::Progress { dataset, targets, advance, waits_for, .. } => {
            let failed = targets.iter().map(|target| target.failed).sum();
            (dataset, copying(advance, failed, waits_for.as_deref()))
        }
        EventKind::Verifying { dataset, compared, expected, fraction, eta_seconds, .. } => {
            (dataset, verifying(*compared, *expected, *fraction, *eta_seconds))
        }
        EventKind::Surveying { dataset, records, .. } => {
            (dataset, format!("surveying, {}", render::count(*records, "record", "records")))
        }
        _ => return None,
    })
}

/// How many requests run at once at the sites that the work of the event uses.
pub(super) fn at_once(told: &EventKind) -> &[RequestsAtOnce] {
    match told {
        EventKind::Progress { requests_at_once, .. } | EventKind::Verifying { requests_at_once, .. } => {
            requests_at_once
        }
        _ => &[],
    }
}

fn verifying(compared: u64, expected: Option<u64>, fraction: Option<f64>, eta_seconds: Option<u64>) -> String {
    let expected = expected.filter(|expected| *expected >= compared);
    let of = expected.map_or_else(String::new, |expected| format!(" of {}", number(expected)));
    format!("{}{}{of} compared{}", percent(fraction), number(compared), eta(eta_seconds))
}

fn copying(advance: &Advance, failed: u64, waits_for: Option<&str>) -> String {
    let Advance { fraction, records_done, records_total, bytes_done, bytes_total, .. } = *advance;
    let mut text = match records_total {
        Some(total) => format!("{} of {}", number(records_done), render::records(total)),
        None => render::count(records_done, "record", "records"),
    };
    let _ = match bytes_total {
        Some(total) => write!(text, ", {} of {}", ByteCount(bytes_done), ByteCount(total)),
        None => write!(text, ", {}", ByteCount(bytes_done)),
    };
    if let Some(rate) = advance.rate_bytes_per_second {
        let _ = write!(text, ", {}/s", ByteCount(rate));
    }
    text.push_str(&eta(advance.eta_seconds));
    if failed > 0 {
        let _ = write!(text, ", {} failed", number(failed));
    }
    if let Some(reason) = waits_for {
        let _ = write!(text, " (waits for {reason})");
    }
    percent(fraction) + &text
}

fn eta(seconds: Option<u64>) -> String {
    let left = seconds.map(|seconds| render::duration(Duration::from_secs(seconds)));
    left.map_or_else(String::new, |left| format!(", about {left} left"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(String::new, |share| format!("{} %, ", (share.clamp(0.0, 1.0) * 100.0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::Timestamp;

    #[test]
    fn a_verification_says_how_much_is_left_and_whether_it_goes_on() {
        let line = verifying(5, Some(2_000), Some(0.0025), Some(90));
        assert_eq!(line, "0 %, 5 of 2,000 compared, about 1 min 30 s left");
        assert_eq!(verifying(5, None, None, None), "5 compared");
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
        let reason = Some("the request limit of beijing");
        let line = copying(&Advance::default(), 0, reason);
        assert_eq!(line, "0 records, 0 B (waits for the request limit of beijing)");
        let (records_total, bytes_total) = (Some(1_234), Some(4 << 20));
        let known = Advance {
            fraction: Some(0.999),
            records_done: 1_233,
            records_total,
            bytes_done: 1 << 20,
            bytes_total,
            rate_bytes_per_second: Some(1 << 10),
            eta_seconds: Some(1),
        };
        let line = "99 %, 1,233 of 1,234 records, 1.0 MiB of 4.0 MiB, 1.0 KiB/s, about 1 s left, 2 failed";
        assert_eq!(copying(&known, 2, None), line);
    }
}
