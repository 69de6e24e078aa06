//! How an object is cut into parts.

use migrate_store::{ByteRange, PartRules};

/// Largest part size, in bytes, that is taken over from the source.
pub const PART_BYTES_MAX: u64 = 64 << 20;
/// Part size in bytes, if the source's own is not taken over and the plan names none.
pub const PART_BYTES: u64 = 16 << 20;
/// Objects of up to this many bytes go whole, unless the source's layout or the plan cuts them.
pub const WHOLE_BYTES_MAX: u64 = 32 << 20;

/// Computed part sizes are whole multiples of this, as with most uploaders.
const MIB: u64 = 1 << 20;

/// Chooses the size in bytes of every part but the last; `None` if the object goes whole.
///
/// `source_part` is the source's own part size, which is kept if it fits: equal layouts keep
/// `ETag`s comparable. `wish` is the plan's. `rules` are those that all targets accept.
pub fn part_size(size: u64, source_part: Option<u64>, wish: Option<u64>, rules: PartRules) -> Option<u64> {
    let fits = |part: u64| {
        part >= rules.size_min && part <= rules.size_max && size.div_ceil(part) <= u64::from(rules.count_max)
    };
    if let Some(part) = source_part.filter(|part| fits(*part) && *part <= PART_BYTES_MAX && *part < size) {
        return Some(part);
    }
    if size <= WHOLE_BYTES_MAX.min(rules.size_max) && wish.is_none_or(|wish| size <= wish) {
        return None;
    }
    let mut part = wish.unwrap_or(PART_BYTES);
    if !fits(part) {
        let needed = size.div_ceil(u64::from(rules.count_max)).next_multiple_of(MIB);
        part = part.max(needed).clamp(rules.size_min, rules.size_max);
    }
    (part < size).then_some(part)
}

/// The byte range of part `number`, from 1.
pub fn part_range(size: u64, part_size: u64, number: u32) -> ByteRange {
    let start = u64::from(number - 1) * part_size;
    ByteRange { start, end: size.min(start + part_size) }
}

/// The number of parts, with the last one.
pub fn part_count(size: u64, part_size: u64) -> u32 {
    u32::try_from(size.div_ceil(part_size)).expect("part_size keeps to the rules' count")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_tile_the_object(
            size in 1_u64..(5 << 40),
            source in proptest::option::of(1_u64..(6 << 30)),
            wish in proptest::option::of((5_u64 << 20)..(5 << 30)),
        ) {
            let rules = PartRules::S3;
            let Some(part) = part_size(size, source, wish, rules) else {
                // If the plan asks for larger parts, larger objects go whole.
                prop_assert!(size <= WHOLE_BYTES_MAX.max(wish.unwrap_or(0)));
                return Ok(());
            };
            let count = part_count(size, part);
            prop_assert!(count >= 2 && count <= rules.count_max);
            prop_assert!(part >= rules.size_min && part <= rules.size_max);
            let (first, last) = (part_range(size, part, 1), part_range(size, part, count));
            prop_assert_eq!(first.start, 0);
            prop_assert_eq!(last.end, size);
            prop_assert!(last.start < last.end);
            let middle = part_range(size, part, count / 2 + 1);
            prop_assert_eq!(middle.start, part_range(size, part, count / 2).end);
        }
    }

    #[test]
    fn the_sources_layout_is_kept_where_it_fits() {
        assert_eq!(part_size(20 << 20, Some(8 << 20), None, PartRules::S3), Some(8 << 20));
        assert_eq!(part_size(200 << 20, Some(100 << 20), None, PartRules::S3), Some(PART_BYTES), "above the ceiling");
        assert_eq!(part_size(20 << 20, Some(1 << 20), None, PartRules::S3), None, "below the rules");
        assert_eq!(part_size(0, None, None, PartRules::S3), None);
        assert_eq!(part_size(WHOLE_BYTES_MAX, None, None, PartRules::S3), None);
        assert_eq!(part_size(WHOLE_BYTES_MAX + 1, None, None, PartRules::S3), Some(PART_BYTES));
        assert_eq!(part_size(5 << 40, None, None, PartRules::S3), Some(525 * MIB));
    }
}
