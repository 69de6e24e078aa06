//! One row of a verification: what the listings and the pairs show of it, and what a look at it adds.

use std::ops::AddAssign;

use crate::{
    routed::Goes,
    rows::Row,
    verify::{
        look::{Answer, Listed, Look, Looked, listed},
        sides::Compared,
        verifier::{Learns, Verifier},
    },
};
use migrate_core::{
    model::{Decider, Key, Token},
    plan::{Extra, Level},
    report::{Difference, DifferenceKind},
};
use migrate_ledger::{Fact, Held, Open, Pair, PartFound, Record};
use migrate_store::Entry;

/// What some rows came to.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// What was found, per follower; as many as any of the rows needed.
    pub(crate) found: Vec<PartFound>,
    /// What was learned of the records, for the ledger.
    pub(crate) records: Vec<Record>,
}

impl AddAssign for Part {
    fn add_assign(&mut self, other: Self) {
        for (place, part) in other.found.into_iter().enumerate() {
            let found = self.at(place);
            found.counts += part.counts;
            found.differences.extend(part.differences);
        }
        self.records.extend(other.records);
    }
}

impl Part {
    pub(crate) fn at(&mut self, place: usize) -> &mut PartFound {
        if self.found.len() <= place {
            self.found.resize_with(place + 1, PartFound::default);
        }
        &mut self.found[place]
    }
}

impl Verifier {
    /// Judges a row at every follower that is listed, as far as the listings and the pairs can; the rest must be looked
    /// at.
    pub(crate) fn judge(&self, row: Row, is_listed: &[bool]) -> (Part, Vec<Look>) {
        let (mut part, mut looks) = (Part::default(), Vec::new());
        let Compared { key, lead, followers, goes } = self.sides.row(row);
        for (follower, (shown, held)) in followers.into_iter().enumerate().filter(|(place, _)| is_listed[*place]) {
            let lead = lead.as_ref().map(|lead| (lead, &goes));
            looks.extend(self.judge_at(follower, &key, lead, shown, held, &mut part));
        }
        (part, looks)
    }

    /// The same at one follower. `source` is what the lead shows, and where that belongs.
    pub(crate) fn judge_at(
        &self,
        follower: usize,
        key: &Key,
        source: Option<(&Entry, &Goes)>,
        shown: Option<Entry>,
        held: Option<Held>,
        part: &mut Part,
    ) -> Option<Look> {
        let place = self.sides.star.followers[follower];
        let is_elsewhere = |goes: &Goes| matches!(goes, Goes::To(to) if !to.holds(place));
        let Some((source, goes)) = source.filter(|(_, goes)| !is_elsewhere(goes)) else {
            if let Some(shown) = shown {
                self.extra(part.at(follower), follower, key, &shown, held.as_ref(), source.is_some());
            }
            return None;
        };
        part.at(follower).counts.compared += 1;
        let unrouted = match goes {
            Goes::To(_) => None,
            Goes::Vanished => Some((DifferenceKind::Unstable, "it vanished while it was looked at".to_owned())),
            Goes::Unknown(failed) => Some((DifferenceKind::Unreadable, failed.reason.clone())),
        };
        if let Some((kind, detail)) = unrouted {
            self.differs(part, follower, key, kind, detail);
            return None;
        }
        let (kind, detail) = match self.both(follower, source, shown.as_ref(), held.as_ref()) {
            Shown::Same => {
                part.at(follower).counts.decided.count(Decider::Versions);
                if let Some((shown, held)) = shown.zip(held) {
                    self.teach(follower, key, &source.token, shown.token, held, part);
                }
                return None;
            }
            Shown::Apart(kind, detail) => (kind, detail),
            Shown::ToLookAt => {
                let (source, shown) = (source.token.clone(), shown?.token);
                return Some(Look { follower, key: key.clone(), source, shown, held, as_listed: true });
            }
        };
        self.differs(part, follower, key, kind, detail);
        None
    }

    /// What the listings and the pair say of a record of the lead.
    fn both(&self, follower: usize, source: &Entry, shown: Option<&Entry>, held: Option<&Held>) -> Shown {
        if let Some(problem) = &source.problem {
            return Shown::Apart(DifferenceKind::Unreadable, problem.to_string());
        }
        let Some(shown) = shown else {
            return Shown::Apart(DifferenceKind::Missing, "the target does not have it".to_owned());
        };
        if let Some(problem) = &shown.problem {
            return Shown::Apart(DifferenceKind::Different, format!("at the target it {problem}"));
        }
        if self.level > Level::Listing {
            return Shown::ToLookAt;
        }
        match listed(&source.token, &shown.token, held, self.sides.waived[follower]) {
            Listed::Same => Shown::Same,
            Listed::Apart(kind, detail) => Shown::Apart(kind, detail),
            // A look decides, and its finding is recorded, so that the next listing can decide.
            Listed::Unsure(_) if self.learns > Learns::Nothing => Shown::ToLookAt,
            Listed::Unsure(why) => Shown::Apart(DifferenceKind::Undecided, why),
        }
    }

    /// Counts a record that only the target has, or that the lead has for other places.
    fn extra(
        &self,
        found: &mut PartFound,
        follower: usize,
        key: &Key,
        shown: &Entry,
        held: Option<&Held>,
        is_elsewhere: bool,
    ) {
        found.counts.extra += 1;
        let is_ours = held.is_some_and(|held| held.here.covers(&shown.token));
        let (detail, kept) = if self.sides.has_led(follower) && !is_ours {
            // No plan says what becomes of it: the ledger keeps it as a late write until somebody settles it.
            ("somebody wrote it at the old lead, and the lead does not have it", true)
        } else if let Some(held) = held {
            // It was copied from the lead, which has deleted it since; no plan asks to keep such a record.
            found.counts.stale += 1;
            found.counts.strays += u64::from(!held.here.covers(&shown.token));
            (if is_elsewhere { "it belongs elsewhere now" } else { "the lead has deleted it" }, false)
        } else if is_elsewhere {
            // It is a copy of what belongs to other places, whatever the plan says about records of its own; a pass
            // deletes it only if the plan deletes extra ones.
            found.counts.stale += 1;
            found.counts.strays += u64::from(self.extra != Extra::Delete);
            ("the lead has it, and it belongs elsewhere", false)
        } else {
            ("the lead does not have it", self.extra == Extra::Keep)
        };
        let (key, detail) = (key.clone(), detail.to_owned());
        found.differences.push((Difference { key, kind: DifferenceKind::Extra, detail }, kept));
    }

    /// Takes the answer of the looks at a record; `false` if it proves nothing, since the run is to stop.
    pub(crate) fn settle(&self, looked: Looked, part: &mut Part) -> bool {
        let Looked { look, answer } = looked;
        let (kind, detail) = match answer {
            // A stop cuts the comparison of bytes short, so it proves nothing.
            Ok(Answer::Equal(_)) if self.shutdown.is_draining() => return false,
            Ok(Answer::Equal(by)) => {
                part.at(look.follower).counts.decided.count(by);
                let Look { follower, key, source, shown, held, as_listed } = look;
                if let Some(held) = held.filter(|_| as_listed) {
                    self.teach(follower, &key, &source, shown, held, part);
                }
                return true;
            }
            Ok(Answer::Differs(detail)) => (DifferenceKind::Different, detail),
            Ok(Answer::Unstable(detail)) => (DifferenceKind::Unstable, detail),
            Err(error) => (DifferenceKind::Unreadable, error.reason(self.sides.followers[look.follower].location())),
        };
        self.differs(part, look.follower, &look.key, kind, detail);
        true
    }

    /// Completes the pair of a record that was just found equal: with the times of its versions, which
    /// a write does not tell, and without waivers that the plan no longer has. A listing completes a pair only if it shows
    /// no later time than the answer to the write had: it would be a later version, under the same tag and perhaps
    /// with other properties.
    fn teach(&self, follower: usize, key: &Key, source: &Token, shown: Token, held: Held, part: &mut Part) {
        if self.learns == Learns::Nothing {
            return;
        }
        let untimed = |known: &Token, shown: &Token| known.modified.at().is_none() && shown.modified.at().is_some();
        let timed = !held.lead.as_ref().is_some_and(|lead| untimed(lead, source)) && !untimed(&held.here, &shown);
        let waived = held.waived.both(self.sides.waived[follower]);
        if timed && waived == held.waived {
            return;
        }
        let Some(pair) = held.pair().filter(|pair| pair.lead.agrees_with(source) && pair.follower.agrees_with(&shown))
        else {
            return;
        };
        let written = pair.has_written(&shown);
        let pair = Pair { lead: source.clone(), follower: shown, waived, written, ..pair };
        let (lead, place) = (self.sides.star.lead, self.sides.star.followers[follower]);
        part.records.push(Record::at(&self.inputs.dataset, place, key, Fact::Learned { lead, pair }));
    }

    /// Counts a difference; a repair also marks what is to be copied again.
    pub(crate) fn differs(&self, part: &mut Part, follower: usize, key: &Key, kind: DifferenceKind, detail: String) {
        let found = part.at(follower);
        match kind {
            DifferenceKind::Missing => found.counts.missing += 1,
            DifferenceKind::Extra => found.counts.extra += 1,
            DifferenceKind::Different => found.counts.different += 1,
            DifferenceKind::Unreadable => found.counts.unreadable += 1,
            DifferenceKind::Unstable => found.counts.unstable += 1,
            DifferenceKind::Undecided => found.counts.undecided += 1,
        }
        found.differences.push((Difference { key: key.clone(), kind, detail }, false));
        let is_broken = matches!(kind, DifferenceKind::Missing | DifferenceKind::Different);
        if is_broken && self.learns == Learns::PairsAndDamage {
            part.records.push(Record::at(
                &self.inputs.dataset,
                self.sides.star.followers[follower],
                key,
                Fact::Waits(Open::Damaged),
            ));
        }
    }
}

/// What the listings and the pair say of one record of the lead at one follower.
enum Shown {
    Same,
    Apart(DifferenceKind, String),
    ToLookAt,
}
