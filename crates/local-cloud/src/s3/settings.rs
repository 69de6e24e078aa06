//! The settings of a bucket: its policy, locks, lifecycle, CORS and ACL.
//!
//! Lifecycle, CORS and ACLs are kept and given back. Nothing expires, no origin is checked, and no
//! ACL grants anything: only policies and accounts decide.

use std::{sync::Arc, time::SystemTime};

use s3s::{
    S3Result,
    dto::{BucketLifecycleConfiguration, CORSConfiguration, Grant, ObjectLockConfiguration},
};

use super::locks::{self, Lock, LockSettings};
use crate::policy::Policy;

/// A bucket's settings.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) policy: Option<StoredPolicy>,
    pub(super) locks: Option<LockSettings>,
    pub(super) lifecycle: Option<BucketLifecycleConfiguration>,
    pub(super) cors: Option<CORSConfiguration>,
    /// `None` if only the owner may do anything.
    pub(super) grants: Option<Vec<Grant>>,
}

/// A policy as it was put, and as it is understood.
#[derive(Debug)]
pub(super) struct StoredPolicy {
    pub(super) text: String,
    pub(super) policy: Arc<Policy>,
}

impl Settings {
    /// The lock of a new object: refused if the bucket has no locks, and the bucket's own if the write asks
    /// for none.
    pub(super) fn lock_new(&self, lock: &mut Lock) -> S3Result<()> {
        match &self.locks {
            Some(locks) => locks.lock_new(lock, SystemTime::now()),
            None if lock.is_empty() => {}
            None => return Err(locks::no_locks()),
        }
        Ok(())
    }

    /// Whether a write with this lock of its own locks something.
    pub(super) fn locks_write(&self, lock: &Lock) -> bool {
        !lock.is_empty() || self.locks.as_ref().is_some_and(LockSettings::retains)
    }

    /// Refuses a request about locks in a bucket without them.
    pub(super) fn need_locks(&self) -> S3Result<()> {
        self.locks.as_ref().map(drop).ok_or_else(locks::no_locks)
    }

    /// The settings that `CreateBucket` with `x-amz-bucket-object-lock-enabled` makes.
    pub(super) fn enable_locks(&mut self) {
        let enabled = Some("Enabled".to_owned().into());
        let configuration = ObjectLockConfiguration { object_lock_enabled: enabled, rule: None };
        self.locks = Some(LockSettings::read(configuration).expect("a configuration without a rule is valid"));
    }
}
