//! Hands out the shards of a walk (a survey, a verification, a last look) and splits them while workers are idle.
//!
//! The same [`Decider`] as for the shards of a pass decides; nothing is due after the shards.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::MissedTickBehavior,
};

use crate::{
    asked::InFlightMax,
    control::Control,
    error::EngineError,
    run::decide::{Decider, Decision, Due, Ended},
    scout::{Scouted, scout_while_open},
    seen::Seen,
    shutdown::Shutdown,
    walk::{ShardsAt, Walk},
};
use migrate_core::{
    model::{Key, ShardId},
    shard,
};
use migrate_ledger::VerifiedShard;
use migrate_store::ObjectStore;

/// Time between two looks at how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// Time between two looks whether a shard has seen enough rows to be split, while a worker is idle.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The place of the walk in its decider.
const ONLY: usize = 0;

/// Walks these shards, which together hold every key, and returns what was seen to its end, also by earlier processes.
/// Ends early if the run is to stop. `source` is searched for keys to split at.
pub(crate) async fn walk<W: Walk>(
    walk: &Arc<W>,
    source: Arc<dyn ObjectStore>,
    followers: usize,
    shards: Vec<VerifiedShard>,
    limits: &InFlightMax,
    shutdown: &Shutdown,
) -> Result<Vec<Seen>, EngineError> {
    let mut decider = Decider::new(limits.shards.max(1), limits.split_rows_min);
    let last = shards.iter().map(|shard| shard.id.0).max().unwrap_or(0);
    let (mut seen, mut queue) = (Vec::new(), BTreeMap::new());
    for shard in shards {
        match Seen::recorded(&shard, followers) {
            Some(ended) => seen.push(ended),
            None => _ = queue.insert(shard.id, shard),
        }
    }
    decider.enter(ONLY, Due::Nothing, queue.keys().copied());
    let (running, tasks) = (BTreeMap::new(), JoinSet::new());
    let mut walks = Walks { walk: Arc::clone(walk), source, decider, queue, running, tasks, seen, last, ceiling: None };
    walks.work(shutdown).await?;
    Ok(walks.seen)
}

/// The result of a task.
enum Brought {
    Shard(ShardId, Result<Option<Seen>, EngineError>),
    Scout(ShardId, Result<Scouted, EngineError>),
}

struct Walks<W> {
    walk: Arc<W>,
    source: Arc<dyn ObjectStore>,
    decider: Decider,
    /// Shards that are not handed out yet.
    queue: BTreeMap<ShardId, VerifiedShard>,
    running: BTreeMap<ShardId, Arc<Control>>,
    tasks: JoinSet<Brought>,
    seen: Vec<Seen>,
    /// The greatest id of a shard so far.
    last: u64,
    /// A key above which the source has nothing.
    ceiling: Option<Key>,
}

impl<W: Walk> Walks<W> {
    async fn work(&mut self, shutdown: &Shutdown) -> Result<(), EngineError> {
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let running = &self.running;
            let rows = |_, id| running.get(&id).map_or(0, |control| control.rest().1);
            for (_, decision) in self.decider.begin(shutdown.is_draining(), rows) {
                self.follow(decision).await?;
            }
            // A search for a key to split at holds up no stop.
            if self.tasks.is_empty() || shutdown.is_draining() && self.running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                brought = self.tasks.join_next() => {
                    if let Some(brought) = brought {
                        self.take(brought, shutdown).await?;
                    }
                }
                _ = tick.tick() => self.walk.tell(self.shards_at()),
                _ = look.tick(), if self.decider.may_split() => {}
            }
        }
    }

    async fn follow(&mut self, decision: Decision) -> Result<(), EngineError> {
        match decision {
            Decision::Hand(id) => {
                let shard = self.queue.remove(&id).expect("a queued shard is known");
                let control = Arc::new(Control::from(shard.range.clone(), &shard.cursor));
                self.running.insert(id, Arc::clone(&control));
                let walk = Arc::clone(&self.walk);
                self.tasks.spawn(async move { Brought::Shard(id, walk.walk(shard, control).await) });
            }
            Decision::Search(id) => {
                let control = Arc::clone(self.running.get(&id).expect("a running shard has a control"));
                let (source, ceiling) = (Arc::clone(&self.source), self.ceiling.clone());
                self.tasks
                    .spawn(async move { Brought::Scout(id, scout_while_open(&*source, &control, ceiling).await) });
            }
            Decision::Split(id, at) => self.split(id, &at).await?,
            Decision::LetRest(id) => {
                if let Some(control) = self.running.get(&id) {
                    control.rest_for_now();
                }
            }
            // The caller sees that not every key was seen.
            Decision::Unfinished | Decision::Drain => {}
            Decision::BeginRest | Decision::BeginVerification | Decision::EndPass => {
                unreachable!("nothing is due after the shards of a walk")
            }
        }
        Ok(())
    }

    async fn take(&mut self, brought: Result<Brought, JoinError>, shutdown: &Shutdown) -> Result<(), EngineError> {
        let ended = match brought? {
            Brought::Shard(id, end) => {
                // Its search ends with it, also if it failed.
                if let Some(control) = self.running.remove(&id) {
                    control.close();
                }
                // The other shards are dropped where they stand: what they found is recorded up to their cursors.
                match end? {
                    Some(seen) => {
                        self.seen.push(seen);
                        Ended::Shard(id)
                    }
                    None => Ended::ShardStopped(id),
                }
            }
            Brought::Scout(id, found) => {
                // If the search failed, the shard's own listing tells a lasting error.
                Ended::Search(id, found.unwrap_or_default().lowering(&mut self.ceiling))
            }
        };
        for decision in self.decider.take(ONLY, ended, shutdown.is_draining()) {
            self.follow(decision).await?;
        }
        Ok(())
    }

    /// Splits a running shard at a key that the source has.
    async fn split(&mut self, id: ShardId, at: &Key) -> Result<(), EngineError> {
        let Some(control) = self.running.get(&id) else { return Ok(()) };
        let new = ShardId(self.last + 1);
        let before = control.rest().0;
        if self.walk.split(id, at, new, control).await?
            && let Some((_, range)) = shard::split(&before, at)
        {
            self.last = new.0;
            self.queue.insert(new, VerifiedShard { id: new, range, cursor: shard::Cursor::Start });
            self.decider.queue(ONLY, new);
        }
        Ok(())
    }

    fn shards_at(&self) -> ShardsAt {
        let running = self.running.values().map(|control| control.fraction());
        let queued = self.queue.values().map(|shard| shard::progress(&shard.range, &shard.cursor));
        let all = self.seen.len() + self.running.len() + self.queue.len();
        #[expect(clippy::cast_precision_loss, reason = "shards are few")]
        let fraction = (self.seen.len() as f64 + running.chain(queued).sum::<f64>()) / all.max(1) as f64;
        ShardsAt { ended: self.seen.len() as u64, all: all as u64, fraction }
    }
}
