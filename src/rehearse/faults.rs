//! Faults: which request fails, and how. Seeded, so that a failure replays.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::operation::Operation;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500 `InternalError`; nothing was done.
    InternalError,
    /// 503 `SlowDown`; nothing was done.
    SlowDown,
    /// The connection closes without an answer; nothing was done.
    ResetBefore,
    /// The connection closes without an answer, although the request was carried out.
    ResetAfter,
    /// The body of the answer ends early: half of it arrives, then the connection closes.
    TruncateResponse,
    /// One bit of the answer's body is flipped.
    FlipResponseBit,
    /// One bit of the request's body is flipped before the server looks at it.
    FlipRequestBit,
    /// 200 with an error in its body; nothing was done. Copies and completions only.
    ErrorInside,
    /// The answer begins late.
    SlowFirstByte(Duration),
    /// A listing does not show the key that was written last.
    StaleListing,
}

impl Fault {
    /// Whether the fault makes sense for an operation, where its rule names none.
    ///
    /// Flipped bits and cut bodies strike object data alone: nothing in S3 protects an XML answer
    /// over plain HTTP, so no client could notice.
    fn applies_to(self, operation: Operation) -> bool {
        use Operation::{CompleteMultipartUpload, CopyObject, GetObject, PutObject, UploadPart, UploadPartCopy};
        match self {
            Self::TruncateResponse | Self::FlipResponseBit => operation == GetObject,
            Self::FlipRequestBit => matches!(operation, PutObject | UploadPart),
            Self::ErrorInside => matches!(operation, CompleteMultipartUpload | CopyObject | UploadPartCopy),
            Self::StaleListing => operation.lists_objects(),
            _ => true,
        }
    }
}

/// Which of the requests that a rule looks at fail. They count from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Every n-th; 1 is all of them.
    Every(u64),
    /// The n-th alone.
    Only(u64),
    /// Each with this probability, from 0 to 1.
    Probability(f64),
}

/// One kind of fault, when it strikes and whom.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// With which of the requests it looks at.
    pub when: When,
    /// The operations it looks at; empty for all for which the fault makes sense.
    pub operations: Vec<Operation>,
}

impl FaultRule {
    /// A rule for all operations for which the fault makes sense.
    pub fn new(fault: Fault, when: When) -> Self {
        Self { fault, when, operations: Vec::new() }
    }

    /// Limits the rule to these operations.
    #[must_use]
    pub fn on(mut self, operations: impl Into<Vec<Operation>>) -> Self {
        self.operations = operations.into();
        self
    }

    fn looks_at(&self, operation: Operation) -> bool {
        if self.operations.is_empty() { self.fault.applies_to(operation) } else { self.operations.contains(&operation) }
    }
}

/// All that goes wrong. The first rule that strikes decides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// What chance is drawn from.
    pub seed: u64,
    /// The rules.
    pub rules: Vec<FaultRule>,
}

impl Faults {
    /// One rule.
    pub fn one(seed: u64, rule: FaultRule) -> Self {
        Self { seed, rules: vec![rule] }
    }
}

/// A fault that strikes now, with a number drawn for it (where to flip a bit).
#[derive(Debug, Clone, Copy)]
pub(super) struct Strike {
    pub(super) fault: Fault,
    pub(super) draw: u64,
}

/// Faults with the count of requests that each rule has seen.
#[derive(Debug, Default)]
pub(super) struct ActiveFaults {
    faults: Faults,
    seen: Vec<AtomicU64>,
}

impl ActiveFaults {
    pub(super) fn new(faults: Faults) -> Self {
        let seen = faults.rules.iter().map(|_| AtomicU64::new(0)).collect();
        Self { faults, seen }
    }

    /// What goes wrong with the next request, which is of this operation.
    pub(super) fn next(&self, operation: Operation) -> Option<Strike> {
        let mut strike = None;
        for (index, (rule, seen)) in self.faults.rules.iter().zip(&self.seen).enumerate() {
            if !rule.looks_at(operation) {
                continue;
            }
            let count = seen.fetch_add(1, Ordering::Relaxed) + 1;
            let draw = mix(mix(self.faults.seed ^ (index as u64)) ^ count);
            if strike.is_none() && strikes(rule.when, count, draw) {
                strike = Some(Strike { fault: rule.fault, draw: mix(draw) });
            }
        }
        strike
    }
}

fn strikes(when: When, count: u64, draw: u64) -> bool {
    match when {
        When::Every(n) => n > 0 && count.is_multiple_of(n),
        When::Only(n) => count == n,
        #[expect(clippy::cast_precision_loss, reason = "a draw of 53 bits is fine enough")]
        When::Probability(share) => ((draw >> 11) as f64) < share * (1_u64 << 53) as f64,
    }
}

/// Spreads the bits of a number: the finaliser of `SplitMix64`.
/// <https://prng.di.unimi.it/splitmix64.c>
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(seed: u64, when: When) -> Vec<bool> {
        let faults = ActiveFaults::new(Faults::one(seed, FaultRule::new(Fault::SlowDown, when)));
        (0..1000).map(|_| faults.next(Operation::GetObject).is_some()).collect()
    }

    #[test]
    fn a_seed_replays_and_another_differs() {
        let when = When::Probability(0.1);
        assert_eq!(pattern(7, when), pattern(7, when));
        assert_ne!(pattern(7, when), pattern(8, when));
        let struck = pattern(7, when).into_iter().filter(|hit| *hit).count();
        assert!((60..=140).contains(&struck), "{struck} of 1000 at 10 %");
        assert!(pattern(7, When::Probability(1.0)).into_iter().all(|hit| hit));
        assert!(!pattern(7, When::Probability(0.0)).contains(&true));
    }

    #[test]
    fn every_and_only_count_from_one() {
        assert_eq!(pattern(0, When::Every(3))[..6], [false, false, true, false, false, true]);
        assert_eq!(pattern(0, When::Only(2))[..4], [false, true, false, false]);
    }

    #[test]
    fn a_rule_counts_only_what_it_looks_at() {
        let rule = FaultRule::new(Fault::SlowDown, When::Only(2)).on([Operation::PutObject]);
        let faults = ActiveFaults::new(Faults::one(1, rule));
        assert!(faults.next(Operation::PutObject).is_none());
        assert!(faults.next(Operation::GetObject).is_none());
        assert!(faults.next(Operation::PutObject).is_some());
    }

    #[test]
    fn a_fault_strikes_only_where_it_makes_sense() {
        let faults = ActiveFaults::new(Faults::one(1, FaultRule::new(Fault::ErrorInside, When::Every(1))));
        assert!(faults.next(Operation::PutObject).is_none());
        assert!(faults.next(Operation::CopyObject).is_some());
    }
}
