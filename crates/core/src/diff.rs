//! Merge-join of ordered listings, and what follows from a joined row.
//!
//! [`Join`] takes the listing of the source, one listing per target and the ledger's pairs, page by page, and
//! returns one [`Joined`] row per key, ascending. It says which input it needs next, holds at most a page of each,
//! and trusts none: every item must lie in the range and ascend strictly, or the join ends with an error. An input
//! out of order would otherwise show present records as vanished, and a vanished record is deleted.
//!
//! [`decide`] turns a row into a [`Change`] per target. `–` is absent; with a pair, `=` shows the paired version
//! and `≠` another one:
//!
//! | pair | source | target | change | why |
//! |---|---|---|---|---|
//! | no  | – | – | [`Absent`](Change::Absent)   | only another target has the key |
//! | no  | + | – | [`Create`](Change::Create)   | |
//! | no  | – | + | [`Extra`](Change::Extra)     | not ours: the plan says what happens |
//! | no  | + | + | [`Look`](Change::Look)       | perhaps equal: another tool or a crashed process wrote it |
//! | yes | – | – | [`Gone`](Change::Gone)       | only the pair is left to forget |
//! | yes | – | = | [`Delete`](Change::Delete)   | the source deleted it; the target still shows the paired version |
//! | yes | – | ≠ | [`Stray`](Change::Stray)     | another writer wrote it at the target: not ours to delete |
//! | yes | = | – | [`Create`](Change::Create)   | lost at the target |
//! | yes | = | = | [`Same`](Change::Same)       | |
//! | yes | = | = | [`Review`](Change::Review)   | something was waived when it was paired that must be there now |
//! | yes | = | ≠ | [`Replace`](Change::Replace) | the source leads |
//! | yes | ≠ | – | [`Create`](Change::Create)   | |
//! | yes | ≠ | = | [`Replace`](Change::Replace) | |
//! | yes | ≠ | ≠ | [`Look`](Change::Look)       | as without a pair: the new version may be there already |

use std::{fmt, vec};

use crate::model::{Key, KeyRange, TargetIndex, Token};

/// An item that a listing shows under a key.
pub trait Keyed {
    /// The item's key, by which a join orders its inputs.
    fn key(&self) -> &Key;
}

/// A ledger's pair; one per key and target.
pub trait KeyedPair: Keyed {
    /// Index of the target in the dataset, from 0.
    fn target(&self) -> TargetIndex;
}

/// An input of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The listing of the source.
    Source,
    /// The listing of a target.
    Target(TargetIndex),
    /// The ledger's pairs, ascending by key, then target.
    Pairs,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Source => f.write_str("the source's listing"),
            Input::Target(target) => write!(f, "the listing of target {}", target.0),
            Input::Pairs => f.write_str("the ledger's pairs"),
        }
    }
}

/// An input that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Its keys do not ascend strictly.
    #[error("{input} is out of order: {key} came after {before}")]
    Order {
        /// The input that cannot be trusted.
        input: Input,
        /// The record's key, relative to the dataset's prefix.
        key: Key,
        /// The key before it, not smaller.
        before: Key,
    },
    /// It shows a key outside the requested range.
    #[error("{input} shows {key}, which is outside the range that was asked for")]
    Range {
        /// The input that cannot be trusted.
        input: Input,
        /// The record's key, relative to the dataset's prefix.
        key: Key,
    },
    /// A pair names a target that the dataset does not have.
    #[error("the ledger pairs {key} at target {}, which the dataset does not have", target.0)]
    NoTarget {
        /// The record's key, relative to the dataset's prefix.
        key: Key,
        /// Index of the target in the dataset, from 0.
        target: TargetIndex,
    },
}

impl JoinError {
    /// The keys in the error's text.
    pub fn keys(&self) -> Vec<&Key> {
        match self {
            Self::Order { key, before, .. } => vec![key, before],
            Self::Range { key, .. } | Self::NoTarget { key, .. } => vec![key],
        }
    }
}

/// The result of [`Join::next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pull<E, P> {
    /// The join waits until this input is fed or ended.
    Need(Input),
    /// The row of the next key.
    Row(Joined<E, P>),
    /// Every input is exhausted.
    End,
}

/// Everything that is known about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<E, P> {
    /// The record's key, relative to the dataset's prefix.
    pub key: Key,
    /// The source's item, if it has one.
    pub source: Option<E>,
    /// Each target's item, by target index.
    pub targets: Vec<Option<E>>,
    /// The ledger's pair with each target, by target index.
    pub pairs: Vec<Option<P>>,
}

/// A page of one input, and the input's position.
#[derive(Debug)]
struct Feed<T> {
    page: vec::IntoIter<T>,
    last: Option<Key>,
    ended: bool,
}

impl<T: Keyed> Feed<T> {
    fn new() -> Self {
        Self { page: Vec::new().into_iter(), last: None, ended: false }
    }

    fn head(&self) -> Option<&Key> {
        self.page.as_slice().first().map(Keyed::key)
    }

    fn starves(&self) -> bool {
        !self.ended && self.page.as_slice().is_empty()
    }

    fn take_at(&mut self, key: &Key) -> Option<T> {
        if self.head() == Some(key) { self.page.next() } else { None }
    }

    /// Takes a page of ascending items: each above the one before or, if `tie` allows it, at the same key within
    /// the page.
    fn feed(
        &mut self,
        input: Input,
        range: &KeyRange,
        page: Vec<T>,
        tie: impl Fn(&T, &T) -> bool,
    ) -> Result<(), JoinError> {
        assert!(self.page.as_slice().is_empty(), "{input} was fed before its last page was used up");
        assert!(!self.ended, "{input} was fed after its end");
        let mut before: Option<&T> = None;
        for item in &page {
            let key = item.key();
            let above = match (before, &self.last) {
                (Some(before), _) => before.key() < key || (before.key() == key && tie(before, item)),
                (None, Some(last)) => last < key,
                (None, None) => true,
            };
            if !above {
                let before = before.map(Keyed::key).or(self.last.as_ref()).unwrap_or(key).clone();
                return Err(JoinError::Order { input, key: key.clone(), before });
            }
            if !range.contains(key) {
                return Err(JoinError::Range { input, key: key.clone() });
            }
            before = Some(item);
        }
        if let Some(before) = before {
            self.last = Some(before.key().clone());
        }
        self.page = page.into_iter();
        Ok(())
    }
}

/// The join of a source, its targets and the ledger's pairs, over one range.
///
/// `E` is the item of a listing, `P` the ledger's pair. After an error the join must be dropped.
#[derive(Debug)]
pub struct Join<E, P> {
    range: KeyRange,
    source: Feed<E>,
    targets: Vec<Feed<E>>,
    pairs: Feed<P>,
}

impl<E: Keyed, P: KeyedPair> Join<E, P> {
    /// A join over `range` for a dataset of `targets` targets, at most 65,536.
    pub fn new(range: KeyRange, targets: usize) -> Self {
        let targets = (0..targets).map(|_| Feed::new()).collect();
        Self { range, source: Feed::new(), targets, pairs: Feed::new() }
    }

    /// Feeds the next page of the source's or a target's listing. An empty page changes nothing.
    ///
    /// # Panics
    ///
    /// Panics unless [`next`](Self::next) said that it needs this input.
    pub fn feed(&mut self, input: Input, page: Vec<E>) -> Result<(), JoinError> {
        let feed = match input {
            Input::Source => &mut self.source,
            Input::Target(target) => &mut self.targets[target.get()],
            Input::Pairs => panic!("pairs are fed by feed_pairs"),
        };
        feed.feed(input, &self.range, page, |_, _| false)
    }

    /// Feeds the next page of the ledger's pairs; the targets of one key must come in one page.
    ///
    /// # Panics
    ///
    /// Panics unless [`next`](Self::next) said that it needs this input.
    pub fn feed_pairs(&mut self, page: Vec<P>) -> Result<(), JoinError> {
        if let Some(pair) = page.iter().find(|pair| pair.target().get() >= self.targets.len()) {
            return Err(JoinError::NoTarget { key: pair.key().clone(), target: pair.target() });
        }
        self.pairs.feed(Input::Pairs, &self.range, page, |before, pair| before.target() < pair.target())
    }

    /// Says that an input has no more pages.
    pub fn end(&mut self, input: Input) {
        match input {
            Input::Source => self.source.ended = true,
            Input::Target(target) => self.targets[target.get()].ended = true,
            Input::Pairs => self.pairs.ended = true,
        }
    }

    /// The next row, or the input that the join needs first.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not be fed between items")]
    pub fn next(&mut self) -> Pull<E, P> {
        if let Some(input) = self.starving() {
            return Pull::Need(input);
        }
        let heads = self.targets.iter().map(Feed::head).chain([self.source.head(), self.pairs.head()]);
        let Some(key) = heads.flatten().min().cloned() else { return Pull::End };

        let source = self.source.take_at(&key);
        let targets: Vec<_> = self.targets.iter_mut().map(|target| target.take_at(&key)).collect();
        let mut pairs: Vec<_> = targets.iter().map(|_| None).collect();
        while let Some(pair) = self.pairs.take_at(&key) {
            let place = pair.target().get();
            pairs[place] = Some(pair);
        }
        Pull::Row(Joined { key, source, targets, pairs })
    }

    fn starving(&self) -> Option<Input> {
        if self.source.starves() {
            return Some(Input::Source);
        }
        if self.pairs.starves() {
            return Some(Input::Pairs);
        }
        let target = self.targets.iter().position(Feed::starves)?;
        u16::try_from(target).ok().map(|target| Input::Target(TargetIndex(target)))
    }
}

/// The action that a target needs for one key; the table is at the top of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Neither side has it and it was never paired: nothing to do.
    Absent,
    /// Only the source has it: write it, if it is still absent.
    Create,
    /// The target holds another version: write it, if the target still shows the same version.
    Replace,
    /// Both show the paired version.
    Same,
    /// Both show the paired version, so its bytes are there; but the plan waived something when it was paired that
    /// must be there now: compare the properties, and replace it if they differ.
    Review,
    /// Both have it and the ledger cannot tell: compare stored checksums, else replace.
    Look,
    /// The source deleted it and the target still shows the paired version: delete it there.
    Delete,
    /// The source deleted it, but the target shows a version that is not ours: never deleted, whatever the plan
    /// says about extra records.
    Stray,
    /// Only the target has it and it was never paired: the plan decides.
    Extra,
    /// Both sides lost it: forget the pair.
    Gone,
}

/// The versions that the ledger has paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paired<'a> {
    /// Version of the source at the pairing.
    pub source: &'a Token,
    /// Version of the target at the pairing.
    pub target: &'a Token,
    /// Whether everything that must be at the target now was copied, or found there, when they were paired.
    pub whole: bool,
}

/// Decides what `target` needs, from what both sides show and what the ledger has paired.
pub fn decide(source: Option<&Token>, target: Option<&Token>, pair: Option<Paired<'_>>) -> Change {
    let Some(Paired { source: paired_source, target: paired_target, whole }) = pair else {
        return match (source, target) {
            (None, None) => Change::Absent,
            (Some(_), None) => Change::Create,
            (None, Some(_)) => Change::Extra,
            (Some(_), Some(_)) => Change::Look,
        };
    };
    match (source, target) {
        (None, None) => Change::Gone,
        (None, Some(shown)) if paired_target.agrees_with(shown) => Change::Delete,
        (None, Some(_)) => Change::Stray,
        (Some(_), None) => Change::Create,
        (Some(source), Some(target)) => match (paired_source.agrees_with(source), paired_target.agrees_with(target)) {
            (true, true) if whole => Change::Same,
            (true, true) => Change::Review,
            (false, false) => Change::Look,
            _ => Change::Replace,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// An item of a listing: a key and a number to tell items apart.
    type Item = (Key, u8);
    /// A pair with its target.
    type Row = (Key, TargetIndex, u8);

    impl Keyed for Item {
        fn key(&self) -> &Key {
            &self.0
        }
    }

    impl Keyed for Row {
        fn key(&self) -> &Key {
            &self.0
        }
    }

    impl KeyedPair for Row {
        fn target(&self) -> TargetIndex {
            self.1
        }
    }

    fn items(keys: &[&str]) -> Vec<Item> {
        keys.iter().map(|key| (Key::from(*key), 0)).collect()
    }

    const TARGETS: usize = 3;

    fn any_listing() -> impl Strategy<Value = BTreeMap<String, u8>> {
        proptest::collection::btree_map("[a-d/\0]{0,3}", any::<u8>(), 0..30)
    }

    /// Feeds whole listings in pages of random sizes and collects the rows.
    fn run(
        source: &BTreeMap<String, u8>,
        targets: &[BTreeMap<String, u8>],
        pairs: &BTreeMap<(String, u16), u8>,
        sizes: &[usize],
    ) -> Vec<Joined<Item, Row>> {
        let item = |(key, value): (&String, &u8)| (Key::from(key.as_str()), *value);
        let mut listings: Vec<Vec<Item>> =
            std::iter::once(source).chain(targets).map(|map| map.iter().map(item).collect()).collect();
        let mut rows: Vec<Row> = pairs
            .iter()
            .map(|((key, target), value)| (Key::from(key.as_str()), TargetIndex(*target), *value))
            .collect();
        let mut join = Join::new(KeyRange::all(), targets.len());
        let mut sizes = sizes.iter().copied().cycle();
        let mut joined = Vec::new();
        loop {
            let size = sizes.next().unwrap();
            match join.next() {
                Pull::End => return joined,
                Pull::Row(row) => joined.push(row),
                Pull::Need(Input::Pairs) if rows.is_empty() => join.end(Input::Pairs),
                Pull::Need(Input::Pairs) => {
                    let mut cut = size.min(rows.len());
                    while cut > 0 && cut < rows.len() && rows[cut].0 == rows[cut - 1].0 {
                        cut += 1;
                    }
                    join.feed_pairs(rows.drain(..cut).collect()).unwrap();
                }
                Pull::Need(input) => {
                    let listing = match input {
                        Input::Target(target) => &mut listings[target.get() + 1],
                        _ => &mut listings[0],
                    };
                    if listing.is_empty() {
                        join.end(input);
                    } else {
                        let page = listing.drain(..size.min(listing.len())).collect();
                        join.feed(input, page).unwrap();
                    }
                }
            }
        }
    }

    proptest! {
        /// A join of pages of any size is the union of the maps.
        #[test]
        fn a_join_is_the_union(
            source in any_listing(),
            targets in proptest::collection::vec(any_listing(), TARGETS),
            pairs in proptest::collection::btree_map(("[a-d/\0]{0,3}", 0_u16..3), any::<u8>(), 0..40),
            sizes in proptest::collection::vec(0_usize..7, 1..9).prop_filter("some page holds something", |sizes| sizes.iter().any(|n| *n > 0)),
        ) {
            // Keys of all inputs, as a reference without pages.
            let mut keys: BTreeSet<&String> = source.keys().collect();
            keys.extend(targets.iter().flat_map(BTreeMap::keys));
            keys.extend(pairs.keys().map(|(key, _)| key));
            let expected: Vec<Joined<Item, Row>> = keys.into_iter().map(|text| {
                let key = Key::from(text.as_str());
                Joined {
                    source: source.get(text).map(|value| (key.clone(), *value)),
                    targets: targets.iter().map(|map| map.get(text).map(|value| (key.clone(), *value))).collect(),
                    pairs: (0..3).map(|target| {
                        pairs.get(&(text.clone(), target)).map(|value| (key.clone(), TargetIndex(target), *value))
                    }).collect(),
                    key,
                }
            }).collect();
            // An odd number of sizes, so that the cycle meets every input.
            let mut sizes = sizes;
            sizes.push(1);
            prop_assert_eq!(run(&source, &targets, &pairs, &sizes), expected);
        }
    }

    #[test]
    fn an_input_that_does_not_ascend_is_refused() {
        let target = Input::Target(TargetIndex(0));
        for (input, pages) in [
            (Input::Source, vec![vec!["b", "a"]]),
            (target, vec![vec!["a", "a"]]),
            (target, vec![vec!["a", "b"], vec!["b"]]),
        ] {
            let mut join = Join::<Item, Row>::new(KeyRange::all(), 1);
            let mut refused = None;
            for page in pages {
                refused = join.feed(input, items(&page)).err();
                for other in [Input::Source, target, Input::Pairs] {
                    if other != input {
                        join.end(other);
                    }
                }
                while let Pull::Row(_) = join.next() {}
            }
            let Some(JoinError::Order { input: named, key, before }) = refused else { panic!("{input} was taken") };
            assert!(named == input && key <= before);
        }
    }

    #[test]
    fn a_key_outside_the_range_is_refused() {
        let range = KeyRange { after: Some("b".into()), until: Some("d".into()) };
        for stray in ["b", "e"] {
            let mut join = Join::<Item, Row>::new(range.clone(), 1);
            let error = join.feed(Input::Source, items(&[stray])).unwrap_err();
            assert_eq!(error, JoinError::Range { input: Input::Source, key: stray.into() });
        }
    }

    #[test]
    fn pairs_must_ascend_by_key_and_target_and_know_their_target() {
        let row = |key: &str, target: u16| (Key::from(key), TargetIndex(target), 0);
        let mut join = Join::<Item, Row>::new(KeyRange::all(), 2);
        assert!(matches!(join.feed_pairs(vec![row("a", 1), row("a", 0)]), Err(JoinError::Order { .. })));
        assert!(matches!(join.feed_pairs(vec![row("a", 0), row("a", 0)]), Err(JoinError::Order { .. })));
        assert!(matches!(join.feed_pairs(vec![row("a", 2)]), Err(JoinError::NoTarget { .. })));
        assert_eq!(join.feed_pairs(vec![row("a", 0), row("a", 1), row("b", 0)]), Ok(()));
    }

    #[test]
    fn a_join_waits_for_every_input() {
        let mut join = Join::<Item, Row>::new(KeyRange::all(), 1);
        join.feed(Input::Source, items(&["a"])).unwrap();
        assert_eq!(join.next(), Pull::Need(Input::Pairs));
        join.end(Input::Pairs);
        assert_eq!(join.next(), Pull::Need(Input::Target(TargetIndex(0))), "the target may still hold a");
        join.end(Input::Target(TargetIndex(0)));
        assert!(matches!(join.next(), Pull::Row(_)));
        assert_eq!(join.next(), Pull::Need(Input::Source));
        join.end(Input::Source);
        assert_eq!(join.next(), Pull::End);
    }

    #[test]
    #[should_panic(expected = "fed before its last page was used up")]
    fn a_second_page_is_not_held() {
        let mut join = Join::<Item, Row>::new(KeyRange::all(), 0);
        join.feed(Input::Source, items(&["a"])).unwrap();
        let _never = join.feed(Input::Source, items(&["b"]));
    }

    fn token(tag: &str, modified_s: Option<i64>) -> Token {
        Token { size: 1, tag: tag.into(), modified_s }
    }

    /// Every row of the table in the module header.
    #[test]
    fn the_table_holds() {
        let (s, t) = (token("s", Some(1)), token("t", Some(2)));
        let (s2, t2) = (token("s2", Some(3)), token("t2", Some(4)));
        let pair = Some(Paired { source: &s, target: &t, whole: true });
        let partial = Some(Paired { source: &s, target: &t, whole: false });
        for (pair, source, target, change) in [
            (None, None, None, Change::Absent),
            (None, Some(&s), None, Change::Create),
            (None, None, Some(&t), Change::Extra),
            (None, Some(&s), Some(&t), Change::Look),
            (pair, None, None, Change::Gone),
            (pair, None, Some(&t), Change::Delete),
            (pair, None, Some(&t2), Change::Stray),
            (pair, Some(&s), None, Change::Create),
            (pair, Some(&s), Some(&t), Change::Same),
            (partial, Some(&s), Some(&t), Change::Review),
            (partial, None, Some(&t), Change::Delete),
            (partial, Some(&s), Some(&t2), Change::Replace),
            (pair, Some(&s), Some(&t2), Change::Replace),
            (pair, Some(&s2), None, Change::Create),
            (pair, Some(&s2), Some(&t), Change::Replace),
            (pair, Some(&s2), Some(&t2), Change::Look),
        ] {
            assert_eq!(decide(source, target, pair), change, "{pair:?} {source:?} {target:?}");
        }
    }

    #[test]
    fn a_time_that_was_never_learned_agrees_with_any_and_a_learned_one_holds() {
        let (source, target) = (token("s", Some(1)), token("t", Some(2)));
        let written = token("t", None);
        let paired = |target| Some(Paired { source: &source, target, whole: true });
        assert_eq!(decide(Some(&source), Some(&target), paired(&written)), Change::Same);
        let later = token("t", Some(9));
        assert_eq!(decide(Some(&source), Some(&later), paired(&target)), Change::Replace);
        assert_eq!(decide(None, Some(&later), paired(&target)), Change::Stray);
    }

    /// Tokens of the two sides are never compared with each other.
    #[test]
    fn equal_tokens_of_two_sides_prove_nothing() {
        let same = token("x", Some(1));
        assert_eq!(decide(Some(&same), Some(&same), None), Change::Look);
    }
}
