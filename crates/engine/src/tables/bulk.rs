//! The first copy of a table: all of its segments, each up to its end, at every follower.
//!
//! The number of segments is fixed when the copy begins. A segment is read once for all followers that are equally far;
//! one that fell behind is brought up by a read of its own later.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    clock::now,
    error::EngineError,
    tables::{
        follower::{Follower, Unwritten, Wrote},
        settled::Settled,
        work::TableWork,
    },
};
use migrate_core::{
    item::{Item, ItemKey, item_size},
    model::{Key, PlaceIndex},
};
use migrate_ledger::{SegmentRow, TableStep};
use migrate_store::table::{ItemWrite, Scanned, Segment};

/// Bytes of a table that make one more segment worthwhile.
const SEGMENT_BYTES: u64 = 64 << 20;
/// The least and the most segments of a table.
const SEGMENTS: (u64, u64) = (16, 4096);

/// The followers that are at one position of a segment.
struct Group {
    after: Option<Key>,
    places: Vec<PlaceIndex>,
}

/// In how many segments a table of this size is scanned.
pub(crate) fn segments_for(bytes: u64) -> u32 {
    u32::try_from((bytes / SEGMENT_BYTES).clamp(SEGMENTS.0, SEGMENTS.1)).unwrap_or(u32::MAX)
}

/// All segments, in an order in which those that are copied at the same time lie far apart. Neighbours lie in one partition
/// of the source, and in one of a target that hashes keys alike: it would take the writes of all of them, 1,000 a second,
/// while the others rest.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BulkPutItems.BestPractices.html>
pub(super) fn scattered(of: u32, at_once: usize) -> impl Iterator<Item = u32> {
    let parts = u32::try_from(at_once).unwrap_or(of).clamp(1, of.max(1));
    let part = of.div_ceil(parts);
    (0..part)
        .flat_map(move |within| (0..parts).map(move |begin| begin * part + within))
        .filter(move |index| *index < of)
}

impl TableWork {
    /// The places where all segments are.
    pub(super) async fn filled(&self) -> Result<Vec<PlaceIndex>, EngineError> {
        let rows = self.journal.ledger.segments(&self.sides.dataset.name).await?;
        let mut places = self.sides.places();
        places.retain(|place| {
            let mut of_place = rows.iter().filter(|row| row.place == *place).peekable();
            of_place.peek().is_some() && of_place.all(|row| row.done)
        });
        Ok(places)
    }

    /// Plans the segments for the followers that take part and for which none are planned. Such a follower must be empty:
    /// what it holds of its own would be written over, and what of it the lead lacks would stay. One that is down is
    /// looked at, and joins, once it takes part.
    pub(super) async fn plan_bulk(&self) -> Result<(), EngineError> {
        let rows = self.journal.ledger.segments(&self.sides.dataset.name).await?;
        let mut places = Vec::new();
        for follower in self.sides.open() {
            if rows.iter().any(|row| row.place == follower.place) {
                continue;
            }
            let first = match self.first_of(follower).await {
                Err(EngineError::Store(error)) => {
                    follower.close(error);
                    continue;
                }
                first => first?,
            };
            places.push(follower.place);
            if let Some(key) = first {
                return Err(EngineError::TableUnfit {
                    dataset: self.sides.dataset.name.clone(),
                    reason: format!(
                        "{} holds items of its own, {} for one: empty it, or choose another table",
                        follower.at,
                        self.sides.redactor.key(&key)
                    ),
                });
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        if !rows.is_empty() {
            self.journal.commit(vec![self.record(TableStep::BulkJoined { places })]).await?;
            return Ok(());
        }
        let bytes = self.sides.lead().describe().await?.and_then(|described| described.bytes).unwrap_or(0);
        let step = TableStep::BulkPlanned { segments: segments_for(bytes), places };
        self.journal.commit(vec![self.record(step)]).await?;
        Ok(())
    }

    /// The key of some item of a follower; `None` if it is empty.
    async fn first_of(&self, follower: &Follower) -> Result<Option<Key>, EngineError> {
        let (whole, mut after) = (Segment { index: 0, of: 1 }, None);
        loop {
            let Scanned { items, next, .. } = follower.store.scan(whole, after.as_ref(), true).await?;
            if let Some(item) = items.first() {
                return Ok(Some(self.sides.names.text(&self.sides.key_of(&*follower.store, item)?)));
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// Copies what is left of the segments.
    pub(super) async fn bulk(self: &Arc<Self>) -> Result<Settled, EngineError> {
        let rows = self.journal.ledger.segments(&self.sides.dataset.name).await?;
        let of = rows.iter().map(|row| row.segment + 1).max().unwrap_or(1);
        let mut left = scattered(of, self.segments_at_once)
            .filter(|index| rows.iter().any(|row| row.segment == *index && !row.done));
        let (mut tasks, mut stopped) = (JoinSet::new(), false);
        loop {
            while tasks.len() < self.segments_at_once && !self.sides.shutdown.is_draining() {
                let Some(index) = left.next() else { break };
                let (work, segment) = (Arc::clone(self), Segment { index, of });
                let rows = rows.iter().filter(|row| row.segment == index).cloned().collect();
                tasks.spawn(async move { work.segment(segment, rows).await });
            }
            match tasks.join_next().await {
                None => break,
                Some(ended) => stopped |= ended?? == Settled::Stopped,
            }
        }
        self.journal.commit(Vec::new()).await?;
        Ok(if stopped || self.sides.shutdown.is_draining() { Settled::Stopped } else { Settled::Done })
    }

    /// Copies what is left of a segment, first for those that are furthest behind.
    async fn segment(&self, segment: Segment, mut rows: Vec<SegmentRow>) -> Result<Settled, EngineError> {
        while let Some(group) = self.next_group(&rows) {
            rows.retain(|row| !group.places.contains(&row.place));
            if self.follow_segment(segment, group).await? == Settled::Stopped {
                return Ok(Settled::Stopped);
            }
        }
        Ok(Settled::Done)
    }

    fn next_group(&self, rows: &[SegmentRow]) -> Option<Group> {
        let is_open = |row: &&SegmentRow| !row.done && self.sides.follower(row.place).is_some_and(|one| !one.is_down());
        let after = rows.iter().find(is_open)?.after.clone();
        let places = rows.iter().filter(is_open).filter(|row| row.after == after).map(|row| row.place).collect();
        Some(Group { after, places })
    }

    /// Brings a segment, from one position on, to the followers that are there.
    async fn follow_segment(&self, segment: Segment, group: Group) -> Result<Settled, EngineError> {
        let after = group.after.as_ref().map(|text| self.sides.read_key(text)).transpose()?;
        let mut page = self.sides.lead().scan(segment, after.as_ref(), true).await?;
        loop {
            if self.sides.shutdown.is_draining() {
                return Ok(Settled::Stopped);
            }
            let open: Vec<_> = group
                .places
                .iter()
                .filter_map(|place| self.sides.follower(*place))
                .filter(|one| !one.is_down())
                .collect();
            if open.is_empty() {
                return Ok(Settled::Done);
            }
            let Scanned { items, next, .. } = page;
            let bytes = items.iter().map(|item| item_size(item) as u64).sum();
            self.sides.saw(items.len(), bytes);
            // The next page is read while this one is written.
            let ahead = async {
                match &next {
                    Some(next) => Some(self.sides.lead().scan(segment, Some(next), true).await).transpose(),
                    None => Ok(None),
                }
            };
            let (written, ahead) = futures::join!(self.page(segment, &open, items, next.as_ref()), ahead);
            if written? == Settled::Stopped {
                return Ok(Settled::Stopped);
            }
            match ahead? {
                Some(following) => page = following,
                None => return Ok(Settled::Done),
            }
        }
    }

    /// Writes a page at the followers, and records for each that takes it how far the segment is there.
    async fn page(
        &self,
        segment: Segment,
        open: &[&Follower],
        items: Vec<Item>,
        next: Option<&ItemKey>,
    ) -> Result<Settled, EngineError> {
        let after = next.map(|key| self.sides.names.text(key));
        let mut writes: Vec<Vec<ItemWrite>> = open.iter().map(|_| Vec::with_capacity(items.len())).collect();
        for item in items {
            let destination = self.sides.destination(&item)?;
            let mut takers = writes.iter_mut().zip(open).filter(|(_, follower)| destination.holds(follower.place));
            // Only the second follower that takes an item, and those after it, need a copy.
            if let Some((first, _)) = takers.next() {
                takers.for_each(|(other, _)| other.push(ItemWrite::Put(item.clone())));
                first.push(ItemWrite::Put(item));
            }
        }
        let pages = open.iter().zip(writes);
        let written = pages.map(|(follower, writes)| self.page_at(follower, segment, writes, after.clone()));
        let ended = futures::future::join_all(written).await;
        ended.into_iter().try_fold(Settled::Done, |all, one| Ok(all.and(one?)))
    }

    async fn page_at(
        &self,
        follower: &Follower,
        segment: Segment,
        writes: Vec<ItemWrite>,
        after: Option<Key>,
    ) -> Result<Settled, EngineError> {
        let items = writes.len() as u64;
        match follower.write(writes, &self.sides.shutdown).await {
            Ok(Wrote { bytes, unsure }) => {
                let (place, segment) = (follower.place, segment.index);
                let moved = TableStep::SegmentMoved { place, segment, after, items, bytes };
                let mut records = vec![self.record(moved)];
                if !unsure.is_empty() {
                    let keys = self.sides.texts(&*follower.store, &unsure)?;
                    records.push(self.record(TableStep::Dirtied { keys, owed: vec![place], at: now() }));
                }
                self.journal.note(records).await?;
                Ok(Settled::Done)
            }
            Err(Unwritten::Down) => Ok(Settled::Done),
            Err(Unwritten::Stopped) => Ok(Settled::Stopped),
        }
    }
}
