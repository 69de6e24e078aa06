//! Objects that follow from their number: their keys, bodies and tags need no memory.

use std::sync::{Arc, LazyLock};

use anyhow::Context as _;
use bytes::Bytes;

use crate::object::{Content, Object, tag_of_bytes};

/// Bytes that all bodies are cut from, twice this long so that each cut is in one piece.
const PATTERN_BYTES: usize = 1 << 20;

/// How many bodies of one size differ. Their tags are computed once.
const BODIES: usize = 256;

/// The key of an object is this and its number.
const NAME: &str = "object-";
/// The digits of the number, with leading zeros, so that keys sort by number.
const DIGITS: usize = 10;

/// When every one of them was written, in seconds since 1970.
const MODIFIED_S: u64 = 1_700_000_000;

static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let once: Vec<u8> = (0..PATTERN_BYTES / 8).flat_map(|_| step()).collect();
    Bytes::from([once.as_slice(), once.as_slice()].concat())
});

/// So many objects of one size.
#[derive(Clone)]
pub(crate) struct Formula {
    count: usize,
    bodies: Vec<Arc<Object>>,
}

impl Formula {
    /// Reads `COUNTxBYTES`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (count, bytes) = text.split_once('x').with_context(|| format!("{text} is not COUNTxBYTES"))?;
        let (count, size) = (count.parse().context("COUNT")?, bytes.parse().context("BYTES")?);
        let object = |number| {
            let tag = tag_of_bytes(size, &pieces(number, 0, size));
            Arc::new(Object { size, tag, modified_s: MODIFIED_S, content: Content::Formula(number), head: None })
        };
        Ok(Self { count, bodies: (0..BODIES.min(count)).map(object).collect() })
    }

    /// The object under a key.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Object>> {
        let digits = key.strip_prefix(NAME).filter(|digits| digits.len() == DIGITS)?;
        let number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
        (number < self.count).then(|| self.object(number))
    }

    /// All keys from `from` on, in order, with their objects.
    pub(crate) fn range(&self, from: &str) -> impl Iterator<Item = (String, Arc<Object>)> {
        let (mut least, mut most) = (0, self.count);
        while least < most {
            let middle = usize::midpoint(least, most);
            if key(middle).as_str() < from { least = middle + 1 } else { most = middle }
        }
        (least..self.count).map(|number| (key(number), self.object(number)))
    }

    fn object(&self, number: usize) -> Arc<Object> {
        Arc::clone(&self.bodies[number % BODIES])
    }
}

fn key(number: usize) -> String {
    format!("{NAME}{number:0DIGITS$}")
}

/// The bytes `[start, end)` of the body of this number.
pub(crate) fn pieces(number: usize, start: u64, end: u64) -> Vec<Bytes> {
    let pattern = PATTERN_BYTES as u64;
    // Bodies of neighbours begin at odd distances, so that no two are equal at the same place.
    let shift = (number as u64 * 4099) % pattern;
    let mut cut = Vec::new();
    let mut at = start;
    while at < end {
        let from = (at + shift) % pattern;
        let bytes = (end - at).min(pattern);
        let from = usize::try_from(from).expect("it is below the length of the pattern");
        let bytes = usize::try_from(bytes).expect("it is at most the length of the pattern");
        cut.push(PATTERN.slice(from..from + bytes));
        at += bytes as u64;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_that_part_of_the_whole() {
        let whole = pieces(7, 0, 5_000_000).concat();
        assert_eq!(pieces(7, 1_048_000, 4_000_123).concat(), whole[1_048_000..4_000_123]);
        assert_ne!(pieces(8, 0, 4096), pieces(7, 0, 4096));
    }

    #[test]
    fn keys_are_found_and_listed_in_order() {
        let formula = Formula::parse("1000x16").unwrap();
        assert!(formula.get("object-0000000999").is_some());
        assert!(formula.get("object-0000001000").is_none());
        assert!(formula.get("object-999").is_none());
        let keys: Vec<_> = formula.range("object-00000009985").map(|(key, _)| key).collect();
        assert_eq!(keys, ["object-0000000999"]);
        assert_eq!(formula.range("").count(), 1000);
    }
}
