//! Items read and written: every key that was asked for is answered, and every write is accounted for.

use super::{size::in_requests, wire::table::Wire};
use crate::deadline::within;
use migrate_core::item::{Item, ItemKey};
use migrate_store::{
    ErrorKind, Result, StoreError,
    table::{Got, ItemWrite, Scanned, Segment, WRITE_MAX, Written},
};

impl Wire {
    pub(super) async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        if segment.index >= segment.of {
            return Err(self.reads("scan").error(ErrorKind::Other, "there is no such segment"));
        }
        let table = self.keys().await?;
        let names = &table.names;
        self.read("scan", self.server.scan(names, segment, after, strong)).await
    }

    pub(super) async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        const GET: &str = "get from";
        if keys.is_empty() {
            return Ok(Got::default());
        }
        let table = self.keys().await?;
        let names = &table.names;
        // Not every server refuses it, and its answer would be one for both.
        if has_twins(keys, |one, other| one == other) {
            return Err(self.reads(GET).error(ErrorKind::Other, TWICE));
        }
        let garbled = |detail: &str| self.reads(GET).error(ErrorKind::Garbled, detail);
        let answered = self.read(GET, self.server.get(names, keys)).await?;
        let mut unanswered: Vec<&ItemKey> = keys.iter().collect();
        let mut take = |key: &ItemKey| {
            let at = unanswered.iter().position(|asked| *asked == key);
            at.map(|at| unanswered.swap_remove(at)).ok_or_else(|| garbled("a key is answered that was not asked for"))
        };
        for key in &answered.left {
            take(key)?;
        }
        let mut found = Vec::with_capacity(answered.items.len());
        for item in answered.items {
            let key = names.key_of(&item).ok_or_else(|| garbled("an item comes without its key"))?;
            take(&key)?;
            found.push((key, item));
        }
        // An absent key may be deleted elsewhere, so an answer that only lacks everything proves nothing.
        if !answered.names_table && !unanswered.is_empty() {
            return Err(garbled("the answer does not speak of the table"));
        }
        let absent = unanswered.into_iter().cloned().collect();
        Ok(Got { found, absent, left: answered.left, consumed: answered.consumed })
    }

    pub(super) async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        const WRITE: &str = "write to";
        let keys = self.keys().await?;
        let names = &keys.names;
        let refused = |detail: &str| self.writes(WRITE).error(ErrorKind::Other, detail);
        if writes.len() > WRITE_MAX {
            return Err(refused("there are too many writes for one batch"));
        }
        if !writes.iter().all(|write| keys.can_hold(write)) {
            return Err(refused(
                "the table cannot hold a key of the batch: it is not whole, empty, or of another type",
            ));
        }
        if has_twins(writes, |one, other| keys.values(one) == keys.values(other)) {
            return Err(refused(TWICE));
        }
        let mut written = Written::default();
        for (number, (bytes, request)) in in_requests(writes).into_iter().enumerate() {
            let answer = within(self.writes(WRITE), bytes, self.server.write(names, &request)).await;
            // What went before has happened. Servers were seen that refuse a batch after they have begun it (`moto` 5.2).
            let begun = |error: &StoreError| number > 0 || (request.len() > 1 && error.kind() == ErrorKind::Other);
            let answer = answer.map_err(|error| if begun(&error) { error.with_unknown_outcome() } else { error })?;
            written.consumed = match (written.consumed, answer.consumed) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            };
            for key in answer.left {
                let unknown = || {
                    let detail = "a key is left over that was not written";
                    self.writes(WRITE).error(ErrorKind::Garbled, detail).with_unknown_outcome()
                };
                let is_of = |write: &ItemWrite| match write {
                    ItemWrite::Put(item) => names.key_of(item).as_ref() == Some(&key),
                    ItemWrite::Delete(of) => *of == key,
                };
                written.left.push(writes.iter().position(is_of).ok_or_else(unknown)?);
            }
        }
        Ok(written)
    }

    pub(super) async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        const PUT: &str = "put into";
        let table = self.keys().await?;
        let names = &table.names;
        let lacks = || self.writes(PUT).error(ErrorKind::Other, "the item lacks a key attribute");
        let key = names.key_of(item).ok_or_else(lacks)?;
        let on_key = |error: StoreError| error.on(&names.text(&key));
        let another = || on_key(self.writes(PUT).error(ErrorKind::Precondition, "the item there is another one"));
        if let Some(expected) = expected {
            // A condition sees only the attributes that it names; the look sees the others.
            let got = self.get(std::slice::from_ref(&key)).await.map_err(on_key)?;
            match got.found.first() {
                Some((_, found)) if found == expected => {}
                _ if !got.left.is_empty() => {
                    return Err(on_key(self.reads(PUT).error(ErrorKind::Throttled, "the item was not looked at")));
                }
                _ => return Err(another()),
            }
        }
        self.change(PUT, self.server.put_if(names, item, expected)).await.map_err(on_key)
    }
}

/// Why a batch is refused.
const TWICE: &str = "one key is in the batch twice";

/// Whether two of a few are the same.
fn has_twins<T>(all: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    all.iter().enumerate().any(|(at, one)| all[..at].iter().any(|other| same(one, other)))
}
