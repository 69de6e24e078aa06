//! The stream of a table in memory, which tests script.
//!
//! The open shards share the keys by their digests, and a shard that splits has two children. As on AWS, a shard ends
//! only if it was split or the stream disabled; its records can still be read. A shard whose time is over is neither
//! listed nor read, though its children name it as their parent.

use std::collections::{BTreeMap, VecDeque};

use migrate_core::{
    item::ItemKey,
    model::{Sha256, Timestamp},
    table::StreamView,
};

use crate::{
    error::{ErrorKind, StoreError},
    object::Result,
    table::{Change, Changes, Position, StreamIterator, StreamShard},
};

/// The first sequence number. The second record of a table already has one digit more.
const FIRST: u64 = 9;

/// All streams that a table has had.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: BTreeMap<String, Stream>,
    /// The name of the one that is enabled.
    pub(super) current: Option<String>,
    made: u32,
    /// Iterators of earlier generations have expired.
    generation: u64,
    /// How many of the next reads show nothing.
    pub(super) empty_reads: u32,
    /// Whether what changes now is deleted because its time is over.
    pub(super) expires: bool,
    /// The most records of one read.
    pub(super) records_max: Option<usize>,
    sequence: u64,
}

#[derive(Debug)]
struct Stream {
    shards: BTreeMap<String, Shard>,
    made: u32,
}

#[derive(Debug)]
struct Shard {
    parent: Option<String>,
    /// Which keys it takes: those whose digest's first bits are these.
    prefix: Vec<bool>,
    open: bool,
    records: VecDeque<Change>,
    /// Records up to this one were trimmed.
    trimmed: u64,
}

fn has_prefix(key: &Sha256, prefix: &[bool]) -> bool {
    prefix.iter().enumerate().all(|(bit, set)| (key.0[bit / 8] >> (7 - bit % 8) & 1 == 1) == *set)
}

impl Stream {
    fn add(&mut self, parent: Option<&str>, prefix: Vec<bool>) {
        self.made += 1;
        // The names say nothing of the order.
        let id = format!("shardId-{:08x}", self.made.wrapping_mul(0x9e37_79b9));
        let parent = parent.map(str::to_owned);
        self.shards.insert(id, Shard { parent, prefix, open: true, records: VecDeque::new(), trimmed: 0 });
    }
}

impl Streams {
    /// Enables a stream; the name of the one that is enabled now, and whether it is a new one.
    pub(super) fn enable(&mut self) -> (String, bool) {
        if let Some(current) = &self.current {
            return (current.clone(), false);
        }
        self.made += 1;
        let name = format!("stream-{}", self.made);
        let mut stream = Stream { shards: BTreeMap::new(), made: 0 };
        stream.add(None, Vec::new());
        self.all.insert(name.clone(), stream);
        self.current = Some(name.clone());
        (name, true)
    }

    /// Disables a stream: its shards end, and can still be read.
    pub(super) fn disable(&mut self, name: &str) {
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        for shard in self.all.get_mut(name).into_iter().flat_map(|stream| stream.shards.values_mut()) {
            shard.open = false;
        }
    }

    /// Forgets all that was enabled.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }

    /// What the enabled stream shows.
    pub(super) fn view(&self) -> Option<StreamView> {
        self.current.as_ref().map(|_| StreamView::Keys)
    }

    /// Records the change of a key.
    pub(super) fn changed(&mut self, digest: &Sha256, key: &ItemKey, at: Timestamp) {
        let Some(stream) = self.current.as_ref().and_then(|name| self.all.get_mut(name)) else { return };
        self.sequence = (self.sequence + 1).max(FIRST);
        let shard = stream.shards.values_mut().find(|shard| shard.open && has_prefix(digest, &shard.prefix));
        let shard = shard.expect("the open shards share all keys");
        let (sequence, expired) = (self.sequence.to_string(), self.expires);
        shard.records.push_back(Change { key: key.clone(), sequence, at: Some(at), expired });
    }

    /// Splits every open shard in two.
    pub(super) fn split(&mut self) {
        let Some(stream) = self.current.as_ref().and_then(|name| self.all.get_mut(name)) else { return };
        let open: Vec<_> = stream.shards.iter().filter(|(_, shard)| shard.open).map(|(id, _)| id.clone()).collect();
        for id in open {
            let Some(shard) = stream.shards.get_mut(&id) else { continue };
            shard.open = false;
            let prefix = shard.prefix.clone();
            for bit in [true, false] {
                stream.add(Some(&id), prefix.iter().copied().chain([bit]).collect());
            }
        }
    }

    /// Lets every iterator expire that was given out so far.
    pub(super) fn expire_iterators(&mut self) {
        self.generation += 1;
    }

    /// Lets every shard that has ended vanish, with its records.
    pub(super) fn expire_shards(&mut self) {
        for stream in self.all.values_mut() {
            stream.shards.retain(|_, shard| shard.open);
        }
    }

    /// Trims every record that there is.
    pub(super) fn trim(&mut self) {
        for shard in self.all.values_mut().flat_map(|stream| stream.shards.values_mut()) {
            shard.trimmed = shard.records.back().map_or(shard.trimmed, number);
            shard.records.clear();
        }
    }

    pub(super) fn shards(&self, location: &str, name: &str) -> Result<Vec<StreamShard>> {
        let stream = self.all.get(name).ok_or_else(|| {
            StoreError::new(
                ErrorKind::NotFound,
                "list the shards of the stream",
                location,
                format!("it has no stream {name}"),
            )
        })?;
        let shown = stream.shards.iter();
        Ok(shown.map(|(id, shard)| StreamShard { id: id.clone(), parent: shard.parent.clone() }).collect())
    }

    fn shard(&self, location: &str, operation: &'static str, name: &str, id: &str) -> Result<&Shard> {
        self.all.get(name).and_then(|stream| stream.shards.get(id)).ok_or_else(|| {
            StoreError::new(ErrorKind::NotFound, operation, location, format!("there is no shard {id} of {name}"))
        })
    }

    pub(super) fn iterator(&self, location: &str, name: &str, id: &str, from: &Position) -> Result<StreamIterator> {
        let shard = self.shard(location, "find a position in", name, id)?;
        let after = match from {
            Position::Oldest => shard.trimmed,
            Position::After(sequence) => sequence.parse::<u64>().map_err(|_| {
                let detail = format!("{sequence} is no sequence number");
                StoreError::new(ErrorKind::Other, "find a position in", location, detail)
            })?,
        };
        if after < shard.trimmed {
            return Err(trimmed(location));
        }
        Ok(StreamIterator(format!("{}|{name}|{id}|{after}", self.generation)))
    }

    pub(super) fn read(&mut self, location: &str, iterator: &StreamIterator) -> Result<Changes> {
        let parts: Vec<_> = iterator.0.split('|').collect();
        let bad = || StoreError::new(ErrorKind::Other, "read", location, "it is no iterator of this table");
        let [generation, name, id, after] = parts[..] else { return Err(bad()) };
        let after: u64 = after.parse().map_err(|_| bad())?;
        if generation != self.generation.to_string() {
            return Err(StoreError::new(ErrorKind::Precondition, "read", location, "the iterator has expired"));
        }
        let shard = self.shard(location, "read", name, id)?;
        if after < shard.trimmed {
            return Err(trimmed(location));
        }
        let max = if self.empty_reads > 0 { 0 } else { self.records_max.unwrap_or(1000) };
        let unread = shard.records.iter().filter(|change| number(change) > after);
        let records: Vec<_> = unread.clone().take(max).cloned().collect();
        let at_end = records.len() == unread.count();
        let last = records.last().map_or(after, number);
        let ended = at_end && !shard.open;
        let next = (!ended).then(|| StreamIterator(format!("{generation}|{name}|{id}|{last}")));
        self.empty_reads = self.empty_reads.saturating_sub(1);
        Ok(Changes { records, next })
    }
}

/// The sequence number of a record of ours.
fn number(change: &Change) -> u64 {
    change.sequence.parse().expect("this file has numbered it")
}

fn trimmed(location: &str) -> StoreError {
    StoreError::new(ErrorKind::Changed, "read", location, "the changes from there on were trimmed")
}
