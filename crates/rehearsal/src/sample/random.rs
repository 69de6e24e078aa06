//! Random numbers that are the same on every machine and in every later version of this tool.
//!
//! The generators of `rand` promise neither: `SmallRng` depends on the width of a pointer, `StdRng`
//! may change with a release. Nothing here computes with fractions but [`scaled`], whose one product
//! IEEE 754 fixes to the last bit.

use bytes::Bytes;

use migrate_core::digest;

/// `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// A generator for one thing, from the seed of the whole and the name of the thing.
    pub(super) fn of(seed: u64, name: &str) -> Self {
        let digest = digest::sha256(&[&seed.to_le_bytes(), name.as_bytes()].concat());
        let first = digest.0.first_chunk().expect("a SHA-256 has 32 bytes");
        Self(u64::from_le_bytes(*first))
    }

    /// A generator for the `number`th part of the thing, whatever was drawn before.
    pub(super) fn part(&self, number: u64) -> Self {
        let mut part = Self(self.0 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(part.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0. Some come a little more often than others, which does not matter
    /// here.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in `permille` of 1000 cases.
    pub(super) fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// One of these; there must be at least one.
    pub(super) fn of_these<'a, T: ?Sized>(&mut self, these: &[&'a T]) -> &'a T {
        let at = self.below(these.len() as u64);
        these[usize::try_from(at).expect("it is below a length")]
    }

    /// A size from `min` up, mostly small and seldom large, below 2 × `max`: each doubling is less
    /// likely than the one before.
    pub(super) fn size(&mut self, min: u64, max: u64) -> u64 {
        let doublings = u64::from((max / min).max(1).ilog2()) + 1;
        let doubled = self.below(doublings).min(self.below(doublings));
        let least = min << doubled;
        least + self.below(least)
    }

    /// This many bytes that do not compress.
    pub(super) fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// `count` times `scale`, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what does not fit is cut to what does")]
pub(super) fn scaled(count: u32, scale: f64) -> u64 {
    ((f64::from(count) * scale).round() as u64).max(1)
}

/// Bytes with the beginning and the end of a format, and noise between.
pub(super) fn wrapped(start: &[u8], noise: &[u8], end: &[u8]) -> Bytes {
    [start, noise, end].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed values, to notice a change: a seed from an old note must give the same data again.
    #[test]
    fn numbers_stay_what_they_are() {
        let mut random = Random::of(7, "storefront");
        let drawn: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(drawn, [4_740_293_390_201_156_260, 6_142_541_952_304_065_557, 6_131_641_303_851_565_830]);
        assert_eq!(Random::of(7, "storefront").part(3).next(), 9_457_986_215_330_935_734);
        assert_ne!(Random::of(7, "storefront").next(), Random::of(8, "storefront").next());
        assert_ne!(Random::of(7, "storefront").next(), Random::of(7, "catalogue").next());
    }

    #[test]
    fn a_part_does_not_depend_on_what_was_drawn_before() {
        let whole = Random::of(1, "x");
        let mut first = whole.part(5);
        let _ = whole.part(1).next();
        assert_eq!(first.next(), whole.part(5).next());
        assert_ne!(whole.part(5).next(), whole.part(6).next());
    }

    #[test]
    fn sizes_are_skewed_and_bounded() {
        let mut random = Random::of(1, "sizes");
        let sizes: Vec<u64> = (0..2000).map(|_| random.size(1 << 10, 1 << 17)).collect();
        assert!(sizes.iter().all(|size| (1 << 10..1 << 18).contains(size)));
        let small = sizes.iter().filter(|size| **size < 8 << 10).count();
        let large = sizes.iter().filter(|size| **size >= 64 << 10).count();
        assert!(small > sizes.len() / 2 && (20..400).contains(&large), "{small} small, {large} large");
    }

    #[test]
    fn a_scale_never_leaves_nothing() {
        assert_eq!((scaled(200, 1.0), scaled(200, 0.05), scaled(200, 0.0), scaled(10, 2.5)), (200, 10, 1, 25));
        assert_eq!(scaled(10, f64::NAN), 1);
    }
}
