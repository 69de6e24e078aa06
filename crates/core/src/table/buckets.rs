//! [`Buckets`]: a digest of all items of a table that is a few thousand numbers, and by which two tables are compared.
//!
//! The bucket of an item is the first bits of the digest of its key. Which keys are folded at all, and into how many
//! buckets, a [`Grain`] says: all of them, or, for a closer look, those of some buckets, in finer ones. A bucket holds how many items were added to it,
//! and the sum of their digests, as numbers of 256 bits, the most significant byte first, modulo 2^256.
//!
//! - **The order does not matter**, so stores that scan in different orders compare, and parts that were folded apart
//!   are merged.
//! - **What was added can be taken away**, so an item that is looked at again replaces what was folded of it.
//! - **Duplicates do not cancel**, as they would if digests were combined by exclusive or: an item that is there twice
//!   counts twice.
//!
//! Equal buckets hold equal items, as far as nobody can find other items whose digests have the same sum. That is
//! proof against accidents of every kind. It is none against somebody who chooses what the items hold in order to
//! deceive: sums of many digests can be forged.

use std::sync::Arc;

use crate::model::Sha256;

/// The most bits of a bucket's number: a million buckets, 40 MB.
pub const BUCKET_BITS_MAX: u8 = 20;

/// The items of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// How many items there are, modulo 2^64: what was taken away before it was added counts as missing.
    pub count: u64,
    /// The sum of their digests; the first limb is the least significant one.
    sum: [u64; 4],
}

impl Bucket {
    /// Length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 40;

    /// Adds an item by its digest.
    pub fn add(&mut self, item: Sha256) {
        self.merge(&Self { count: 1, sum: limbs(item) });
    }

    /// Takes an item away that was or will be added.
    pub fn subtract(&mut self, item: Sha256) {
        let mut borrow = false;
        for (limb, other) in self.sum.iter_mut().zip(limbs(item)) {
            (*limb, borrow) = limb.borrowing(other, borrow);
        }
        self.count = self.count.wrapping_sub(1);
    }

    /// Adds all items of another bucket.
    pub fn merge(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, other) in self.sum.iter_mut().zip(other.sum) {
            (*limb, carry) = limb.carrying(other, carry);
        }
        self.count = self.count.wrapping_add(other.count);
    }

    /// The count, then the sum, each with the most significant byte first.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = std::iter::once(self.count).chain(self.sum.into_iter().rev());
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |index: usize| u64::from_be_bytes(std::array::from_fn(|byte| bytes[index * 8 + byte]));
        Self { count: word(0), sum: [word(4), word(3), word(2), word(1)] }
    }
}

/// Addition and subtraction with a carry, limb by limb.
trait Limb: Sized {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool);
    fn borrowing(self, other: Self, borrow: bool) -> (Self, bool);
}

impl Limb for u64 {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, over) = self.overflowing_add(other);
        let (sum, again) = sum.overflowing_add(Self::from(carry));
        (sum, over || again)
    }

    fn borrowing(self, other: Self, borrow: bool) -> (Self, bool) {
        let (rest, under) = self.overflowing_sub(other);
        let (rest, again) = rest.overflowing_sub(Self::from(borrow));
        (rest, under || again)
    }
}

fn limbs(Sha256(digest): Sha256) -> [u64; 4] {
    let limb = |from: usize| u64::from_be_bytes(std::array::from_fn(|byte| digest[from + byte]));
    [limb(24), limb(16), limb(8), limb(0)]
}

/// Which keys are folded, and which bucket each is in: by the first bits of its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grain {
    /// The first bits of the keys that are folded, ascending, as numbers of so many bits.
    open: Vec<u64>,
    bits: u8,
    /// How many bits after them number the bucket, among those of the same first bits.
    more: u8,
}

impl Grain {
    /// All keys, in 2^`bits` buckets; more than [`BUCKET_BITS_MAX`] bits are as many.
    pub fn whole(bits: u8) -> Self {
        Self { open: vec![0], bits: 0, more: bits.min(BUCKET_BITS_MAX) }
    }

    /// The keys of these buckets alone, in finer ones: no more than 2^`bits` of them in all, if they are no more now.
    #[must_use]
    pub fn finer(&self, numbers: &[usize], bits: u8) -> Self {
        let mut open: Vec<_> = numbers.iter().map(|number| self.prefix(*number)).collect();
        open.sort_unstable();
        open.dedup();
        let known = self.bits + self.more;
        let each = (1_usize << bits.min(BUCKET_BITS_MAX)) / open.len().max(1);
        let more = each.checked_ilog2().and_then(|bits| u8::try_from(bits).ok()).unwrap_or(0);
        Self { open, bits: known, more: more.min(64 - known) }
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        self.open.len() << self.more
    }

    /// The number of the bucket that holds the items with this key; `None` if they are not folded.
    pub fn number(&self, key: Sha256) -> Option<usize> {
        let first = u64::from_be_bytes(std::array::from_fn(|byte| key.0[byte]));
        let at = self.open.binary_search(&leading(first, self.bits)).ok()?;
        let next = leading(first.checked_shl(self.bits.into()).unwrap_or(0), self.more);
        Some((at << self.more) | usize::try_from(next).ok()?)
    }

    /// The first bits of the keys in a bucket.
    fn prefix(&self, number: usize) -> u64 {
        let within = number & ((1 << self.more) - 1);
        (self.open[number >> self.more] << self.more) | within as u64
    }
}

/// The first bits of a number, as a number.
fn leading(number: u64, bits: u8) -> u64 {
    number.checked_shr(64 - u32::from(bits)).unwrap_or(0)
}

/// The buckets of a table, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    grain: Arc<Grain>,
    all: Vec<Bucket>,
}

impl Buckets {
    /// Empty buckets.
    pub fn new(grain: Arc<Grain>) -> Self {
        Self { all: vec![Bucket::default(); grain.buckets()], grain }
    }

    /// Which keys are folded, and where.
    pub fn grain(&self) -> &Arc<Grain> {
        &self.grain
    }

    /// All buckets, by number.
    pub fn all(&self) -> &[Bucket] {
        &self.all
    }

    /// Adds an item, by the digest of its key and its own, if such keys are folded.
    pub fn add(&mut self, key: Sha256, item: Sha256) {
        if let Some(number) = self.grain.number(key) {
            self.all[number].add(item);
        }
    }

    /// Takes an item away that was or will be added.
    pub fn subtract(&mut self, key: Sha256, item: Sha256) {
        if let Some(number) = self.grain.number(key) {
            self.all[number].subtract(item);
        }
    }

    /// Adds all items of other buckets. Fails, and changes nothing, if they have another grain.
    pub fn merge(&mut self, other: &Self) -> Result<(), OtherGrain> {
        self.must_match(other)?;
        for (bucket, other) in self.all.iter_mut().zip(&other.all) {
            bucket.merge(other);
        }
        Ok(())
    }

    /// How many items there are in all.
    pub fn count(&self) -> u64 {
        self.all.iter().fold(0, |sum, bucket| sum.wrapping_add(bucket.count))
    }

    /// The numbers of the buckets that differ, ascending. Fails if the grain differs.
    pub fn differing(&self, other: &Self) -> Result<Vec<usize>, OtherGrain> {
        self.must_match(other)?;
        Ok((0..self.all.len()).filter(|number| self.all[*number] != other.all[*number]).collect())
    }

    fn must_match(&self, other: &Self) -> Result<(), OtherGrain> {
        if self.grain == other.grain { Ok(()) } else { Err(OtherGrain) }
    }
}

/// Buckets into which keys fall differently can be neither merged nor compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("buckets of one grain do not fit to buckets of another one")]
pub struct OtherGrain;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn any_digest() -> impl Strategy<Value = Sha256> {
        // All ones and all zeros carry and borrow through all limbs.
        prop_oneof![
            any::<[u8; 32]>(),
            Just([0xff; 32]),
            Just([0; 32]),
            any::<u8>().prop_map(|byte| {
                let mut digest = [0xff; 32];
                digest[31] = byte;
                digest
            })
        ]
        .prop_map(Sha256)
    }

    fn any_items() -> impl Strategy<Value = Vec<(Sha256, Sha256)>> {
        vec((any_digest(), any_digest()), 0..12)
    }

    fn folded(bits: u8, items: &[(Sha256, Sha256)]) -> Buckets {
        let mut buckets = Buckets::new(Grain::whole(bits).into());
        for (key, item) in items {
            buckets.add(*key, *item);
        }
        buckets
    }

    proptest! {
        #[test]
        fn order_and_parts_do_not_matter(items in any_items(), bits in 0_u8..9, cut in any::<prop::sample::Index>(), seed in any::<u64>()) {
            let whole = folded(bits, &items);
            let mut mixed = items.clone();
            mixed.sort_by_key(|(key, item)| (key.0[31] ^ seed.to_be_bytes()[0], item.0));
            prop_assert_eq!(&folded(bits, &mixed), &whole);
            let (one, other) = items.split_at(cut.index(items.len() + 1));
            let mut merged = folded(bits, other);
            merged.merge(&folded(bits, one)).unwrap();
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(whole.count(), items.len() as u64);
        }

        #[test]
        fn what_was_added_is_taken_away_in_any_order(items in any_items(), more in any_items(), bits in 0_u8..9) {
            let mut buckets = Buckets::new(Grain::whole(bits).into());
            // Also before it is added: parts may be merged in any order.
            for (key, item) in &more {
                buckets.subtract(*key, *item);
            }
            for (key, item) in items.iter().chain(&more) {
                buckets.add(*key, *item);
            }
            prop_assert_eq!(buckets, folded(bits, &items));
        }

        #[test]
        fn an_item_more_shows_in_its_bucket_alone(items in any_items(), key in any_digest(), item in any_digest(), bits in 0_u8..9) {
            let (one, mut other) = (folded(bits, &items), folded(bits, &items));
            prop_assert_eq!(one.differing(&other).unwrap(), Vec::<usize>::new());
            // The same item twice does not cancel itself.
            for _ in 0..2 {
                other.add(key, item);
                prop_assert_eq!(one.differing(&other).unwrap(), vec![one.grain().number(key).unwrap()]);
            }
        }

        /// However often it is refined, it folds the keys of the buckets that were chosen, and no others, each in the bucket
        /// of its next bits, and has no more buckets than it may.
        #[test]
        fn finer_buckets_hold_what_the_chosen_ones_held(
            keys in vec(any_digest(), 1..40),
            bits in 0_u8..7,
            finer in vec((any::<u64>(), 0_u8..9), 0..30),
        ) {
            let mut grain = Grain::whole(bits);
            for (chosen, bits) in finer {
                let is_chosen = |number: usize| (chosen >> (number % 64)) & 1 == 1;
                let numbers: Vec<_> = (0..grain.buckets()).filter(|number| is_chosen(*number)).collect();
                let next = grain.finer(&numbers, bits);
                prop_assert!(next.buckets() <= (1 << bits).max(numbers.len()), "{} of {bits}", next.buckets());
                for key in &keys {
                    let before = grain.number(*key).filter(|number| is_chosen(*number));
                    prop_assert_eq!(next.number(*key).is_some(), before.is_some());
                    // Buckets keep their order, and split.
                    prop_assert_eq!(next.number(*key).map(|number| numbers[number >> next.more]), before);
                }
                grain = next;
            }
        }

        #[test]
        fn a_bucket_is_kept_as_bytes(items in vec(any_digest(), 0..5)) {
            let mut bucket = Bucket::default();
            for item in items {
                bucket.add(item);
            }
            prop_assert_eq!(Bucket::from_bytes(&bucket.to_bytes()), bucket);
        }
    }

    #[test]
    fn sums_are_those_of_numbers() {
        let mut bucket = Bucket::default();
        bucket.add(Sha256([0xff; 32]));
        let mut two = [0; 32];
        two[31] = 2;
        bucket.add(Sha256(two));
        let mut expected = [0; Bucket::BYTES];
        (expected[7], expected[39]) = (2, 1);
        assert_eq!(bucket.to_bytes(), expected, "2^256 - 1 + 2 is 1, of two items");
    }

    #[test]
    fn the_first_bits_of_a_key_number_its_bucket() {
        let mut key = [0; 32];
        (key[0], key[1], key[2]) = (0b1010_0000, 0xff, 0xf0);
        let key = Sha256(key);
        for (bits, number) in [(0, 0), (1, 1), (3, 5), (8, 0xa0), (16, 0xa0ff), (20, 0xa_0fff), (99, 0xa_0fff)] {
            assert_eq!(Grain::whole(bits).number(key), Some(number), "{bits} bits");
        }
        let of = |bits| Buckets::new(Grain::whole(bits).into());
        assert_eq!(of(3).merge(&of(4)), Err(OtherGrain));
        assert!(of(3).differing(&of(4)).is_err());
    }
}
