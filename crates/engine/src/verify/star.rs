//! The lead of a dataset and its followers, which a verification compares.
//!
//! Until its cutover a dataset's source leads. Afterwards one of its targets leads; the old lead and the
//! other targets are its followers. The ledger's pairs all begin at the old lead, so they are turned round.

use std::sync::Arc;

use crate::rows::{Inputs, Row};
use migrate_core::model::{Aspects, TargetIndex};
use migrate_ledger::{Pair, PairRow};
use migrate_store::{
    ObjectStore,
    survive::{self, Scope},
};

/// A lead and its followers.
#[derive(Debug, Clone)]
pub(crate) struct Star {
    pub(crate) lead: Arc<dyn ObjectStore>,
    pub(crate) followers: Vec<Arc<dyn ObjectStore>>,
    /// The waived properties, per follower.
    pub(crate) waived: Vec<Aspects>,
    /// Properties that a follower cannot hold, per follower; empty except for an old lead, which nothing was copied to.
    pub(crate) cannot: Vec<Aspects>,
    /// The target that leads; `None` if the source leads.
    pub(crate) moved_to: Option<TargetIndex>,
}

impl Star {
    pub(crate) fn new(inputs: &Inputs, moved_to: Option<TargetIndex>) -> Self {
        let Some(lead) = moved_to else {
            return Self {
                lead: Arc::clone(&inputs.source),
                followers: inputs.targets.clone(),
                waived: inputs.waived.to_vec(),
                cannot: vec![Aspects::NONE; inputs.targets.len()],
                moved_to,
            };
        };
        let other = |place: &usize| *place != lead.get();
        let others = || (0..inputs.targets.len()).filter(other);
        let followers = others().map(|place| &inputs.targets[place]);
        let followers = std::iter::once(&inputs.source).chain(followers).cloned().collect();
        // The new lead may lack what was waived there, so its followers need not have it.
        let own = inputs.waived[lead.get()];
        let waived = std::iter::once(own).chain(others().map(|place| own.with(inputs.waived[place]))).collect();
        let back = Aspects::ALL.without(survive::held(&inputs.source.capabilities()));
        let cannot = std::iter::once(back).chain(others().map(|_| Aspects::NONE)).collect();
        Self { lead: Arc::clone(&inputs.targets[lead.get()]), followers, waived, cannot, moved_to }
    }

    /// The properties that must be equal at a follower.
    pub(crate) fn scope(&self, follower: TargetIndex) -> Scope {
        let out = self.waived[follower.get()].with(self.cannot[follower.get()]);
        Scope::new(&self.lead.capabilities(), &self.followers[follower.get()].capabilities(), out)
    }

    /// A row from the side of the lead: its own entry in place of the source's, the entries of its followers in
    /// their order, and for each follower the pair with the lead.
    pub(crate) fn row(&self, row: Row) -> Row {
        let Some(lead) = self.moved_to else { return row };
        let Row { key, source, mut targets, mut pairs } = row;
        let own = targets.remove(lead.get());
        let moved = pairs.remove(lead.get()).map(|row| row.pair);
        let linked = |other: Option<Pair>| match (&moved, other) {
            // Both objects were made from the same version of the old lead.
            (Some(moved), Some(other)) if moved.source == other.source => Some(Pair {
                source: moved.target.clone(),
                target: other.target,
                evidence: other.evidence,
                waived: moved.waived.with(other.waived),
            }),
            _ => None,
        };
        let others: Vec<_> = pairs.into_iter().map(|other| linked(other.map(|row| row.pair))).collect();
        let back = moved.as_ref().map(|moved| Pair {
            source: moved.target.clone(),
            target: moved.source.clone(),
            evidence: moved.evidence.clone(),
            waived: moved.waived,
        });
        let row_of = |(place, pair): (usize, Option<Pair>)| {
            let target = TargetIndex::at(place);
            pair.map(|pair| PairRow { key: key.clone(), target, pair })
        };
        let pairs = std::iter::once(back).chain(others).enumerate().map(row_of).collect();
        Row { source: own, targets: std::iter::once(source).chain(targets).collect(), pairs, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::{Key, Token};
    use migrate_store::{Entry, memory::MemoryStore};

    fn token(tag: &str) -> Token {
        Token { size: 1, tag: tag.into(), modified_s: None }
    }

    fn pair(target: u16, source: &str, at: &str) -> PairRow {
        let pair = Pair { source: token(source), target: token(at), evidence: None, waived: Aspects::NONE };
        PairRow { key: "k".into(), target: TargetIndex(target), pair }
    }

    #[test]
    fn pairs_are_read_the_other_way_round_where_a_target_leads() {
        let store = |name: &str| Arc::new(MemoryStore::new(name)) as Arc<dyn ObjectStore>;
        let star = Star {
            lead: store("b"),
            followers: vec![store("src"), store("a")],
            waived: vec![Aspects::NONE; 2],
            cannot: vec![Aspects::NONE; 2],
            moved_to: Some(TargetIndex(1)),
        };
        let entry = |tag: &str| Some(Entry { key: "k".into(), token: token(tag), problem: None });
        let row = |a: Option<PairRow>| Row {
            key: Key::from("k"),
            source: entry("s1"),
            targets: vec![entry("a1"), entry("b1")],
            pairs: vec![a, Some(pair(1, "s1", "b1"))],
        };
        let seen = star.row(row(Some(pair(0, "s1", "a1"))));
        assert_eq!(seen.source, entry("b1"));
        assert_eq!(seen.targets, [entry("s1"), entry("a1")]);
        let links: Vec<_> = seen.pairs.into_iter().flatten().map(|row| (row.pair.source, row.pair.target)).collect();
        assert_eq!(links, [(token("b1"), token("s1")), (token("b1"), token("a1"))]);
        // A copy of another version is no evidence.
        assert!(star.row(row(Some(pair(0, "s0", "a1")))).pairs[1].is_none());
    }
}
