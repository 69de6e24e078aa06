//! What a phase does about targets that fall behind: their shards are taken up again, or the pass goes on without them.
//!
//! A pass does not end before every target has come to its end. A target that is down keeps its cursors, so the next
//! run goes on with that target alone. If it is still down then, the others get a new pass all the same: they must not
//! miss what the lead has got since. That pass walks every key anew at the target that is down, too.

use std::collections::BTreeMap;

use crate::{
    copy::copier::Follower,
    error::EngineError,
    run::{
        active::{Active, Data, LaneIs},
        ends::{TAKES_MAX, all_ended},
        shards::PhaseWork,
    },
    waits::WaitsFor,
};
use migrate_core::{
    lifecycle::Transition,
    model::{PlaceIndex, ShardId},
    shard::Cursor,
};
use migrate_ledger::ShardRow;

/// Whether targets that are down by the ledger hold up a pass that has ended at all others.
pub(super) fn is_held_up(shards: &[ShardRow], down: &BTreeMap<PlaceIndex, String>, followers: &[Follower]) -> bool {
    let mut others = followers.iter().filter(|follower| !down.contains_key(&follower.place));
    !down.is_empty() && others.all(|follower| all_ended(shards, follower.place))
}

/// Whether the other targets of a dataset are to get a new pass, since the same targets still hold up the last one.
pub(super) fn needs_another_pass(active: &Active) -> bool {
    matches!(&active.data, Data::Objects(objects) if objects.is_held_up)
        && matches!(active.waits_for, Some(WaitsFor::Targets(_)))
}

impl PhaseWork<'_> {
    /// Queues a shard again for the targets that have not come to its end, unless their lanes are down.
    pub(super) async fn take_up_again(&mut self, place: usize, id: ShardId) -> Result<(), EngineError> {
        self.record_lanes(place).await?;
        // The cursors must be in the ledger before they are read from it.
        self.run.commit(Vec::new()).await?;
        let active = &mut self.active[place];
        let shards = self.run.journal.ledger.shards(&active.plan.name).await?;
        let Some(shard) = shards.into_iter().find(|shard| shard.id == id) else { return Ok(()) };
        let has_ended = |follower: &&Follower| {
            shard.places.iter().any(|(at, cursor, _)| *at == follower.place && *cursor == Cursor::End)
        };
        let objects = active.objects_mut();
        let followers = objects.copier.followers.iter();
        let short: Vec<_> = followers.filter(|one| !has_ended(one) && !one.lane.is_down()).collect();
        if short.is_empty() || self.decider.has_ended(place) {
            return Ok(());
        }
        let again = objects.taken_up.entry(id).or_default();
        *again += 1;
        if *again > TAKES_MAX {
            for follower in short {
                objects.copier.close_unlisted(follower);
            }
            return self.record_lanes(place).await;
        }
        objects.queue.insert(id, shard);
        self.decider.queue(place, id);
        Ok(())
    }

    /// Records which targets have gone down, and which take part again.
    pub(super) async fn record_lanes(&mut self, place: usize) -> Result<(), EngineError> {
        let active = &mut self.active[place];
        let mut events = Vec::new();
        for LaneIs { place: at, why_down, has_done, .. } in active.lanes() {
            let known = active.down.get(&at);
            match why_down {
                Some((reason, help)) if known != Some(&reason) => {
                    active.down.insert(at, reason.clone());
                    events.push(Transition::TargetDown { place: at, reason, help });
                }
                None if known.is_some() && has_done => {
                    active.down.remove(&at);
                    events.push(Transition::TargetUp { place: at });
                }
                _ => {}
            }
        }
        for event in events {
            self.note_event(place, event).await?;
        }
        Ok(())
    }

    /// Ends the work on a dataset of which some targets are down. Its pass does not end: the next run goes on with them.
    /// If all are down, the first error ends the dataset.
    pub(super) async fn end_without_some(&mut self, place: usize) -> Result<(), EngineError> {
        self.record_lanes(place).await?;
        let active = &mut self.active[place];
        let lanes = active.lanes();
        let all_down = lanes.iter().all(|lane| lane.why_down.is_some());
        let down = lanes.into_iter().filter_map(|lane| lane.why_down.map(|(reason, _)| (lane.at, reason))).collect();
        // Applications use a lead that has moved: what follows it stops nothing else.
        if all_down && active.lifecycle.moved_to().is_none() {
            let error = active.take_error();
            let dataset = active.plan.name.clone();
            return self.stop(place, None, error.unwrap_or(EngineError::Unfinished { dataset })).await;
        }
        if let Data::Objects(objects) = &mut active.data {
            let read = objects.source_bytes_read();
            objects.reads.pass_ends(read);
        }
        active.waits_for = Some(WaitsFor::Targets(down));
        self.decider.end(place);
        Ok(())
    }
}
