//! Which operation a fault strikes: seeded, counted rules for any kind of place that can fail.
//!
//! Two things fail on purpose: the servers of `migrate-local-cloud`, request by request, and the decorator
//! `migrate_store::faulty`, call by call. Each knows its own kinds of faults and its own operations. The rule
//! for when a fault strikes is the same for both, so a rule means the same and a seed replays the same in
//! both. Neither of the two members may know the other, so the rule stands here.
//!
//! The fate of an operation is a function of the seed and of how many operations each rule has seen.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU64, Ordering},
};

/// The faults of one kind of place.
pub trait Kind: Debug + Copy + PartialEq {
    /// The operations that can fail there.
    type Operation: Debug + Copy + PartialEq;

    /// Whether the fault makes sense for an operation. Decides for rules without operations.
    fn applies_to(self, operation: Self::Operation) -> bool;
}

/// Which of the operations that a rule looks at fail. They count from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Every n-th; 1 is all of them.
    Every(u64),
    /// The n-th alone.
    Only(u64),
    /// Each with this probability, from 0 to 1.
    Probability(f64),
}

/// One kind of fault, and which operations it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule<K: Kind> {
    /// The fault to inject.
    pub fault: K,
    /// Which of the operations below fail.
    pub when: When,
    /// The operations that the rule looks at; empty for all for which the fault makes sense.
    pub operations: Vec<K::Operation>,
}

impl<K: Kind> Rule<K> {
    /// A rule for all operations for which the fault makes sense.
    pub fn new(fault: K, when: When) -> Self {
        Self { fault, when, operations: Vec::new() }
    }

    /// Limits the rule to these operations.
    #[must_use]
    pub fn on(mut self, operations: impl Into<Vec<K::Operation>>) -> Self {
        self.operations = operations.into();
        self
    }

    fn looks_at(&self, operation: K::Operation) -> bool {
        if self.operations.is_empty() { self.fault.applies_to(operation) } else { self.operations.contains(&operation) }
    }
}

/// All faults of one place. The first rule that strikes decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules<K: Kind> {
    /// Seed of the random draws.
    pub seed: u64,
    /// In order of precedence.
    pub rules: Vec<Rule<K>>,
}

impl<K: Kind> Default for Rules<K> {
    /// No fault.
    fn default() -> Self {
        Self { seed: 0, rules: Vec::new() }
    }
}

impl<K: Kind> Rules<K> {
    /// One rule alone.
    pub fn one(seed: u64, rule: Rule<K>) -> Self {
        Self { seed, rules: vec![rule] }
    }
}

/// A fault that strikes now.
#[derive(Debug, Clone, Copy)]
pub struct Strike<K> {
    /// The fault of the rule that struck.
    pub fault: K,
    /// A random number for it, for example the bit to flip.
    pub draw: u64,
}

/// Rules with the count of operations that each has seen.
#[derive(Debug)]
pub struct Counted<K: Kind> {
    rules: Rules<K>,
    seen: Vec<AtomicU64>,
}

impl<K: Kind> Counted<K> {
    /// Rules with all counts at 0.
    pub fn new(rules: Rules<K>) -> Self {
        let seen = rules.rules.iter().map(|_| AtomicU64::new(0)).collect();
        Self { rules, seen }
    }

    /// Seed of the random draws.
    pub fn seed(&self) -> u64 {
        self.rules.seed
    }

    /// Counts the operation that begins now; the fault that strikes it, if any.
    pub fn next(&self, operation: K::Operation) -> Option<Strike<K>> {
        let mut strike = None;
        for (index, (rule, seen)) in self.rules.rules.iter().zip(&self.seen).enumerate() {
            if !rule.looks_at(operation) {
                continue;
            }
            let count = seen.fetch_add(1, Ordering::Relaxed) + 1;
            let draw = mix(mix(self.rules.seed ^ (index as u64)) ^ count);
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
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Flips the bit of a body that `draw` selects; an empty body stays as it is.
pub fn flip_bit(bytes: &[u8], draw: u64) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    if !changed.is_empty() {
        let index = usize::try_from(draw % changed.len() as u64).expect("an index into memory fits");
        changed[index] ^= 1 << (mix(draw) % 8);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind for even operations only, and a kind for all.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Trouble {
        Even,
        Any,
    }

    impl Kind for Trouble {
        type Operation = u8;

        fn applies_to(self, operation: u8) -> bool {
            self == Self::Any || operation.is_multiple_of(2)
        }
    }

    fn pattern(seed: u64, when: When) -> Vec<bool> {
        let rules = Counted::new(Rules::one(seed, Rule::new(Trouble::Any, when)));
        (0..1000).map(|_| rules.next(0).is_some()).collect()
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
        assert!(!pattern(0, When::Every(0)).contains(&true));
    }

    #[test]
    fn a_rule_counts_only_what_it_looks_at() {
        let rules = Counted::new(Rules::one(1, Rule::new(Trouble::Any, When::Only(2)).on([7])));
        assert!(rules.next(7).is_none());
        assert!(rules.next(8).is_none());
        assert!(rules.next(7).is_some());
    }

    #[test]
    fn a_fault_strikes_only_where_it_makes_sense_and_the_first_rule_decides() {
        let rules = vec![Rule::new(Trouble::Even, When::Every(1)), Rule::new(Trouble::Any, When::Every(1))];
        let rules = Counted::new(Rules { seed: 1, rules });
        assert_eq!(rules.next(1).map(|strike| strike.fault), Some(Trouble::Any));
        assert_eq!(rules.next(2).map(|strike| strike.fault), Some(Trouble::Even));
    }

    #[test]
    fn a_flipped_bit_is_exactly_one() {
        for draw in 0..500 {
            let flipped = flip_bit(&[0; 100], mix(draw));
            assert_eq!(flipped.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
        assert!(flip_bit(&[], 7).is_empty());
    }
}
