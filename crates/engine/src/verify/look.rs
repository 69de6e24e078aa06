//! The comparison of one record at one target: what each level looks at, and how many looks decide.
//!
//! One look is not enough to prove that two objects differ: a bit may have flipped in transit. Two looks in a row
//! that find a difference prove one. If the second look finds none, a third decides: if it finds none
//! either, the objects are equal; if it finds one, the record is *unstable*, neither
//! equal nor known to be different. If a version changes meanwhile, the looks start over.

use std::sync::Arc;

use crate::{
    compare::{Verdict, compare},
    layout::PART_BYTES,
    verify::verifier::Verifier,
};
use migrate_core::{
    digest::sha256,
    model::{Aspects, Decider, Key, Modified, Token},
    plan::Level,
    report::{DifferenceKind, Grouped, bytes},
};
use migrate_ledger::Held;
use migrate_store::{
    ByteRange, ErrorKind, Head, ObjectStore, StoreError, must_be_gone,
    survive::{self, Scope},
};

/// Looks at a record, at most; if none of them decides, it is unstable.
const LOOKS_MAX: u32 = 8;

/// One record at one target, to be compared.
pub(crate) struct Look {
    /// Which follower, counted from 0.
    pub(crate) follower: usize,
    pub(crate) key: Key,
    pub(crate) source: Token,
    pub(crate) shown: Token,
    pub(crate) held: Option<Held>,
    /// Whether the versions are those of the listings.
    pub(crate) as_listed: bool,
}

/// The answer of one look, or of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The objects are equal; the decider proves it.
    Equal(Decider),
    /// The objects differ; the text says in what.
    Differs(String),
    /// The looks disagree, or the versions kept changing; the text says how.
    Unstable(String),
}

/// The result of all looks at a record.
pub(crate) struct Looked {
    pub(crate) look: Look,
    pub(crate) answer: Result<Answer, StoreError>,
}

/// The findings of the looks at one version so far.
#[derive(Debug, Default)]
struct Looks {
    /// The difference that the first look found.
    differed: Option<String>,
    /// Whether the second look found none.
    then_equal: bool,
}

impl Looks {
    /// Takes the finding of the next look; returns an answer once the looks decide.
    fn take(&mut self, found: Answer) -> Option<Answer> {
        match (found, &self.differed) {
            (Answer::Differs(detail), None) => self.differed = Some(detail),
            (Answer::Equal(_), Some(_)) if !self.then_equal => self.then_equal = true,
            (Answer::Differs(detail), Some(_)) if self.then_equal => {
                let detail = format!("one look of three finds no difference, the others do: {detail}");
                return Some(Answer::Unstable(detail));
            }
            (found, _) => return Some(found),
        }
        None
    }
}

impl Verifier {
    /// Looks at one record on both sides until the looks decide.
    pub(crate) async fn look(&self, mut look: Look) -> Looked {
        let mut looks = Looks::default();
        for _ in 0..LOOKS_MAX {
            let found = match self.level {
                Level::Bytes => self.bytes_differ(&look).await,
                Level::Listing | Level::Checksum => self.looks_differ(&look).await,
            };
            match found {
                Ok(found) => {
                    if let Some(answer) = looks.take(found) {
                        return Looked { look, answer: Ok(answer) };
                    }
                }
                Err(error) if error.kind() == ErrorKind::Changed => {
                    if let Err(error) = self.refresh(&mut look).await {
                        return Looked { look, answer: Err(error) };
                    }
                    looks = Looks::default();
                }
                Err(error) => return Looked { look, answer: Err(error) },
            }
        }
        let detail = format!("it was another version at nearly each of {LOOKS_MAX} looks");
        Looked { look, answer: Ok(Answer::Unstable(detail)) }
    }

    /// Takes the versions that both sides show now.
    async fn refresh(&self, look: &mut Look) -> Result<(), StoreError> {
        let (source, target) = self.stores(look.follower);
        let (lead, follower) = futures::join!(source.head(&look.key), target.head(&look.key));
        let gone = |store: &dyn ObjectStore| {
            StoreError::new(ErrorKind::NotFound, "look at", store.location(), "it vanished meanwhile").on(&look.key)
        };
        let lead = lead?.ok_or_else(|| gone(&**source))?.token;
        let follower = follower?.ok_or_else(|| gone(&**target))?.token;
        (look.source, look.shown, look.as_listed) = (lead, follower, false);
        Ok(())
    }

    /// One look at level `checksum`.
    async fn looks_differ(&self, look: &Look) -> Result<Answer, StoreError> {
        let scope = self.scope(look.follower);
        let Some((lead, follower)) = self.heads(look, scope).await? else {
            return Ok(Answer::Differs("it vanished while it was looked at".to_owned()));
        };
        self.must_be(look, &lead, &follower)?;
        match compare(&lead, &follower, scope) {
            Verdict::Equal => Ok(Answer::Equal(Decider::Digests)),
            Verdict::Differs(detail) => Ok(Answer::Differs(detail)),
            Verdict::Undecided => {
                let paired = look.held.as_ref().is_some_and(|held| {
                    let at_lead = held.lead.as_ref().is_some_and(|known| known.agrees_with(&lead.token));
                    at_lead && held.here.agrees_with(&follower.token)
                });
                if paired { Ok(Answer::Equal(Decider::Versions)) } else { self.bytes_differ(look).await }
            }
        }
    }

    /// One look at level `bytes`. It reads range by range, so that memory stays bounded.
    async fn bytes_differ(&self, look: &Look) -> Result<Answer, StoreError> {
        let (source, target) = self.stores(look.follower);
        let size = look.source.size;
        if look.shown.size != size {
            return Ok(Answer::Differs(format!("{} instead of {}", bytes(look.shown.size), Grouped(size))));
        }
        // Always by range: a whole read fails if the bytes do not match the checksum that the
        // store itself keeps, and then it would not show where the bytes differ.
        let mut start = 0;
        while start < size && !self.shutdown.is_draining() {
            let range = ByteRange { start, end: size.min(start + PART_BYTES) };
            let _room = self.budget.bytes(2 * (range.end - range.start)).await;
            let (lead, follower) = futures::join!(
                source.read(&look.key, Some(range), Some(&look.source)),
                target.read(&look.key, Some(range), Some(&look.shown)),
            );
            let (lead, follower) = (lead?, follower?);
            if lead.bytes != follower.bytes {
                let same = lead.bytes.iter().zip(&follower.bytes).take_while(|(a, b)| a == b).count();
                return Ok(Answer::Differs(format!(
                    "the bytes differ from offset {} on (SHA-256 {} instead of {})",
                    start + same as u64,
                    short(&follower.bytes),
                    short(&lead.bytes)
                )));
            }
            start = range.end;
        }
        let differs = self.properties_differ(look).await?;
        Ok(differs.map_or(Answer::Equal(Decider::Bytes), Answer::Differs))
    }

    async fn properties_differ(&self, look: &Look) -> Result<Option<String>, StoreError> {
        let scope = self.scope(look.follower);
        // A read names its version, so only an empty object needs a look at its version.
        if scope.is_empty() && look.source.size > 0 {
            return Ok(None);
        }
        let Some((lead, follower)) = self.heads(look, scope).await? else {
            return Ok(Some("it vanished while it was looked at".to_owned()));
        };
        self.must_be(look, &lead, &follower)?;
        Ok(scope.differs(&lead, &follower))
    }

    /// Fails if a side no longer has the version that is compared.
    fn must_be(&self, look: &Look, lead: &Head, follower: &Head) -> Result<(), StoreError> {
        if look.source.agrees_with(&lead.token) && look.shown.agrees_with(&follower.token) {
            return Ok(());
        }
        let location = self.sides.followers[look.follower].location();
        Err(StoreError::new(ErrorKind::Changed, "look at", location, "it changed").on(&look.key))
    }

    /// The object's properties on both sides; `None` if one side no longer has it, by its listing too.
    async fn heads(&self, record: &Look, scope: Scope) -> Result<Option<(Head, Head)>, StoreError> {
        let (source, target) = self.stores(record.follower);
        let look = async |store| {
            let shown = survive::look(store, &record.key, scope.has_tags()).await?;
            if shown.is_none() {
                must_be_gone(store, "look at", &record.key).await?;
            }
            Ok::<_, StoreError>(shown)
        };
        let (lead, follower) = futures::join!(look(&**source), look(&**target));
        Ok(lead?.zip(follower?))
    }

    fn scope(&self, follower: usize) -> Scope {
        self.sides.scope(follower)
    }

    fn stores(&self, follower: usize) -> (&Arc<dyn ObjectStore>, &Arc<dyn ObjectStore>) {
        (&self.sides.lead, &self.sides.followers[follower])
    }
}

fn short(bytes: &[u8]) -> String {
    sha256(bytes).to_string()[..12].to_owned()
}

/// What two listings and the pair show of a record that both sides have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Both listings show the paired versions.
    Same,
    /// The record is different or undecided; the text says why.
    Apart(DifferenceKind, String),
    /// Both listings agree with the paired versions, but the pair is incomplete; the text says why.
    Unsure(String),
}

/// The decision of level `listing`.
pub(crate) fn listed(source: &Token, shown: &Token, held: Option<&Held>, waived: Aspects) -> Listed {
    if source.size != shown.size {
        let detail = format!("{} instead of {}", bytes(shown.size), Grouped(source.size));
        return Listed::Apart(DifferenceKind::Different, detail);
    }
    let Some(held) = held else {
        let detail = "nothing is recorded of it, and listings alone cannot decide";
        return Listed::Apart(DifferenceKind::Undecided, detail.to_owned());
    };
    let (ours, theirs) =
        (held.lead.as_ref().is_some_and(|lead| lead.agrees_with(source)), held.here.agrees_with(shown));
    // The answer to our write named no time, or another one. Another writer may have written equal bytes over it since,
    // with other properties, under the same tag.
    let at_lead = || held.lead.as_ref().filter(|lead| lead.leaves_open(source)).map(|lead| untimed(lead, "lead"));
    let open = held.here.leaves_open(shown).then(|| untimed(&held.here, "target")).or_else(at_lead);
    if let (true, true, Some(why)) = (ours, theirs, open) {
        return Listed::Unsure(why);
    }
    let detail = match (ours, theirs) {
        (true, true) if !waived.holds(held.waived) => {
            let then = held.waived.without(waived);
            return Listed::Unsure(format!("it was copied while the plan waived {then}, which must be there now"));
        }
        (true, true) => return Listed::Same,
        (true, false) => "it was replaced at the target since it was copied",
        (false, true) => "it changed at the lead since it was copied",
        (false, false) => "it changed on both sides since it was copied",
    };
    Listed::Apart(DifferenceKind::Different, detail.to_owned())
}

/// Why the time that a side shows leaves open which version it is.
fn untimed(recorded: &Token, side: &str) -> String {
    match recorded.modified {
        Modified::By(_) => format!("its time at the {side} is not that of what was written there"),
        Modified::Unknown | Modified::At(_) => "the time of what was written is not recorded yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_in_a_row_are_believed_and_three_that_disagree_are_not() {
        let come_to = |looks: &str| {
            let mut so_far = Looks::default();
            let mut answers = looks.chars().map(|look| match look {
                '=' => so_far.take(Answer::Equal(Decider::Bytes)),
                _ => so_far.take(Answer::Differs("so".to_owned())),
            });
            let answer = answers.find_map(|answer| answer);
            assert_eq!(answers.count(), 0, "{looks}: it was decided before");
            match answer {
                Some(Answer::Equal(_)) => "equal",
                Some(Answer::Differs(_)) => "different",
                Some(Answer::Unstable(_)) => "unstable",
                None => "open",
            }
        };
        for (looks, answer) in
            [("=", "equal"), ("!", "open"), ("!!", "different"), ("!=", "open"), ("!==", "equal"), ("!=!", "unstable")]
        {
            assert_eq!(come_to(looks), answer, "{looks}");
        }
    }

    #[test]
    fn a_listing_decides_only_by_versions_that_are_known_in_full() {
        let token = |tag: &str, at: Option<i64>| Token { size: 1, tag: tag.into(), modified: at.into() };
        let (source, shown) = (token("s", Some(1)), token("t", Some(2)));
        let pair =
            |here: Token, waived| Held { lead: Some(source.clone()), here, evidence: None, waived, written: true };
        let of = |pair: &Held, waived| listed(&source, &shown, Some(pair), waived);
        let timed = pair(shown.clone(), Aspects::NONE);
        assert_eq!(of(&timed, Aspects::NONE), Listed::Same);
        assert_eq!(of(&timed, Aspects::TAGS), Listed::Same, "a waiver that came later changes nothing");
        // A pair without a time: equal bytes may have been written over the object since.
        let unsure = |pair, of_it: &str| matches!(of(&pair, Aspects::NONE), Listed::Unsure(why) if why.contains(of_it));
        assert!(unsure(pair(token("t", None), Aspects::NONE), "not recorded yet"));
        // With the time of the answer to the write: a later version than that is open, and one that was there long before.
        let bounded = |bound| pair(Token { modified: Modified::By(bound), ..shown.clone() }, Aspects::NONE);
        assert_eq!([2, 3].map(|bound| of(&bounded(bound), Aspects::NONE)), [Listed::Same, Listed::Same]);
        assert!(unsure(bounded(1), "at the target is not that"));
        assert!(unsure(bounded(60), "at the target is not that"));
        let of_lead = Held { lead: Some(Token { modified: Modified::By(0), ..source.clone() }), ..timed.clone() };
        assert!(unsure(of_lead, "at the lead is not that"));
        let withdrawn = of(&pair(shown.clone(), Aspects::TAGS), Aspects::NONE);
        assert!(matches!(withdrawn, Listed::Unsure(why) if why.contains("tags")));
        let undecided = |listed| matches!(listed, Listed::Apart(DifferenceKind::Undecided, _));
        assert!(undecided(listed(&source, &shown, None, Aspects::NONE)));
        let other = listed(&source, &token("t", Some(9)), Some(&timed), Aspects::NONE);
        assert!(matches!(other, Listed::Apart(DifferenceKind::Different, _)));
    }
}
