//! What pairs a follower with its lead, and what forgets it: the rows of records.

use rusqlite::params;

use super::{
    apply::{Apply, RecordAt, illegal},
    code::{self, key as blob, number},
    failure::Failure,
    holdings::Holdings,
    query,
};
use crate::record::{Pairing, Record};
use migrate_core::{model::PlaceIndex, report::bytes};

/// Refuses a pairing that contradicts itself.
fn check(Pairing { key, place, lead, pair, .. }: Pairing<'_>) -> Result<(), Failure> {
    let _fits = number(pair.lead.size)?;
    if lead == place {
        return illegal(format!("{key} cannot follow itself at place {}", lead.0));
    }
    if pair.lead.size != pair.follower.size {
        return illegal(format!("{key} cannot pair {} with {}", bytes(pair.lead.size), bytes(pair.follower.size)));
    }
    if let Some(evidence) = &pair.evidence {
        let total = evidence.parts.iter().try_fold(0_u64, |total, (part, _)| total.checked_add(*part));
        if total != Some(pair.lead.size) {
            return illegal(format!("the parts of {key} do not add up to its {}", bytes(pair.lead.size)));
        }
    }
    Ok(())
}

impl Apply<'_> {
    pub(super) fn pairings(&mut self, together: &[Record]) -> Result<(), Failure> {
        let pairings = || together.iter().filter_map(Record::pairing);
        let Some(Pairing { dataset, key, .. }) = pairings().next() else { return Ok(()) };
        pairings().try_for_each(check)?;
        let at = RecordAt { dataset: self.known(dataset)?, place: PlaceIndex::SOURCE, key };
        let now = self.now;
        let learn =
            |holdings: &mut Holdings| pairings().for_each(|one| holdings.pair(one.lead, one.place, one.pair, now));
        // A first copy, by far the most common, is one statement.
        let (mut before, mut after) = (Holdings::default(), Holdings::default());
        learn(&mut after);
        if !self.put_holdings(
            "INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            at,
            &after,
        )? {
            before = query::holdings(self.connection, at.dataset, key)?.unwrap_or_default();
            after = before.clone();
            learn(&mut after);
            self.put_holdings("REPLACE INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6)", at, &after)?;
        }
        // A time that was learned is no other version.
        if !pairings().all(|one| !one.settles && before.shows(one.lead, one.place, one.pair)) {
            self.memory.changed.insert(at.dataset);
        }
        self.count_holdings(at, &before, &after)?;
        pairings().filter(|one| one.settles).try_for_each(|one| self.settle(RecordAt { place: one.place, ..at }))
    }

    pub(super) fn unpair(&mut self, at: RecordAt<'_>) -> Result<(), Failure> {
        if let Some(before) = query::holdings(self.connection, at.dataset, at.key)? {
            let mut after = before.clone();
            after.forget(at.place);
            if after.is_empty() {
                self.run("DELETE FROM record WHERE dataset = ?1 AND key = ?2", params![at.dataset, blob(at.key)])?;
            } else if after != before {
                self.put_holdings("REPLACE INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6)", at, &after)?;
            }
            self.count_holdings(at, &before, &after)?;
        }
        self.settle(at)
    }

    /// Writes a record's row; whether it was written.
    fn put_holdings(&self, sql: &str, at: RecordAt<'_>, holdings: &Holdings) -> Result<bool, Failure> {
        let evidence = holdings.evidence.as_ref().map(code::evidence);
        let (content, size) = (number(holdings.content)?, number(holdings.size)?);
        let values = params![at.dataset, blob(at.key), content, size, evidence, holdings.coded()];
        Ok(self.run(sql, values)? == 1)
    }

    fn count_holdings(&mut self, at: RecordAt<'_>, before: &Holdings, after: &Holdings) -> Result<(), Failure> {
        for (place, size) in before.sizes() {
            self.count(RecordAt { place, ..at }, |counts| {
                counts.paired -= 1;
                counts.paired_bytes -= size;
            })?;
        }
        for (place, size) in after.sizes() {
            self.count(RecordAt { place, ..at }, |counts| {
                counts.paired += 1;
                counts.paired_bytes += size;
            })?;
        }
        Ok(())
    }
}
