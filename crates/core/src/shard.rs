//! Shards: key ranges, how they split, and how far each is done.
//!
//! A shard is a range of keys `(after, until]` in byte order. Its records finish in any order, but its [`Cursor`]
//! may only stand at a key with no open record before it: [`Frontier`] keeps that gapless prefix. A shard gives work
//! away by splitting ([`split`]) near a key that [`bisect`] proposes.
//!
//! Keys are treated as fractions between 0 and 1 whose digits are their UTF-8 bytes: half way between `a` and `c`
//! lies `b`, whatever the keys mean. No alphabet and no `/` is assumed.

use std::{
    collections::VecDeque,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};

use crate::model::{Key, KeyRange};

/// How far a shard is durably done for one target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cursor {
    /// No key is done yet.
    Start,
    /// Every key up to and including this one is done.
    At(Key),
    /// The whole shard is done.
    End,
}

/// Work done, counted per shard and target in the current pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Records seen at the source.
    pub records: u64,
    /// Bytes of the records seen at the source.
    pub bytes: u64,
    /// Records that were equal already.
    pub same: u64,
    /// Records written, new or replaced.
    pub copied: u64,
    /// Bytes written.
    pub copied_bytes: u64,
    /// Records deleted at the target.
    pub deleted: u64,
    /// Records that only the target has and the plan keeps.
    pub extra: u64,
    /// Records written although an earlier, interrupted process had written them already.
    pub repeated: u64,
    /// Bytes of the repeated records.
    pub repeated_bytes: u64,
}

impl Tally {
    /// What this has more than another, field by field.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            bytes: self.bytes.saturating_sub(other.bytes),
            same: self.same.saturating_sub(other.same),
            copied: self.copied.saturating_sub(other.copied),
            copied_bytes: self.copied_bytes.saturating_sub(other.copied_bytes),
            deleted: self.deleted.saturating_sub(other.deleted),
            extra: self.extra.saturating_sub(other.extra),
            repeated: self.repeated.saturating_sub(other.repeated),
            repeated_bytes: self.repeated_bytes.saturating_sub(other.repeated_bytes),
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.same += other.same;
        self.copied += other.copied;
        self.copied_bytes += other.copied_bytes;
        self.deleted += other.deleted;
        self.extra += other.extra;
        self.repeated += other.repeated;
        self.repeated_bytes += other.repeated_bytes;
    }
}

/// The records of one shard that are under way for one target, and the gapless prefix of the finished ones.
///
/// Finished means written, deferred or recorded as failed. A record whose ticket is dropped unfinished is given up:
/// the cursor never passes it, so it is closed from then on. Every call is O(1), amortised over the
/// records. `T` is what the work on a record came to; it adds up.
#[derive(Debug)]
pub struct Frontier<T = Tally> {
    /// Records begun and not yet passed by the cursor, in listing order; `Some` once finished.
    slots: VecDeque<(Key, Option<T>)>,
    /// How many records have left the front of `slots`; tickets count from there.
    passed: u64,
    /// The key that began last.
    last: Option<Key>,
    limit: usize,
    listing: Listing,
    /// A ticket was dropped unfinished.
    closed: Arc<AtomicBool>,
}

/// Whether another record may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Another record may begin.
    Free,
    /// First a record under way must finish, or the cursor must pass finished ones.
    Full,
    /// No record may begin any more: one was given up, and the cursor never passes it.
    Closed,
}

/// The state of a window's listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// More may come.
    Open,
    /// All records have begun.
    Ended,
    /// [`Frontier::advance`] has returned the end.
    Told,
}

/// A record under way. Giving the ticket back finishes the record. Dropping it gives the record up and closes its
/// window, for any reason: a stop, a panic, a cancelled task.
#[derive(Debug)]
#[must_use = "dropping it closes its window"]
pub struct Ticket {
    place: u64,
    /// `None` once it is finished.
    closes: Option<Arc<AtomicBool>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(closed) = &self.closes {
            closed.store(true, Relaxed);
        }
    }
}

impl<T: Default + AddAssign> Frontier<T> {
    /// A window that holds at most `limit` records.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is 0: such a window lets nothing through.
    pub fn new(limit: usize) -> Self {
        assert!(limit > 0, "a window of no records lets nothing through");
        Self { slots: VecDeque::new(), passed: 0, last: None, limit, listing: Listing::Open, closed: Arc::default() }
    }

    /// Whether another record may begin.
    pub fn room(&self) -> Room {
        match () {
            () if self.closed.load(Relaxed) => Room::Closed,
            () if self.slots.len() >= self.limit => Room::Full,
            () => Room::Free,
        }
    }

    /// How many records have begun and are not passed by the cursor.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the cursor has passed every begun record.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The key that began last: a shard may only be split at or above it.
    pub fn last(&self) -> Option<&Key> {
        self.last.as_ref()
    }

    /// What the records came to that have finished, and that the cursor cannot pass yet.
    pub fn ahead(&self) -> T
    where
        T: Copy,
    {
        let mut ahead = T::default();
        for done in self.slots.iter().filter_map(|(_, done)| *done) {
            ahead += done;
        }
        ahead
    }

    /// Begins the next record in listing order.
    ///
    /// # Panics
    ///
    /// Panics if the frontier is full or ended, or `key` does not ascend: the cursor would be wrong.
    pub fn begin(&mut self, key: Key) -> Ticket {
        assert!(self.slots.len() < self.limit, "the frontier holds {} records already", self.limit);
        assert!(self.listing == Listing::Open, "{key:?} began after the listing ended");
        assert!(self.last.as_ref().is_none_or(|last| *last < key), "{key:?} began after {:?}", self.last);
        let ticket = Ticket { place: self.passed + self.slots.len() as u64, closes: Some(Arc::clone(&self.closed)) };
        self.last = Some(key.clone());
        self.slots.push_back((key, None));
        ticket
    }

    /// Finishes a record.
    ///
    /// # Panics
    ///
    /// Panics if the ticket belongs to another window.
    pub fn finish(&mut self, mut ticket: Ticket, done: T) {
        ticket.closes = None;
        let slot = ticket.place.checked_sub(self.passed).and_then(|place| usize::try_from(place).ok());
        let slot = slot.and_then(|place| self.slots.get_mut(place)).filter(|(_, finished)| finished.is_none());
        slot.expect("a ticket is open in the frontier that gave it").1 = Some(done);
    }

    /// Says that every record of the shard has begun.
    pub fn end(&mut self) {
        if self.listing == Listing::Open {
            self.listing = Listing::Ended;
        }
    }

    /// Moves the cursor over the gapless prefix of finished records. Returns the new cursor and the work since the
    /// last call; `None` if nothing moved.
    pub fn advance(&mut self) -> Option<(Cursor, T)> {
        let mut done = T::default();
        let mut reached = None;
        while let Some((key, Some(finished))) = self.slots.pop_front_if(|(_, finished)| finished.is_some()) {
            done += finished;
            reached = Some(key);
            self.passed += 1;
        }
        if self.slots.is_empty() && self.listing == Listing::Ended {
            self.listing = Listing::Told;
            return Some((Cursor::End, done));
        }
        reached.map(|key| (Cursor::At(key), done))
    }
}

/// The two ranges into which `at` divides `range`; `at` is the last key of the lower one. `None` unless `at` lies
/// strictly within.
pub fn split(range: &KeyRange, at: &Key) -> Option<(KeyRange, KeyRange)> {
    let above = range.after.as_ref().is_none_or(|after| after < at);
    let below = range.until.as_ref().is_none_or(|until| at < until);
    (above && below).then(|| {
        let lower = KeyRange { after: range.after.clone(), until: Some(at.clone()) };
        (lower, KeyRange { after: Some(at.clone()), until: range.until.clone() })
    })
}

/// A range that contains `key` and no other key that exists in practice: its listing shows whether the key is there.
pub fn only(key: &Key) -> KeyRange {
    let mut below = key.as_str().to_owned();
    let after = below.pop().map(|last| {
        let before = (0..u32::from(last)).rev().find_map(char::from_u32);
        // Nothing is between `x` and `x\0`; everywhere else the highest character comes closest.
        below.extend(before.into_iter().flat_map(|before| [before, char::MAX]));
        Key::new(below)
    });
    KeyRange { after, until: Some(key.clone()) }
}

/// Whether `ranges`, in any order, are disjoint and together hold every key.
pub fn tile<'a>(ranges: impl IntoIterator<Item = &'a KeyRange>) -> bool {
    let mut ranges: Vec<_> = ranges.into_iter().collect();
    ranges.sort_by(|a, b| a.after.cmp(&b.after));
    let ends = ranges.first().is_some_and(|first| first.after.is_none())
        && ranges.last().is_some_and(|last| last.until.is_none());
    ends && ranges.windows(2).all(|pair| pair[0].until.is_some() && pair[0].until == pair[1].after)
        && ranges.iter().all(|range| range.until.as_ref().is_none_or(|until| range.after.as_ref() < Some(until)))
}

/// Above every first byte of UTF-8, which ends at 0xF4.
const TOP: u128 = 0xF5 << 120;

/// A key strictly between two keys, about half way by bytes; `None` if no key lies between. An absent bound does
/// not limit.
pub fn bisect(after: Option<&Key>, until: Option<&Key>) -> Option<Key> {
    let (low, high) = (after.map(Key::as_str), until.map(Key::as_str));
    let between = |text: &str| low.is_none_or(|low| low < text) && high.is_none_or(|high| text < high);
    let shared = shared_prefix(low, high);
    let mut text = low.unwrap_or_default()[..shared].to_owned();
    let (from, to) = bounds(low, high, shared);
    let middle = from.checked_add(to.checked_sub(from)? / 2)?.to_be_bytes();

    // Take characters from the middle until the text is between. Bytes that begin no character (a gap in UTF-8) end
    // the search at the characters on either side of the gap.
    let mut rest = &middle[..];
    while !rest.is_empty() {
        let (floor, ceiling) = around(rest);
        for candidate in [Some(floor), ceiling].into_iter().flatten() {
            text.push(candidate);
            if between(&text) {
                return Some(Key::from(text.as_str()));
            }
            text.pop();
        }
        let mut buffer = [0; 4];
        let Some(left) = rest.strip_prefix(floor.encode_utf8(&mut buffer).as_bytes()) else { break };
        text.push(floor);
        rest = left;
    }
    // The least key above `after`: if it does not fit, no key does.
    let least = low.map_or_else(String::new, |low| format!("{low}\0"));
    between(&least).then(|| Key::from(least.as_str()))
}

/// How much of `range` lies before `current`, from 0 to 1, judged by bytes: an estimate for people, since keys are
/// seldom spread evenly.
pub fn progress(range: &KeyRange, current: &Cursor) -> f64 {
    let current = match current {
        Cursor::Start => return 0.0,
        Cursor::End => return 1.0,
        Cursor::At(key) => key.as_str(),
    };
    let (low, high) = (range.after.as_ref().map(Key::as_str), range.until.as_ref().map(Key::as_str));
    let shared = shared_prefix(low, high);
    let (from, to) = bounds(low, high, shared);
    let Some(digits) = current.as_bytes().get(shared..) else { return 0.0 };
    let at = fraction(digits).clamp(from, to.max(from));
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let share = (at - from) as f64 / (to.saturating_sub(from)).max(1) as f64;
    share.clamp(0.0, 1.0)
}

/// How many bytes two bounds share, up to a character boundary; 0 if either is absent.
fn shared_prefix(low: Option<&str>, high: Option<&str>) -> usize {
    let (Some(low), Some(high)) = (low, high) else { return 0 };
    let same = low.bytes().zip(high.bytes()).take_while(|(a, b)| a == b).count();
    // Equal bytes up to here have equal boundaries, so one side stands for both.
    (0..=same).rev().find(|&at| low.is_char_boundary(at) && high.is_char_boundary(at)).unwrap_or(0)
}

/// Two bounds as fractions, after their common prefix.
fn bounds(low: Option<&str>, high: Option<&str>, shared: usize) -> (u128, u128) {
    let digits = |text: &str| fraction(&text.as_bytes()[shared..]);
    (low.map_or(0, digits), high.map_or(TOP, digits))
}

/// Bytes as the digits of a fraction, to 16 digits.
fn fraction(digits: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let known = digits.len().min(16);
    bytes[..known].copy_from_slice(&digits[..known]);
    u128::from_be_bytes(bytes)
}

/// The greatest character whose UTF-8 form is at or below `bytes`, and the one after it.
fn around(bytes: &[u8]) -> (char, Option<char>) {
    let mut low = 0_u32;
    let mut high = char::MAX as u32;
    // Scalar values ascend as their UTF-8 forms do, so this is a binary search for the last one that is not above.
    // U+0000 never is.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let mut buffer = [0; 4];
        match scalar_at_most(middle) {
            c if *c.encode_utf8(&mut buffer).as_bytes() <= *bytes => low = middle,
            c => high = (c as u32).min(middle) - 1,
        }
    }
    let floor = scalar_at_most(low);
    let ceiling = (floor..=char::MAX).nth(1);
    (floor, ceiling)
}

/// The greatest scalar value that is at most `value`: below the surrogates for a surrogate.
fn scalar_at_most(value: u32) -> char {
    char::from_u32(value).unwrap_or(if value < 0xE000 { '\u{D7FF}' } else { char::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::from(text)
    }

    fn one() -> Tally {
        Tally { records: 1, ..Tally::default() }
    }

    /// Texts with common prefixes and awkward characters.
    fn any_key() -> impl Strategy<Value = String> {
        let c = prop_oneof![
            Just('a'),
            Just('b'),
            Just('/'),
            Just('\0'),
            Just('\u{7f}'),
            Just('\u{80}'),
            Just('\u{D7FF}'),
            Just('\u{E000}'),
            Just(char::MAX),
            any::<char>(),
        ];
        proptest::collection::vec(c, 0..24).prop_map(String::from_iter)
    }

    #[test]
    fn the_cursor_waits_for_the_first_gap() {
        let mut window = Frontier::<Tally>::new(3);
        let (a, b, c) = (window.begin(key("a")), window.begin(key("b")), window.begin(key("c")));
        assert_eq!(window.room(), Room::Full);
        window.finish(b, one());
        assert_eq!(window.advance(), None, "a is open");
        window.finish(a, one());
        let done = Tally { records: 2, ..Tally::default() };
        assert_eq!(window.advance(), Some((Cursor::At(key("b")), done)));
        window.end();
        assert_eq!(window.advance(), None, "c is open");
        window.finish(c, one());
        assert_eq!(window.advance(), Some((Cursor::End, one())));
        assert_eq!(window.advance(), None, "the end is told once");
    }

    #[test]
    fn a_record_that_is_given_up_closes_the_window_for_good() {
        let mut window = Frontier::<Tally>::new(3);
        let (a, b, c) = (window.begin(key("a")), window.begin(key("b")), window.begin(key("c")));
        window.finish(a, one());
        window.finish(c, one());
        drop(b);
        assert_eq!(window.room(), Room::Closed, "nothing that happens later can free it");
        assert_eq!(window.advance(), Some((Cursor::At(key("a")), one())), "what came before it counts");
        window.end();
        assert_eq!((window.advance(), window.room()), (None, Room::Closed), "it never comes to its end");
    }

    #[test]
    fn an_empty_shard_ends_at_once() {
        let mut window = Frontier::<Tally>::new(1);
        assert_eq!(window.advance(), None);
        window.end();
        assert_eq!(window.advance(), Some((Cursor::End, Tally::default())));
    }

    #[test]
    #[should_panic(expected = "began after")]
    fn a_window_refuses_keys_that_do_not_ascend() {
        let mut window = Frontier::<Tally>::new(4);
        let _first = window.begin(key("b"));
        let _second = window.begin(key("b"));
    }

    #[test]
    #[should_panic(expected = "holds 1 records already")]
    fn a_window_is_bounded() {
        let mut window = Frontier::<Tally>::new(1);
        let _first = window.begin(key("a"));
        let _second = window.begin(key("b"));
    }

    #[test]
    #[should_panic(expected = "a ticket is open in the frontier that gave it")]
    fn a_ticket_of_another_window_is_refused() {
        let mut one_window = Frontier::<Tally>::new(1);
        let ticket = one_window.begin(key("a"));
        Frontier::<Tally>::new(1).finish(ticket, one());
    }

    #[test]
    fn a_range_for_one_key_holds_it_and_not_its_neighbours() {
        for key in ["a", "abc", "a\0", "", "\u{e000}", "dir/", "é"] {
            let range = only(&key.into());
            assert!(range.contains(&key.into()), "{key:?}");
            for neighbour in [format!("{key}a"), format!("{key}\0"), "ab".to_owned(), "abb".to_owned(), "di".to_owned()]
            {
                assert!(neighbour == key || !range.contains(&neighbour.as_str().into()), "{key:?} {neighbour:?}");
            }
        }
    }

    proptest! {
        /// For any order of finishing, the cursor stands on the longest finished prefix, and every tally is
        /// returned exactly once.
        #[test]
        fn the_cursor_is_the_longest_finished_prefix(
            order in (1_usize..40).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
            look in any::<u64>(),
        ) {
            let mut window = Frontier::<Tally>::new(64);
            let name = |i: usize| key(&format!("{i:03}"));
            let mut tickets: Vec<_> = (0..order.len()).map(|i| Some(window.begin(name(i)))).collect();
            window.end();
            let mut finished = vec![false; order.len()];
            let mut told = 0;
            for (step, &i) in order.iter().enumerate() {
                window.finish(tickets[i].take().unwrap(), one());
                finished[i] = true;
                let last = step + 1 == order.len();
                if !last && look >> (step % 64) & 1 == 0 {
                    continue;
                }
                let prefix = finished.iter().take_while(|done| **done).count();
                let moved = window.advance();
                prop_assert_eq!(moved.is_some(), prefix > told);
                let Some((cursor, done)) = moved else { continue };
                let expected = if last { Cursor::End } else { Cursor::At(name(prefix - 1)) };
                prop_assert_eq!(cursor, expected);
                prop_assert_eq!(usize::try_from(done.records).unwrap(), prefix - told);
                told = prefix;
            }
            prop_assert_eq!(told, order.len());
            prop_assert!(window.is_empty());
        }

        /// A proposed key lies strictly between; without a proposal, no key lies between.
        #[test]
        fn a_bisection_lies_strictly_between(
            low in proptest::option::of(any_key()), high in proptest::option::of(any_key()),
        ) {
            let (low, high) = (low.as_deref().map(Key::from), high.as_deref().map(Key::from));
            let Some(middle) = bisect(low.as_ref(), high.as_ref()) else {
                let least = low.map_or_else(String::new, |low| format!("{}\0", low.as_str()));
                prop_assert!(high.is_some_and(|high| high.as_str() <= least.as_str()));
                return Ok(());
            };
            prop_assert!(low.as_ref().is_none_or(|low| *low < middle), "{middle:?}");
            prop_assert!(high.as_ref().is_none_or(|high| middle < *high), "{middle:?}");
        }

        /// Repeated splits, at proposals of bisection or at any key, tile all keys.
        #[test]
        fn splits_tile(cuts in proptest::collection::vec((any::<prop::sample::Index>(), proptest::option::of(any_key())), 0..20)) {
            let mut ranges = vec![KeyRange::all()];
            for (which, at) in &cuts {
                let place = which.index(ranges.len());
                let range = ranges[place].clone();
                let at = at.as_deref().map(Key::from).or_else(|| bisect(range.after.as_ref(), range.until.as_ref()));
                if let Some((lower, upper)) = at.and_then(|at| split(&range, &at)) {
                    ranges.splice(place..=place, [lower, upper]);
                }
            }
            prop_assert!(tile(&ranges), "{ranges:?}");
            for (_, probe) in &cuts {
                let probe = key(probe.as_deref().unwrap_or("m"));
                prop_assert_eq!(ranges.iter().filter(|range| range.contains(&probe)).count(), 1);
            }
        }

        #[test]
        fn progress_ascends_and_stays_within(
            keys in proptest::collection::btree_set(any_key(), 4), low in any::<bool>(), high in any::<bool>(),
        ) {
            // Drawn in order, because random ranges seldom hold two random keys.
            let keys: Vec<_> = keys.iter().map(|text| key(text)).collect();
            let [first, a, b, last] = &keys[..] else { unreachable!("four were drawn") };
            let range = KeyRange { after: low.then(|| first.clone()), until: high.then(|| last.clone()) };
            let (before, after) =
                (progress(&range, &Cursor::At(a.clone())), progress(&range, &Cursor::At(b.clone())));
            prop_assert!((0.0..=1.0).contains(&before) && (0.0..=1.0).contains(&after));
            prop_assert!(before <= after);
        }
    }

    #[test]
    fn a_bisection_is_near_the_middle() {
        let middle = |low: &str, high: &str| bisect(Some(&key(low)), Some(&key(high))).unwrap();
        assert_eq!(middle("a", "c"), key("b"));
        assert_eq!(middle("2024/0000", "2024/9999"), key("2024/4"));
        assert_eq!(bisect(None, None), Some(key("z")));
        assert_eq!(bisect(Some(&key("q")), Some(&key("q\0"))), None);
        assert_eq!(bisect(None, Some(&key(""))), None);
        assert_eq!(bisect(Some(&key("b")), Some(&key("a"))), None);
    }

    /// Repeated halving that always keeps one half finds any key in few steps.
    #[test]
    fn halving_finds_a_key_fast() {
        let wanted = key("photos/2024/07/img_31337.jpg");
        let (mut low, mut high) = (None, None);
        for step in 0.. {
            assert!(step < 400, "not found between {low:?} and {high:?}");
            let middle: Key = bisect(low.as_ref(), high.as_ref()).unwrap();
            match middle.cmp(&wanted) {
                std::cmp::Ordering::Less => low = Some(middle),
                std::cmp::Ordering::Greater => high = Some(middle),
                std::cmp::Ordering::Equal => break,
            }
        }
    }

    #[test]
    fn a_split_needs_a_key_strictly_within() {
        let range = KeyRange { after: Some(key("b")), until: Some(key("d")) };
        assert!(split(&range, &key("b")).is_none() && split(&range, &key("d")).is_none());
        assert!(split(&range, &key("a")).is_none() && split(&range, &key("e")).is_none());
        let (lower, upper) = split(&range, &key("c")).unwrap();
        assert_eq!((lower.until.unwrap(), upper.after.unwrap()), (key("c"), key("c")));
    }

    #[test]
    fn gaps_and_overlaps_do_not_tile() {
        let range = |after: Option<&str>, until: Option<&str>| KeyRange {
            after: after.map(Key::from),
            until: until.map(Key::from),
        };
        assert!(tile(&[range(Some("m"), None), range(None, Some("m"))]));
        assert!(!tile(&[]));
        assert!(!tile(&[range(None, Some("m"))]));
        assert!(!tile(&[range(None, Some("m")), range(Some("n"), None)]));
        assert!(!tile(&[range(None, Some("n")), range(Some("m"), None)]));
        assert!(!tile(&[range(None, None), range(None, None)]));
    }

    #[test]
    fn progress_is_judged_by_bytes() {
        let range = KeyRange { after: Some(key("x/a")), until: Some(key("x/c")) };
        let half = progress(&range, &Cursor::At(key("x/b")));
        assert!((0.49..0.51).contains(&half), "{half}");
        assert!(progress(&range, &Cursor::Start) <= 0.0 && progress(&range, &Cursor::End) >= 1.0);
    }
}
