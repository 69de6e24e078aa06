//! Merge-join of ordered listings, and what follows from a joined row.
//!
//! [`Join`] takes the listing of every place and the ledger's holdings, page by page, and returns one [`Joined`] row
//! per key, ascending. It does not know which place leads. It says which input it needs next, holds at most a page of each,
//! and trusts none: every item must lie in the range and ascend strictly, or the join ends with an error. An input
//! out of order would otherwise show present records as vanished, and a vanished record is deleted.
//!
//! [`decide`] turns what a lead and a follower show into a [`Change`]. `–` is absent; with a pair, `=` shows the paired
//! version and `≠` another one. A lead that has shown another version since shows `≠`, whatever it shows:
//!
//! | pair | lead | follower | change | why |
//! |---|---|---|---|---|
//! | no  | – | – | [`Absent`](Change::Absent)   | only another follower has the key |
//! | no  | + | – | [`Create`](Change::Create)   | |
//! | no  | – | + | [`Extra`](Change::Extra)     | not ours: the plan says what happens |
//! | no  | + | + | [`Look`](Change::Look)       | perhaps equal: another tool or a crashed process wrote it |
//! | yes | – | – | [`Gone`](Change::Gone)       | only the pair is left to forget |
//! | yes | – | = | [`Delete`](Change::Delete)   | the lead deleted it; the follower still shows the paired version |
//! | yes | – | ≠ | [`Stray`](Change::Stray)     | another writer wrote it at the follower: not ours to delete |
//! | yes | = | – | [`Create`](Change::Create)   | lost at the follower |
//! | yes | = | = | [`Same`](Change::Same)       | |
//! | yes | = | = | [`Review`](Change::Review)   | something was waived when it was paired that must be there now |
//! | yes | = | ≠ | [`Replace`](Change::Replace) | the lead leads |
//! | yes | ≠ | – | [`Create`](Change::Create)   | |
//! | yes | ≠ | = | [`Replace`](Change::Replace) | |
//! | yes | ≠ | ≠ | [`Look`](Change::Look)       | as without a pair: the new version may be there already |
//! | any | elsewhere | any | as for a lead that shows – | the record belongs to other places, by its dataset's routing |

use std::{fmt, vec};

use crate::model::{Key, KeyRange, PlaceIndex, Token};

/// An item that a listing shows under a key.
pub trait Keyed {
    /// The item's key, by which a join orders its inputs.
    fn key(&self) -> &Key;
}

/// What the ledger knows of one place; one per key and place.
pub trait KeyedHolding: Keyed {
    /// The place.
    fn place(&self) -> PlaceIndex;
}

/// An input of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The listing of a place.
    Place(PlaceIndex),
    /// The ledger's holdings, ascending by key, then place.
    Holdings,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Place(PlaceIndex::SOURCE) => f.write_str("the source's listing"),
            Input::Place(place) => write!(f, "the listing of target {}", place.0),
            Input::Holdings => f.write_str("the ledger's pairs"),
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
    /// A holding names a place that the dataset does not have.
    #[error("the ledger pairs {key} at target {}, which the dataset does not have", place.0)]
    NoPlace {
        /// The record's key, relative to the dataset's prefix.
        key: Key,
        /// The place.
        place: PlaceIndex,
    },
}

impl JoinError {
    /// The keys in the error's text.
    pub fn keys(&self) -> Vec<&Key> {
        match self {
            Self::Order { key, before, .. } => vec![key, before],
            Self::Range { key, .. } | Self::NoPlace { key, .. } => vec![key],
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
    /// Each place's item, by place; `None` too for a place that was not listed.
    pub shown: Vec<Option<E>>,
    /// What the ledger knows of each place, by place.
    pub held: Vec<Option<P>>,
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

/// The join of the listings of a dataset's places and of the ledger's holdings, over one range.
///
/// `E` is the item of a listing, `P` the ledger's holding. After an error the join must be dropped, or go on without
/// the place whose listing was at fault: [`Join::end`] ends it, and later rows tell nothing of that place.
#[derive(Debug)]
pub struct Join<E, P> {
    range: KeyRange,
    listings: Vec<Feed<E>>,
    holdings: Feed<P>,
}

impl<E: Keyed, P: KeyedHolding> Join<E, P> {
    /// A join over `range` for a dataset of `places` places, at most 65,536.
    pub fn new(range: KeyRange, places: usize) -> Self {
        let listings = (0..places).map(|_| Feed::new()).collect();
        Self { range, listings, holdings: Feed::new() }
    }

    /// Feeds the next page of a place's listing. An empty page changes nothing.
    ///
    /// # Panics
    ///
    /// Panics unless [`next`](Self::next) said that it needs this input.
    pub fn feed(&mut self, place: PlaceIndex, page: Vec<E>) -> Result<(), JoinError> {
        self.listings[place.get()].feed(Input::Place(place), &self.range, page, |_, _| false)
    }

    /// Feeds the next page of the ledger's holdings; the places of one key must come in one page.
    ///
    /// # Panics
    ///
    /// Panics unless [`next`](Self::next) said that it needs this input.
    pub fn feed_holdings(&mut self, page: Vec<P>) -> Result<(), JoinError> {
        if let Some(held) = page.iter().find(|held| held.place().get() >= self.listings.len()) {
            return Err(JoinError::NoPlace { key: held.key().clone(), place: held.place() });
        }
        self.holdings.feed(Input::Holdings, &self.range, page, |before, held| before.place() < held.place())
    }

    /// Says that an input has no more pages.
    pub fn end(&mut self, input: Input) {
        match input {
            Input::Place(place) => self.listings[place.get()].ended = true,
            Input::Holdings => self.holdings.ended = true,
        }
    }

    /// The next row, or the input that the join needs first.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not be fed between items")]
    pub fn next(&mut self) -> Pull<E, P> {
        if let Some(input) = self.starving() {
            return Pull::Need(input);
        }
        let heads = self.listings.iter().map(Feed::head).chain([self.holdings.head()]);
        let Some(key) = heads.flatten().min().cloned() else { return Pull::End };

        let shown: Vec<_> = self.listings.iter_mut().map(|listing| listing.take_at(&key)).collect();
        let mut held: Vec<_> = shown.iter().map(|_| None).collect();
        while let Some(holding) = self.holdings.take_at(&key) {
            let place = holding.place().get();
            held[place] = Some(holding);
        }
        Pull::Row(Joined { key, shown, held })
    }

    fn starving(&self) -> Option<Input> {
        if self.holdings.starves() {
            return Some(Input::Holdings);
        }
        self.listings.iter().position(Feed::starves).map(|place| Input::Place(PlaceIndex::at(place)))
    }
}

/// The action that a follower needs for one key; the table is at the top of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Neither has it and it was never paired: nothing to do.
    Absent,
    /// Only the lead has it: write it, if it is still absent.
    Create,
    /// The follower holds another version: write it, if the follower still shows the same version.
    Replace,
    /// Both show the paired version.
    Same,
    /// Both show the paired version, so its bytes are there; but the plan waived something when it was paired that
    /// must be there now: compare the properties, and replace it if they differ.
    Review,
    /// Both have it and the ledger cannot tell: compare stored checksums, else replace.
    Look,
    /// The lead deleted it and the follower still shows the paired version: delete it there.
    Delete,
    /// The lead deleted it, but the follower shows a version that is not ours: never deleted, whatever the plan
    /// says about extra records.
    Stray,
    /// Only the follower has it and it was never paired: the plan decides.
    Extra,
    /// Both lost it: forget the pair.
    Gone,
}

/// The versions that the ledger has paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paired<'a> {
    /// Version of the lead at the pairing; `None` if the lead has shown another one since.
    pub lead: Option<&'a Token>,
    /// Version of the follower at the pairing.
    pub follower: &'a Token,
    /// Whether everything that must be at the follower now was copied, or found there, when they were paired.
    pub whole: bool,
}

/// What a lead shows of a record for one follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead<'a> {
    /// Nothing.
    Absent,
    /// A version that belongs to other places.
    Elsewhere,
    /// A version that belongs to the follower.
    Version(&'a Token),
}

impl<'a> From<Option<&'a Token>> for Lead<'a> {
    fn from(shown: Option<&'a Token>) -> Self {
        shown.map_or(Self::Absent, Self::Version)
    }
}

/// Decides what a follower needs, from what both show and what the ledger has paired.
pub fn decide<'a>(lead: impl Into<Lead<'a>>, follower: Option<&Token>, pair: Option<Paired<'_>>) -> Change {
    // What the lead has for others, it does not have for this follower: it was never there, or has moved on.
    let lead = match lead.into() {
        Lead::Version(token) => Some(token),
        Lead::Absent | Lead::Elsewhere => None,
    };
    let Some(Paired { lead: paired_lead, follower: paired_follower, whole }) = pair else {
        return match (lead, follower) {
            (None, None) => Change::Absent,
            (Some(_), None) => Change::Create,
            (None, Some(_)) => Change::Extra,
            (Some(_), Some(_)) => Change::Look,
        };
    };
    match (lead, follower) {
        (None, None) => Change::Gone,
        (None, Some(shown)) if paired_follower.covers(shown) => Change::Delete,
        (None, Some(_)) => Change::Stray,
        (Some(_), None) => Change::Create,
        (Some(lead), Some(follower)) => {
            let at_lead = paired_lead.is_some_and(|paired| paired.agrees_with(lead));
            match (at_lead, paired_follower.agrees_with(follower)) {
                (true, true) if whole => Change::Same,
                (true, true) => Change::Review,
                (false, false) => Change::Look,
                _ => Change::Replace,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// An item of a listing: a key and a number to tell items apart.
    type Item = (Key, u8);
    /// A holding.
    type Row = (Key, PlaceIndex, u8);

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

    impl KeyedHolding for Row {
        fn place(&self) -> PlaceIndex {
            self.1
        }
    }

    fn items(keys: &[&str]) -> Vec<Item> {
        keys.iter().map(|key| (Key::from(*key), 0)).collect()
    }

    const PLACES: usize = 3;

    fn any_listing() -> impl Strategy<Value = BTreeMap<String, u8>> {
        proptest::collection::btree_map("[a-d/\0]{0,3}", any::<u8>(), 0..30)
    }

    /// Feeds whole listings in pages of random sizes and collects the rows.
    fn run(
        places: &[BTreeMap<String, u8>],
        holdings: &BTreeMap<(String, u16), u8>,
        sizes: &[usize],
    ) -> Vec<Joined<Item, Row>> {
        let item = |(key, value): (&String, &u8)| (Key::from(key.as_str()), *value);
        let mut listings: Vec<Vec<Item>> = places.iter().map(|map| map.iter().map(item).collect()).collect();
        let mut rows: Vec<Row> = holdings
            .iter()
            .map(|((key, place), value)| (Key::from(key.as_str()), PlaceIndex(*place), *value))
            .collect();
        let mut join = Join::new(KeyRange::all(), places.len());
        let mut sizes = sizes.iter().copied().cycle();
        let mut joined = Vec::new();
        loop {
            let size = sizes.next().unwrap();
            match join.next() {
                Pull::End => return joined,
                Pull::Row(row) => joined.push(row),
                Pull::Need(Input::Holdings) if rows.is_empty() => join.end(Input::Holdings),
                Pull::Need(Input::Holdings) => {
                    let mut cut = size.min(rows.len());
                    while cut > 0 && cut < rows.len() && rows[cut].0 == rows[cut - 1].0 {
                        cut += 1;
                    }
                    join.feed_holdings(rows.drain(..cut).collect()).unwrap();
                }
                Pull::Need(Input::Place(place)) => {
                    let listing = &mut listings[place.get()];
                    if listing.is_empty() {
                        join.end(Input::Place(place));
                    } else {
                        let page = listing.drain(..size.min(listing.len())).collect();
                        join.feed(place, page).unwrap();
                    }
                }
            }
        }
    }

    proptest! {
        /// A join of pages of any size is the union of the maps.
        #[test]
        fn a_join_is_the_union(
            places in proptest::collection::vec(any_listing(), PLACES),
            holdings in proptest::collection::btree_map(("[a-d/\0]{0,3}", 0_u16..3), any::<u8>(), 0..40),
            sizes in proptest::collection::vec(0_usize..7, 1..9).prop_filter("some page holds something", |sizes| sizes.iter().any(|n| *n > 0)),
        ) {
            // Keys of all inputs, as a reference without pages.
            let mut keys: BTreeSet<&String> = places.iter().flat_map(BTreeMap::keys).collect();
            keys.extend(holdings.keys().map(|(key, _)| key));
            let expected: Vec<Joined<Item, Row>> = keys.into_iter().map(|text| {
                let key = Key::from(text.as_str());
                Joined {
                    shown: places.iter().map(|map| map.get(text).map(|value| (key.clone(), *value))).collect(),
                    held: (0..3).map(|place| {
                        holdings.get(&(text.clone(), place)).map(|value| (key.clone(), PlaceIndex(place), *value))
                    }).collect(),
                    key,
                }
            }).collect();
            // An odd number of sizes, so that the cycle meets every input.
            let mut sizes = sizes;
            sizes.push(1);
            prop_assert_eq!(run(&places, &holdings, &sizes), expected);
        }
    }

    #[test]
    fn an_input_that_does_not_ascend_is_refused() {
        let (source, target) = (PlaceIndex(0), PlaceIndex(1));
        for (place, pages) in
            [(source, vec![vec!["b", "a"]]), (target, vec![vec!["a", "a"]]), (target, vec![vec!["a", "b"], vec!["b"]])]
        {
            let mut join = Join::<Item, Row>::new(KeyRange::all(), 2);
            let input = Input::Place(place);
            let mut refused = None;
            for page in pages {
                refused = join.feed(place, items(&page)).err();
                for other in [Input::Place(source), Input::Place(target), Input::Holdings] {
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
            let error = join.feed(PlaceIndex(0), items(&[stray])).unwrap_err();
            assert_eq!(error, JoinError::Range { input: Input::Place(PlaceIndex(0)), key: stray.into() });
        }
    }

    #[test]
    fn holdings_must_ascend_by_key_and_place_and_know_their_place() {
        let row = |key: &str, place: u16| (Key::from(key), PlaceIndex(place), 0);
        let mut join = Join::<Item, Row>::new(KeyRange::all(), 2);
        assert!(matches!(join.feed_holdings(vec![row("a", 1), row("a", 0)]), Err(JoinError::Order { .. })));
        assert!(matches!(join.feed_holdings(vec![row("a", 0), row("a", 0)]), Err(JoinError::Order { .. })));
        assert!(matches!(join.feed_holdings(vec![row("a", 2)]), Err(JoinError::NoPlace { .. })));
        assert_eq!(join.feed_holdings(vec![row("a", 0), row("a", 1), row("b", 0)]), Ok(()));
    }

    #[test]
    fn a_join_waits_for_every_input() {
        let (source, target) = (PlaceIndex(0), PlaceIndex(1));
        let mut join = Join::<Item, Row>::new(KeyRange::all(), 2);
        assert_eq!(join.next(), Pull::Need(Input::Holdings));
        join.end(Input::Holdings);
        join.feed(source, items(&["a"])).unwrap();
        assert_eq!(join.next(), Pull::Need(Input::Place(target)), "the target may still hold a");
        join.end(Input::Place(target));
        assert!(matches!(join.next(), Pull::Row(_)));
        assert_eq!(join.next(), Pull::Need(Input::Place(source)));
        join.end(Input::Place(source));
        assert_eq!(join.next(), Pull::End);
    }

    #[test]
    #[should_panic(expected = "fed before its last page was used up")]
    fn a_second_page_is_not_held() {
        let mut join = Join::<Item, Row>::new(KeyRange::all(), 1);
        join.feed(PlaceIndex(0), items(&["a"])).unwrap();
        let _never = join.feed(PlaceIndex(0), items(&["b"]));
    }

    fn token(tag: &str, at: Option<i64>) -> Token {
        Token { size: 1, tag: tag.into(), modified: at.into() }
    }

    /// Every row of the table in the module header.
    #[test]
    fn the_table_holds() {
        let (s, t) = (token("s", Some(1)), token("t", Some(2)));
        let (s2, t2) = (token("s2", Some(3)), token("t2", Some(4)));
        let pair = Some(Paired { lead: Some(&s), follower: &t, whole: true });
        let stale = Some(Paired { lead: None, follower: &t, whole: true });
        let partial = Some(Paired { lead: Some(&s), follower: &t, whole: false });
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
            (stale, None, None, Change::Gone),
            (stale, None, Some(&t), Change::Delete),
            (stale, None, Some(&t2), Change::Stray),
            (stale, Some(&s), None, Change::Create),
            (stale, Some(&s), Some(&t), Change::Replace),
            (stale, Some(&s), Some(&t2), Change::Look),
        ] {
            assert_eq!(decide(source, target, pair), change, "{pair:?} {source:?} {target:?}");
        }
    }

    #[test]
    fn a_time_that_was_never_learned_agrees_with_any_and_a_learned_one_holds() {
        let (source, target) = (token("s", Some(1)), token("t", Some(2)));
        let written = token("t", None);
        let paired = |follower| Some(Paired { lead: Some(&source), follower, whole: true });
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
