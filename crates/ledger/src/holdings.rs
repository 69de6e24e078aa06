//! [`Holdings`]: which places show which content of one record.
//!
//! A *content* is what a record's bytes and properties were at some time; each has a number of its own within the
//! record. A *holding* says that a place shows a content, under which token. Two places are equal if they hold the
//! same content, whichever of them leads. So a lead may move and no row is written again, and all places that hold a
//! content share its evidence.
//!
//! # As columns
//!
//! One row a record: the number, size and evidence of the content that was paired last, and a BLOB of all holdings,
//! ascending by place. Each is, with numbers in LEB128: place, content, waived kinds, marks (bit 0: written by this
//! migration, 1: with a time, 2: with a size of its own, 3: its tag is packed, 4: with the time of its pairing,
//! 5: its time is a bound), the time in seconds (zigzag), the size (if the content is not the row's), the time at which the
//! place was first paired with this content, in seconds since 1970, the tag's length and the tag. Only the row's content has
//! evidence: places that show an older one are not equal to their lead and are written again.

use super::{code, failure::Failure};
use crate::rows::{Held, Pair};
use migrate_core::model::{Aspects, Evidence, Modified, PlaceIndex, Timestamp, Token};

/// What the places of one record hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holdings {
    /// Number of the content that was paired last; 0 before the first.
    pub(super) content: u64,
    /// Its size in bytes.
    pub(super) size: u64,
    /// What was read of it, and proved.
    pub(super) evidence: Option<Evidence>,
    held: Vec<Holding>,
}

/// What one place shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holding {
    place: PlaceIndex,
    content: u64,
    token: Token,
    waived: Aspects,
    written: bool,
    /// When the place was first paired with this content, in seconds since 1970 UTC; `None` if it led then.
    paired_s: Option<u64>,
}

/// What a place shows of a record, for a person who asks about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The place.
    pub place: PlaceIndex,
    /// The version that it shows, by the last look.
    pub token: Token,
    /// Whether that is the content that was copied last.
    pub is_current: bool,
    /// Kinds of properties that were neither copied nor compared.
    pub waived: Aspects,
    /// Whether this migration wrote it; otherwise it was found there.
    pub written: bool,
    /// When it was written, or found equal, to the second; `None` of the place that led then.
    pub paired: Option<Timestamp>,
}

const WRITTEN: u8 = 1;
const TIMED: u8 = 1 << 1;
const SIZED: u8 = 1 << 2;
const PACKED: u8 = 1 << 3;
const DATED: u8 = 1 << 4;
const BOUNDED: u8 = 1 << 5;

impl Holdings {
    /// Learns now that `place` shows the content that the lead shows.
    pub(super) fn pair(&mut self, lead: PlaceIndex, place: PlaceIndex, pair: &Pair, now: Timestamp) {
        let known = self.at(lead).map(|at| &self.held[at]);
        let content = match known {
            // By its time it may be a later version of the lead, which those who were paired before do not have.
            Some(known)
                if known.token.agrees_with(&pair.lead)
                    && !known.token.is_before(&pair.lead)
                    && !self.contradicts(known.content, pair) =>
            {
                known.content
            }
            _ => self.begin_content(pair),
        };
        if self.content == content && self.evidence.is_none() {
            self.evidence.clone_from(&pair.evidence);
        }
        self.show_lead(lead, content, &pair.lead);
        let token = pair.follower.clone();
        let known = self.at(place).map(|at| &self.held[at]);
        let known = known.filter(|known| known.content == content && known.token.agrees_with(&token));
        let paired_s = known.and_then(|known| known.paired_s).or(u64::try_from(now.0 / 1000).ok());
        self.put(Holding { place, content, token, waived: pair.waived, written: pair.written, paired_s });
    }

    /// Whether it knows of these versions that they are equal.
    pub(super) fn shows(&self, lead: PlaceIndex, place: PlaceIndex, pair: &Pair) -> bool {
        let held = self.followers(lead).find(|(follower, _)| *follower == place).map(|(_, held)| held);
        held.is_some_and(|held| {
            let at_lead = held.lead.is_some_and(|known| known.agrees_with(&pair.lead));
            at_lead && held.here.agrees_with(&pair.follower)
        })
    }

    /// Forgets what a place held. A record that only one place holds has no pair, and is forgotten too.
    pub(super) fn forget(&mut self, place: PlaceIndex) {
        if let Ok(at) = self.position(place) {
            self.held.remove(at);
            if self.held.len() < 2 {
                self.held.clear();
            }
        }
    }

    /// Whether no place holds it.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Each place with the size that it shows.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (PlaceIndex, u64)> {
        self.held.iter().map(|holding| (holding.place, holding.token.size))
    }

    /// What every follower of `lead` holds, ascending by place. Nothing if the lead never held the record: then no
    /// place was ever equal to it.
    pub(super) fn followers(&self, lead: PlaceIndex) -> impl Iterator<Item = (PlaceIndex, Held)> {
        let own = self.at(lead).map(|at| &self.held[at]);
        let others = self.held.iter().filter(move |holding| holding.place != lead);
        own.into_iter().flat_map(move |own| others.clone().map(move |holding| (holding.place, self.held(own, holding))))
    }

    /// Hands on what [`followers`](Self::followers) returns, and keeps nothing.
    pub(super) fn hand_on(mut self, lead: PlaceIndex, mut to: impl FnMut(PlaceIndex, Held)) {
        let Some(at) = self.at(lead) else { return };
        let own = self.held.remove(at);
        // Nearly every record has one follower, and so needs no clone.
        let Some(last) = self.held.pop() else { return };
        for holding in &self.held {
            to(holding.place, self.held(&own, holding));
        }
        let equal = own.content == last.content;
        let evidence = self.evidence.filter(|_| equal && last.content == self.content);
        let waived = own.waived.with(last.waived);
        let lead = equal.then_some(own.token);
        to(last.place, Held { lead, here: last.token, evidence, waived, written: last.written });
    }

    /// The size of what this migration wrote at a place; `None` if it did not write what the place shows.
    pub(super) fn written_at(&self, place: PlaceIndex) -> Option<u64> {
        self.at(place).map(|at| &self.held[at]).filter(|holding| holding.written).map(|holding| holding.token.size)
    }

    /// What each place shows, ascending by place.
    pub(super) fn shown(&self) -> impl Iterator<Item = Shown> {
        self.held.iter().map(|holding| Shown {
            place: holding.place,
            token: holding.token.clone(),
            is_current: holding.content == self.content,
            waived: holding.waived,
            written: holding.written,
            paired: holding.paired_s.and_then(|s| i64::try_from(s).ok()?.checked_mul(1000)).map(Timestamp),
        })
    }

    fn held(&self, lead: &Holding, holding: &Holding) -> Held {
        let equal = lead.content == holding.content;
        Held {
            lead: equal.then(|| lead.token.clone()),
            here: holding.token.clone(),
            evidence: self.evidence.clone().filter(|_| equal && holding.content == self.content),
            waived: lead.waived.with(holding.waived),
            written: holding.written,
        }
    }

    /// Whether what was read shows that the tokens agree by chance: bytes of another digest.
    fn contradicts(&self, content: u64, pair: &Pair) -> bool {
        match (&self.evidence, &pair.evidence) {
            (Some(known), Some(new)) if self.content == content => known.crc64nvme != new.crc64nvme,
            _ => false,
        }
    }

    fn begin_content(&mut self, pair: &Pair) -> u64 {
        self.content += 1;
        self.size = pair.lead.size;
        self.evidence.clone_from(&pair.evidence);
        self.content
    }

    /// The lead shows this content. A time that was known stays known.
    fn show_lead(&mut self, lead: PlaceIndex, content: u64, token: &Token) {
        match self.at(lead) {
            Some(at) if self.held[at].content == content => {
                let known = &mut self.held[at].token;
                known.modified = token.modified.or(known.modified);
            }
            _ => {
                let token = token.clone();
                let (waived, written, paired_s) = (Aspects::NONE, false, None);
                self.put(Holding { place: lead, content, token, waived, written, paired_s });
            }
        }
    }

    fn put(&mut self, holding: Holding) {
        match self.position(holding.place) {
            Ok(at) => self.held[at] = holding,
            Err(at) => self.held.insert(at, holding),
        }
    }

    fn at(&self, place: PlaceIndex) -> Option<usize> {
        self.position(place).ok()
    }

    fn position(&self, place: PlaceIndex) -> Result<usize, usize> {
        self.held.binary_search_by_key(&place, |holding| holding.place)
    }

    /// The BLOB of the holdings.
    pub(super) fn coded(&self) -> Vec<u8> {
        let mut coded = Vec::with_capacity(32 * self.held.len());
        for Holding { place, content, token, waived, written, paired_s } in &self.held {
            let packed = code::pack(&token.tag);
            let (seconds, bounded) = match token.modified {
                Modified::Unknown => (None, false),
                Modified::By(seconds) => (Some(seconds), true),
                Modified::At(seconds) => (Some(seconds), false),
            };
            let (timed, sized) = (seconds.is_some(), *content != self.content);
            let dated = (paired_s.is_some(), DATED);
            let marks = [
                (*written, WRITTEN),
                (timed, TIMED),
                (sized, SIZED),
                (packed.is_some(), PACKED),
                dated,
                (bounded, BOUNDED),
            ];
            code::put_number(&mut coded, u64::from(place.0));
            code::put_number(&mut coded, *content);
            coded.push(waived.bits());
            coded.push(marks.iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).sum());
            if let Some(seconds) = seconds {
                code::put_number(&mut coded, ((seconds << 1) ^ (seconds >> 63)).cast_unsigned());
            }
            if sized {
                code::put_number(&mut coded, token.size);
            }
            if let Some(seconds) = paired_s {
                code::put_number(&mut coded, *seconds);
            }
            let tag = packed.as_deref().unwrap_or(token.tag.as_bytes());
            code::put_number(&mut coded, tag.len() as u64);
            coded.extend(tag);
        }
        coded
    }

    /// Reads the columns of a row.
    pub(super) fn read(content: u64, size: u64, evidence: Option<&[u8]>, mut coded: &[u8]) -> Result<Self, Failure> {
        let damaged = |what: &str| Failure::Damaged(format!("a record's {what}"));
        let evidence =
            evidence.map(|coded| code::read_evidence(coded).ok_or_else(|| damaged("evidence"))).transpose()?;
        let mut holdings = Self { content, size, evidence, held: Vec::with_capacity(2) };
        while !coded.is_empty() {
            let holding = holdings.read_one(&mut coded).ok_or_else(|| damaged("holdings"))?;
            if holdings.held.last().is_some_and(|last| last.place >= holding.place) {
                return Err(damaged("order of holdings"));
            }
            holdings.held.push(holding);
        }
        Ok(holdings)
    }

    fn read_one(&self, coded: &mut &[u8]) -> Option<Holding> {
        let place = PlaceIndex(u16::try_from(code::take_number(coded)?).ok()?);
        let content = code::take_number(coded)?;
        let (&[waived, marks], rest) = coded.split_first_chunk::<2>()?;
        *coded = rest;
        let has = |mark: u8| marks & mark != 0;
        let zigzag = if has(TIMED) { Some(code::take_number(coded)?) } else { None };
        let seconds = zigzag.map(|zigzag| (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
        let modified = match seconds {
            Some(seconds) if has(BOUNDED) => Modified::By(seconds),
            seconds => seconds.into(),
        };
        let size = if has(SIZED) { code::take_number(coded)? } else { self.size };
        let paired_s = if has(DATED) { Some(code::take_number(coded)?) } else { None };
        let length = usize::try_from(code::take_number(coded)?).ok()?;
        let (tag, rest) = coded.split_at_checked(length)?;
        *coded = rest;
        let tag = if has(PACKED) { code::unpack(tag)? } else { std::str::from_utf8(tag).ok()?.into() };
        let waived = Aspects::from_bits(waived)?;
        let token = Token { size, tag, modified };
        Some(Holding { place, content, token, waived, written: has(WRITTEN), paired_s })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use migrate_core::model::Sha256;

    const PLACES: u16 = 4;
    const NOW: Timestamp = Timestamp(1_700_000_000_999);

    fn token(version: u8, timed: bool) -> Token {
        let second = -i64::from(version);
        let modified = if timed { Modified::At(second) } else { Modified::By(second) };
        let tag = if version.is_multiple_of(2) { format!("{version:032x}") } else { format!("v{version}") };
        Token { size: u64::from(version), tag: tag.into(), modified }
    }

    fn evidence(version: u8) -> Evidence {
        Evidence { crc64nvme: u64::from(version), parts: vec![(u64::from(version), Sha256([version; 32]))] }
    }

    fn pair(lead: Token, follower: Token, evidence: Option<Evidence>) -> Pair {
        Pair { lead, follower, evidence, waived: Aspects::TAGS, written: true }
    }

    fn are_equal(holdings: &Holdings, a: PlaceIndex, b: PlaceIndex) -> bool {
        holdings.followers(a).any(|(place, held)| place == b && held.lead.is_some())
    }

    /// Lead, follower, the version that the lead shows, whether with its time, and whether the copy was read.
    fn any_pairing() -> impl Strategy<Value = (PlaceIndex, PlaceIndex, u8, bool, bool)> {
        (0..PLACES, 1..PLACES, 1..6_u8, any::<bool>(), any::<bool>()).prop_map(|(lead, step, version, timed, read)| {
            (PlaceIndex(lead), PlaceIndex((lead + step) % PLACES), version, timed, read)
        })
    }

    proptest! {
        /// Two places are equal after a pairing if they were paired, or were equal before and neither has changed.
        #[test]
        fn equality_follows_from_pairings_alone(pairings in proptest::collection::vec(any_pairing(), 1..24)) {
            let mut holdings = Holdings::default();
            for (lead, follower, version, timed, read) in pairings {
                let before = holdings.clone();
                let pair = pair(token(version, timed), token(version, false), read.then(|| evidence(version)));
                holdings.pair(lead, follower, &pair, NOW);
                let shown = |place| before.at(place).map(|at| &before.held[at].token);
                let lead_stays = shown(lead).is_some_and(|known| known.agrees_with(&pair.lead));
                for (a, b) in (0..PLACES).flat_map(|a| (0..PLACES).map(move |b| (PlaceIndex(a), PlaceIndex(b)))) {
                    if a == b {
                        continue;
                    }
                    let was = |a, b| are_equal(&before, a, b);
                    let expected = match (a == lead || b == lead, a == follower || b == follower) {
                        (true, true) => true,
                        (true, false) => lead_stays && was(a, b),
                        (false, true) => lead_stays && was(lead, if a == follower { b } else { a }),
                        (false, false) => was(a, b),
                    };
                    prop_assert_eq!(are_equal(&holdings, a, b), expected, "{:?} and {:?}", a, b);
                    prop_assert_eq!(are_equal(&holdings, a, b), are_equal(&holdings, b, a));
                }
                let mut handed_on = Vec::new();
                holdings.clone().hand_on(lead, |place, held| handed_on.push((place, held)));
                prop_assert_eq!(handed_on, holdings.followers(lead).collect::<Vec<_>>());
                // Evidence is of the content that both show, or there is none.
                for (_, held) in holdings.followers(lead) {
                    let size = held.here.size;
                    prop_assert!(held.evidence.is_none_or(|known| known.crc64nvme == size));
                }
                let coded = holdings.evidence.as_ref().map(code::evidence);
                let read = Holdings::read(holdings.content, holdings.size, coded.as_deref(), &holdings.coded()).unwrap();
                prop_assert_eq!(&read, &holdings);
            }
        }
    }

    #[test]
    fn bytes_of_another_digest_are_another_content_whatever_the_tokens_say() {
        let (source, a, b) = (PlaceIndex::SOURCE, PlaceIndex(1), PlaceIndex(2));
        let mut holdings = Holdings::default();
        holdings.pair(source, a, &pair(token(3, true), token(3, false), Some(evidence(3))), NOW);
        let other = Evidence { crc64nvme: 99, ..evidence(3) };
        holdings.pair(source, b, &pair(token(3, true), token(3, false), Some(other.clone())), NOW);
        assert!(are_equal(&holdings, source, b) && !are_equal(&holdings, source, a));
        let held: Vec<_> = holdings.followers(source).map(|(_, held)| held.evidence).collect();
        assert_eq!(held, [None, Some(other)]);
    }

    #[test]
    fn targets_that_were_made_of_one_version_are_equal_when_one_of_them_leads() {
        let (source, a, b) = (PlaceIndex::SOURCE, PlaceIndex(1), PlaceIndex(2));
        let mut holdings = Holdings::default();
        holdings.pair(source, a, &pair(token(1, true), token(1, false), Some(evidence(1))), NOW);
        holdings.pair(
            source,
            b,
            &Pair { waived: Aspects::REDIRECT, ..pair(token(1, true), token(1, false), None) },
            NOW,
        );
        let back: Vec<_> = holdings.followers(b).collect();
        assert!(back.iter().all(|(_, held)| held.lead == Some(token(1, false)) && held.evidence == Some(evidence(1))));
        assert_eq!(back[0].1.waived, Aspects::REDIRECT, "what the lead may lack, a follower may lack");
        assert_eq!(back[1].1.waived, Aspects::REDIRECT.with(Aspects::TAGS));
        assert!(!back[0].1.written && back[1].1.written);
        // A place that never held the record has never been equal to any.
        assert_eq!(holdings.followers(PlaceIndex(3)).count(), 0);
    }

    #[test]
    fn a_place_keeps_the_time_at_which_it_was_first_paired_with_its_content() {
        let (source, target) = (PlaceIndex::SOURCE, PlaceIndex(1));
        let mut holdings = Holdings::default();
        let paired = |holdings: &Holdings| holdings.shown().map(|shown| shown.paired).collect::<Vec<_>>();
        holdings.pair(source, target, &pair(token(1, true), token(1, false), None), NOW);
        assert_eq!(paired(&holdings), [None, Some(Timestamp(1_700_000_000_000))]);
        let later = Timestamp(NOW.0 + 60_000);
        holdings.pair(source, target, &pair(token(1, true), token(1, false), None), later);
        assert_eq!(paired(&holdings)[1], Some(Timestamp(1_700_000_000_000)), "nothing was written again");
        holdings.pair(source, target, &pair(token(2, true), token(2, false), None), later);
        assert_eq!(paired(&holdings)[1], Some(Timestamp(1_700_000_060_000)));
        assert!(holdings.shown().all(|shown| shown.is_current));
    }

    #[test]
    fn a_record_of_one_place_is_forgotten() {
        let mut holdings = Holdings::default();
        holdings.pair(PlaceIndex(0), PlaceIndex(2), &pair(token(1, true), token(1, false), None), NOW);
        holdings.pair(PlaceIndex(0), PlaceIndex(1), &pair(token(1, true), token(1, false), None), NOW);
        holdings.forget(PlaceIndex(2));
        holdings.forget(PlaceIndex(3));
        assert_eq!(holdings.sizes().count(), 2);
        holdings.forget(PlaceIndex(1));
        assert!(holdings.is_empty());
    }

    #[test]
    fn a_row_that_was_cut_is_damage() {
        let mut holdings = Holdings::default();
        holdings.pair(PlaceIndex(0), PlaceIndex(1), &pair(token(1, true), token(2, false), None), NOW);
        holdings.pair(PlaceIndex(0), PlaceIndex(2), &pair(token(4, true), token(4, false), None), NOW);
        let coded = holdings.coded();
        let bounds = holdings.held.iter().scan(0, |at, holding| {
            let one = Holdings { held: vec![holding.clone()], ..holdings.clone() };
            *at += one.coded().len();
            Some(*at)
        });
        let bounds: Vec<_> = bounds.collect();
        for cut in (1..coded.len()).filter(|cut| !bounds.contains(cut)) {
            assert!(Holdings::read(holdings.content, 4, None, &coded[..cut]).is_err(), "cut at {cut}");
        }
        let twice = [&coded[..], &coded[..]].concat();
        assert!(Holdings::read(holdings.content, 4, None, &twice).is_err(), "a place is there twice");
    }
}
