//! Object Lock: it keeps versions from being deleted. Pure logic.
//!
//! A version is locked by a legal hold, or by a retention that has not run out. A retention in
//! `GOVERNANCE` mode can be bypassed by a request that says so, one in `COMPLIANCE` mode never.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use s3s::{
    S3Error, S3Result,
    dto::{ObjectLockConfiguration, ObjectLockLegalHoldStatus, ObjectLockRetention, Timestamp, TimestampFormat},
    s3_error,
};

use super::headers::header;

/// The header of [`Bypass::Yes`].
pub(super) const BYPASS_HEADER: &str = "x-amz-bypass-governance-retention";
const HOLD_HEADER: &str = "x-amz-object-lock-legal-hold";
const MODE_HEADER: &str = "x-amz-object-lock-mode";
const UNTIL_HEADER: &str = "x-amz-object-lock-retain-until-date";

/// Whether a request asks to bypass retention in governance mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bypass {
    No,
    Yes,
}

impl Bypass {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let asked = header(headers, BYPASS_HEADER).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if asked { Self::Yes } else { Self::No }
    }
}

/// How strong a retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Governance,
    Compliance,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "GOVERNANCE" => Some(Self::Governance),
            "COMPLIANCE" => Some(Self::Compliance),
            _ => None,
        }
    }

    /// Its name as S3 writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// Until when a version is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) mode: Mode,
    pub(super) until: Timestamp,
}

/// What locks a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) retention: Option<Retention>,
    /// `None` if none was ever put.
    pub(super) legal_hold: Option<bool>,
}

impl Lock {
    /// Reads the headers of a write.
    pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> S3Result<Self> {
        let retention = match (header(headers, MODE_HEADER), header(headers, UNTIL_HEADER)) {
            (None, None) => None,
            (Some(mode), Some(until)) => {
                let mode =
                    Mode::parse(mode).ok_or_else(|| s3_error!(InvalidArgument, "Unknown wormMode directive."))?;
                let until = Timestamp::parse(TimestampFormat::DateTime, until).map_err(|_| {
                    s3_error!(InvalidArgument, "The retain until date must be provided in ISO 8601 format")
                })?;
                Some(in_future(Retention { mode, until }, now)?)
            }
            _ => {
                return Err(s3_error!(InvalidArgument, "{UNTIL_HEADER} and {MODE_HEADER} must both be supplied"));
            }
        };
        let legal_hold = match header(headers, HOLD_HEADER) {
            None => None,
            Some("ON") => Some(true),
            Some("OFF") => Some(false),
            Some(_) => return Err(s3_error!(InvalidArgument, "Legal Hold must be either of 'ON' or 'OFF'")),
        };
        Ok(Self { retention, legal_hold })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the version must stay.
    pub(super) fn holds(&self, now: SystemTime, bypass: Bypass) -> bool {
        self.legal_hold == Some(true) || self.retention.as_ref().is_some_and(|retention| retention.holds(now, bypass))
    }

    /// Changes the retention; only `COMPLIANCE` to a later `COMPLIANCE` and `GOVERNANCE` to a later
    /// `GOVERNANCE` need no bypass while the old one lasts.
    pub(super) fn retain(&mut self, new: Option<Retention>, now: SystemTime, bypass: Bypass) -> S3Result<()> {
        let new = new.map(|new| in_future(new, now)).transpose()?;
        if let Some(old) = self.retention.as_ref().filter(|old| old.holds(now, bypass)) {
            let extends = new.as_ref().is_some_and(|new| new.mode == old.mode && new.until >= old.until);
            if !extends {
                return Err(protected());
            }
        }
        self.retention = new;
        Ok(())
    }

    pub(super) fn shown_hold(&self) -> Option<ObjectLockLegalHoldStatus> {
        self.legal_hold.map(|on| if on { "ON" } else { "OFF" }.to_owned().into())
    }
}

impl Retention {
    /// Reads the body of a `PutObjectRetention`; an empty one removes the retention.
    pub(super) fn read(asked: Option<ObjectLockRetention>) -> S3Result<Option<Self>> {
        let Some(asked) = asked else { return Err(malformed()) };
        match (asked.mode, asked.retain_until_date) {
            (None, None) => Ok(None),
            (Some(mode), Some(until)) => {
                Ok(Some(Self { mode: Mode::parse(mode.as_str()).ok_or_else(malformed)?, until }))
            }
            _ => Err(malformed()),
        }
    }

    fn holds(&self, now: SystemTime, bypass: Bypass) -> bool {
        let bypassed = self.mode == Mode::Governance && bypass == Bypass::Yes;
        self.until > Timestamp::from(now) && !bypassed
    }
}

/// The lock configuration of a bucket, and the retention that it gives new objects.
#[derive(Debug, Clone)]
pub(super) struct LockSettings {
    pub(super) configuration: ObjectLockConfiguration,
    default: Option<(Mode, Duration)>,
}

impl LockSettings {
    /// Reads a configuration. A default retention has a mode and either days or years.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DefaultRetention.html>
    pub(super) fn read(configuration: ObjectLockConfiguration) -> S3Result<Self> {
        if configuration.object_lock_enabled.as_ref().is_none_or(|enabled| enabled.as_str() != "Enabled") {
            return Err(malformed());
        }
        let default = match configuration.rule.as_ref().map(|rule| &rule.default_retention) {
            None => None,
            Some(retention) => {
                let retention = retention.as_ref().ok_or_else(malformed)?;
                let mode = retention.mode.as_ref().and_then(|mode| Mode::parse(mode.as_str())).ok_or_else(malformed)?;
                let days = match (retention.days, retention.years) {
                    (Some(days), None) => days,
                    (None, Some(years)) => years.saturating_mul(365),
                    _ => return Err(malformed()),
                };
                let days = u64::try_from(days).ok().filter(|days| (1..=36_500).contains(days)).ok_or_else(|| {
                    s3_error!(InvalidArgument, "Default retention period must be a positive integer value")
                })?;
                Some((mode, Duration::from_hours(days * 24)))
            }
        };
        Ok(Self { configuration, default })
    }

    /// Whether it retains objects that do not ask for it.
    pub(super) fn retains(&self) -> bool {
        self.default.is_some()
    }

    /// Gives a new object the bucket's retention, unless it has its own.
    pub(super) fn lock_new(&self, lock: &mut Lock, now: SystemTime) {
        if let (None, Some((mode, duration))) = (&lock.retention, self.default) {
            lock.retention = Some(Retention { mode, until: Timestamp::from(now + duration) });
        }
    }
}

/// The answer to a delete, or to a shorter retention, of a locked version.
pub(super) fn protected() -> S3Error {
    s3_error!(AccessDenied, "Access Denied because object protected by object lock.")
}

/// The answer to anything about locks in a bucket without them.
pub(super) fn no_locks() -> S3Error {
    s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")
}

fn malformed() -> S3Error {
    s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate against our published schema")
}

fn in_future(retention: Retention, now: SystemTime) -> S3Result<Retention> {
    if retention.until > Timestamp::from(now) {
        return Ok(retention);
    }
    Err(s3_error!(InvalidArgument, "The retain until date must be in the future!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn today() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    fn retained(mode: Mode, days: u32) -> Lock {
        Lock { retention: Some(until(mode, days)), legal_hold: None }
    }

    fn until(mode: Mode, days: u32) -> Retention {
        Retention { mode, until: Timestamp::from(today() + days * DAY) }
    }

    #[test]
    fn a_lock_holds_until_it_runs_out_or_is_bypassed() {
        use Bypass::{No, Yes};
        use Mode::{Compliance, Governance};
        let held = |lock: &Lock, days: u32, bypass| lock.holds(today() + days * DAY, bypass);
        let (governed, kept) = (retained(Governance, 2), retained(Compliance, 2));
        assert!(held(&governed, 1, No) && !held(&governed, 1, Yes) && !held(&governed, 2, No));
        assert!(held(&kept, 1, No) && held(&kept, 1, Yes) && !held(&kept, 2, No));
        let on_hold = Lock { legal_hold: Some(true), ..governed };
        assert!(held(&on_hold, 1, Yes) && held(&on_hold, 9, Yes), "a hold has no end and no bypass");
        assert!(!held(&Lock { retention: None, legal_hold: Some(false) }, 0, No));
    }

    #[test]
    fn a_retention_may_grow_and_shrinks_only_by_bypass() {
        use Bypass::{No, Yes};
        use Mode::{Compliance, Governance};
        let change = |mut lock: Lock, new: Option<Retention>, bypass| lock.retain(new, today(), bypass).is_ok();
        assert!(change(retained(Governance, 2), Some(until(Governance, 3)), No));
        assert!(!change(retained(Governance, 2), Some(until(Governance, 1)), No));
        assert!(!change(retained(Governance, 2), None, No));
        assert!(!change(retained(Governance, 2), Some(until(Compliance, 3)), No));
        assert!(change(retained(Governance, 2), Some(until(Compliance, 3)), Yes));
        assert!(change(retained(Governance, 2), None, Yes));
        assert!(change(retained(Compliance, 2), Some(until(Compliance, 2)), No));
        assert!(!change(retained(Compliance, 2), None, Yes));
        assert!(!change(retained(Compliance, 2), Some(until(Governance, 3)), Yes));
        assert!(!change(Lock::default(), Some(until(Governance, 0)), No), "not in the future");
    }

    #[test]
    fn headers_name_mode_and_date_together() {
        let read = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Lock::of(&pairs.collect(), today()).map_err(|error| error.code().as_str().to_owned())
        };
        let lock = read(&[(MODE_HEADER, "GOVERNANCE"), (UNTIL_HEADER, "2999-01-01T00:00:00Z"), (HOLD_HEADER, "OFF")]);
        let lock = lock.unwrap();
        assert_eq!((lock.retention.unwrap().mode, lock.legal_hold), (Mode::Governance, Some(false)));
        assert!(read(&[]).unwrap().is_empty());
        for wrong in [
            &[(MODE_HEADER, "GOVERNANCE")][..],
            &[(MODE_HEADER, "GOVERNANCE"), (UNTIL_HEADER, "1999-01-01T00:00:00Z")],
            &[(MODE_HEADER, "GOVERNANCE"), (UNTIL_HEADER, "tomorrow")],
            &[(MODE_HEADER, "governance"), (UNTIL_HEADER, "2999-01-01T00:00:00Z")],
            &[(HOLD_HEADER, "maybe")],
        ] {
            assert_eq!(read(wrong).unwrap_err(), "InvalidArgument", "{wrong:?}");
        }
    }
}
