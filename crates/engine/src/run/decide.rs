//! Decides what a phase does next; [`shards`](super::shards), [`phases`](super::phases) and
//! [`cutovers`](super::cutovers) do it.
//!
//! A decider takes an [`Ended`] and returns what follows from it, and tells what can begin. It awaits nothing and
//! knows no store, task or ledger, so every decision has a test of its own.
//!
//! # Rules
//!
//! - A shard is handed out before one is split, and shards of all datasets share the workers.
//! - While workers are idle, each running shard may be searched for a key to split at.
//! - The rest of a dataset's pass, or its verification, begins when no shard is queued, running or searched.
//! - While the run drains, nothing is begun.
//! - A dataset that cannot go on ends; if the reason is not its own, the run drains.

use std::collections::{BTreeMap, VecDeque};

use migrate_core::{
    lifecycle::{Action, Goal, Lifecycle, Stage},
    model::{Key, PhaseName, ShardId},
};

/// What is due for a dataset once its shards have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The rest of its pass: the leftovers of its shards, or all of a table's pass, which has no shards.
    Rest,
    /// A verification.
    Verification,
    /// Nothing in this phase.
    Nothing,
}

impl Due {
    /// What the lifecycle of a dataset asks for.
    pub(crate) fn of(lifecycle: &Lifecycle, goal: Goal) -> Self {
        match lifecycle.next_step(goal) {
            _ if lifecycle.syncing.stage == Stage::Copying => Self::Rest,
            Some(Action::Verify) => Self::Verification,
            _ => Self::Nothing,
        }
    }
}

/// How a task ended, as far as it decides anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A shard is done for every target.
    Shard(ShardId),
    /// A shard stopped before its end.
    ShardStopped(ShardId),
    /// A search for a key to split a shard at; `None` if there was none.
    Search(ShardId, Option<Key>),
    /// The rest of a pass ended; `false` if the run stopped it.
    Rest(bool),
    /// A verification ended; `false` if the run stopped it.
    Verification(bool),
    /// A shard, the rest of a pass or a verification failed.
    Failed {
        /// The shard, if a shard failed.
        shard: Option<ShardId>,
        /// Whether the reason is the dataset's own: its plan or data block it, so another try fails alike.
        blocking: bool,
    },
}

/// What a dataset or the run does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A worker takes this shard.
    Hand(ShardId),
    /// A search begins for a key at which to split this shard.
    Search(ShardId),
    /// The shard is split at this key.
    Split(ShardId, Key),
    /// The shard is searched again only after it has seen `split_rows_min` more rows.
    LetRest(ShardId),
    /// The rest of the pass begins.
    BeginRest,
    /// A verification begins.
    BeginVerification,
    /// The pass ends.
    EndPass,
    /// A shard stopped although the run does not drain: the dataset cannot end its pass.
    Unfinished,
    /// The run takes no new work.
    Drain,
}

/// What a dataset does in its phase.
#[derive(Debug, Clone)]
struct Lane {
    due: Due,
    queue: VecDeque<ShardId>,
    /// Its shards under way.
    running: Vec<ShardId>,
    /// Its shards that are searched for a key to split at.
    searched: Vec<ShardId>,
    /// Whether the rest of its pass or a verification is under way.
    busy: bool,
    ended: bool,
}

/// Decides for the datasets of one phase, each under its place in the phase's work.
#[derive(Debug)]
pub(crate) struct Decider {
    /// Tasks under way at which no shard is handed out and no search begins.
    tasks_max: usize,
    /// Rows that a shard must have seen before it is split.
    split_rows_min: u64,
    lanes: BTreeMap<usize, Lane>,
}

impl Decider {
    /// A decider without datasets.
    pub(crate) fn new(tasks_max: usize, split_rows_min: u64) -> Self {
        Self { tasks_max, split_rows_min, lanes: BTreeMap::new() }
    }

    /// Adds a dataset for which this is due once these shards have ended.
    pub(crate) fn enter(&mut self, dataset: usize, due: Due, shards: impl IntoIterator<Item = ShardId>) {
        let queue = shards.into_iter().collect();
        let (running, searched) = (Vec::new(), Vec::new());
        self.lanes.insert(dataset, Lane { due, queue, running, searched, busy: false, ended: false });
    }

    /// Sets what is due in the new state of a dataset.
    pub(crate) fn came_to(&mut self, dataset: usize, due: Due) {
        self.lane(dataset).due = due;
    }

    /// Queues a shard that was split off a running one.
    pub(crate) fn queue(&mut self, dataset: usize, shard: ShardId) {
        self.lane(dataset).queue.push_back(shard);
    }

    /// Ends a dataset: it does nothing more in this phase.
    pub(crate) fn end(&mut self, dataset: usize) {
        let lane = self.lane(dataset);
        lane.ended = true;
        lane.queue.clear();
    }

    /// Whether a dataset does nothing more in this phase.
    pub(crate) fn has_ended(&self, dataset: usize) -> bool {
        self.lanes.get(&dataset).is_some_and(|lane| lane.ended)
    }

    fn lane(&mut self, dataset: usize) -> &mut Lane {
        self.lanes.get_mut(&dataset).expect("a dataset enters before anything happens to it")
    }

    /// What can begin now. `rows` returns how many rows a running shard has seen.
    pub(crate) fn begin(&mut self, draining: bool, rows: impl Fn(usize, ShardId) -> u64) -> Vec<(usize, Decision)> {
        if draining {
            return Vec::new();
        }
        let mut begun = Vec::new();
        for (dataset, lane) in &mut self.lanes {
            let idle = lane.queue.is_empty() && lane.running.is_empty() && lane.searched.is_empty() && !lane.busy;
            if lane.ended || !idle {
                continue;
            }
            match lane.due {
                Due::Rest => begun.push((*dataset, Decision::BeginRest)),
                Due::Verification => begun.push((*dataset, Decision::BeginVerification)),
                Due::Nothing => lane.ended = true,
            }
            lane.busy = lane.due != Due::Nothing;
        }
        while self.tasks() < self.tasks_max {
            let Some((dataset, lane)) = self.lanes.iter_mut().find(|(_, lane)| !lane.queue.is_empty()) else { break };
            let shard = lane.queue.pop_front().expect("it is not empty");
            lane.running.push(shard);
            begun.push((*dataset, Decision::Hand(shard)));
        }
        while self.tasks() < self.tasks_max {
            let Some((dataset, shard)) = self.splittable(&rows) else { break };
            self.lane(dataset).searched.push(shard);
            begun.push((dataset, Decision::Search(shard)));
        }
        begun
    }

    fn tasks(&self) -> usize {
        self.lanes.values().map(|lane| lane.running.len() + lane.searched.len() + usize::from(lane.busy)).sum()
    }

    /// Whether a worker is idle and a shard may be split for it, once it has seen enough rows.
    pub(crate) fn may_split(&self) -> bool {
        self.tasks() < self.tasks_max && self.unsearched().next().is_some()
    }

    /// The running shards that are not searched.
    fn unsearched(&self) -> impl Iterator<Item = (usize, ShardId)> {
        self.lanes.iter().filter(|(_, lane)| !lane.ended).flat_map(|(dataset, lane)| {
            lane.running.iter().filter(|shard| !lane.searched.contains(shard)).map(|shard| (*dataset, *shard))
        })
    }

    /// The unsearched shard that has seen the most rows: it is the likeliest to have many left.
    fn splittable(&self, rows: &impl Fn(usize, ShardId) -> u64) -> Option<(usize, ShardId)> {
        let seen = self.unsearched().map(|(dataset, shard)| (rows(dataset, shard), dataset, shard));
        let most = seen.filter(|(rows, ..)| *rows >= self.split_rows_min).max_by_key(|(rows, ..)| *rows)?;
        Some((most.1, most.2))
    }

    /// What follows from the end of a dataset's task.
    pub(crate) fn take(&mut self, dataset: usize, ended: Ended, draining: bool) -> Vec<Decision> {
        let lane = self.lane(dataset);
        match ended {
            Ended::Shard(shard) => {
                lane.running.retain(|running| *running != shard);
                Vec::new()
            }
            Ended::ShardStopped(shard) => {
                lane.running.retain(|running| *running != shard);
                if draining { Vec::new() } else { self.cannot_go_on(dataset, true, Some(Decision::Unfinished)) }
            }
            Ended::Search(shard, at) => {
                lane.searched.retain(|searched| *searched != shard);
                match at {
                    _ if lane.ended || !lane.running.contains(&shard) => Vec::new(),
                    Some(at) => vec![Decision::Split(shard, at)],
                    None => vec![Decision::LetRest(shard)],
                }
            }
            Ended::Rest(done) => {
                lane.busy = false;
                lane.ended |= !done;
                if done { vec![Decision::EndPass] } else { Vec::new() }
            }
            Ended::Verification(done) => {
                lane.busy = false;
                lane.ended |= !done;
                Vec::new()
            }
            Ended::Failed { shard, blocking } => {
                match shard {
                    Some(shard) => lane.running.retain(|running| *running != shard),
                    None => lane.busy = false,
                }
                self.cannot_go_on(dataset, !blocking, None)
            }
        }
    }

    /// Ends a dataset; if `drains`, the others finish only what they have under way.
    fn cannot_go_on(&mut self, dataset: usize, drains: bool, told: Option<Decision>) -> Vec<Decision> {
        self.end(dataset);
        told.into_iter().chain(drains.then_some(Decision::Drain)).collect()
    }
}

/// Whether a phase begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PhaseDue {
    /// It begins.
    Begins,
    /// It waits for this phase.
    WaitsFor(PhaseName),
    /// It is left for the next run.
    LeftAlone,
}

/// Whether a phase that comes after others begins. `short` are the phases of this run that have not reached their
/// goal; `elsewhere` is one outside of this run that has not, if there is one.
pub(crate) fn phase_due(
    after: &[PhaseName],
    short: &[PhaseName],
    elsewhere: Option<PhaseName>,
    draining: bool,
) -> PhaseDue {
    match after.iter().find(|before| short.contains(before)).cloned().or(elsewhere) {
        Some(before) => PhaseDue::WaitsFor(before),
        None if draining => PhaseDue::LeftAlone,
        None => PhaseDue::Begins,
    }
}

/// Passes within a run of a dataset whose lead moves on before its verification ends or before its cutover, at most.
pub(crate) const ROUNDS_MAX: u32 = 8;

/// Which datasets begin another pass after `rounds` passes; `moved_on` are those whose lead has moved on.
pub(crate) fn again(moved_on: Vec<usize>, rounds: u32, draining: bool) -> Vec<usize> {
    if rounds >= ROUNDS_MAX || draining { Vec::new() } else { moved_on }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::lifecycle::Transition;

    const A: ShardId = ShardId(1);
    const B: ShardId = ShardId(2);
    const C: ShardId = ShardId(3);

    fn none(_: usize, _: ShardId) -> u64 {
        0
    }

    /// A decider with one dataset, at place 0, that copies with one running shard.
    fn running(tasks_max: usize) -> Decider {
        let mut decider = Decider::new(tasks_max, 10);
        decider.enter(0, Due::Rest, [A]);
        assert_eq!(decider.begin(false, none), [(0, Decision::Hand(A))]);
        decider
    }

    #[test]
    fn shards_of_all_datasets_share_the_workers_and_wait_for_one() {
        let mut decider = Decider::new(2, 10);
        decider.enter(0, Due::Rest, [A]);
        decider.enter(1, Due::Rest, [B, C]);
        assert_eq!(decider.begin(false, none), [(0, Decision::Hand(A)), (1, Decision::Hand(B))]);
        assert_eq!(decider.begin(false, none), []);
        assert_eq!(decider.take(0, Ended::Shard(A), false), []);
        // Its leftovers are a task too.
        assert_eq!(decider.begin(false, none), [(0, Decision::BeginRest)]);
        assert_eq!(decider.take(1, Ended::Shard(B), false), []);
        assert_eq!(decider.begin(false, none), [(1, Decision::Hand(C))]);
    }

    #[test]
    fn an_idle_worker_splits_the_shard_that_has_seen_most() {
        let mut decider = Decider::new(4, 10);
        decider.enter(0, Due::Rest, [A, B]);
        decider.begin(false, none);
        assert_eq!(decider.begin(false, |_, _| 9), [], "none has seen enough");
        let rows = |_, shard| if shard == B { 30 } else { 20 };
        assert!(decider.may_split(), "one may have seen enough soon");
        // One search at a time in a shard, and as many as there are idle workers.
        assert_eq!(decider.begin(false, rows), [(0, Decision::Search(B)), (0, Decision::Search(A))]);
        assert_eq!(decider.begin(false, rows), []);
        assert!(!decider.may_split());
        assert_eq!(decider.take(0, Ended::Search(B, None), false), [Decision::LetRest(B)]);
        assert_eq!(decider.begin(false, rows), [(0, Decision::Search(B))]);
        assert_eq!(decider.take(0, Ended::Search(B, Some("k".into())), false), [Decision::Split(B, "k".into())]);
        decider.queue(0, C);
        // A queued shard comes first, and takes the last worker.
        assert_eq!(decider.begin(false, rows), [(0, Decision::Hand(C))]);
        assert_eq!(decider.take(0, Ended::Search(A, Some("c".into())), false), [Decision::Split(A, "c".into())]);
    }

    #[test]
    fn a_shard_that_has_ended_meanwhile_is_not_split() {
        let mut decider = running(2);
        assert_eq!(decider.begin(false, |_, _| 10), [(0, Decision::Search(A))]);
        decider.take(0, Ended::Shard(A), false);
        assert_eq!(decider.begin(false, none), [], "the search is still under way");
        assert_eq!(decider.take(0, Ended::Search(A, Some("k".into())), false), []);
        assert_eq!(decider.begin(false, none), [(0, Decision::BeginRest)]);
    }

    #[test]
    fn a_pass_ends_after_its_leftovers_and_a_verification_follows() {
        let mut decider = running(2);
        decider.take(0, Ended::Shard(A), false);
        assert_eq!(decider.begin(false, none), [(0, Decision::BeginRest)]);
        assert_eq!(decider.begin(false, none), [], "they are begun once");
        assert_eq!(decider.take(0, Ended::Rest(true), false), [Decision::EndPass]);
        decider.came_to(0, Due::Verification);
        assert_eq!(decider.begin(false, none), [(0, Decision::BeginVerification)]);
        assert_eq!(decider.take(0, Ended::Verification(true), false), []);
        assert!(!decider.has_ended(0), "what it found decides what is due");
        decider.came_to(0, Due::Nothing);
        assert!(!decider.has_ended(0));
        assert_eq!(decider.begin(false, none), []);
        assert!(decider.has_ended(0));
    }

    #[test]
    fn nothing_is_begun_while_the_run_drains() {
        let mut decider = Decider::new(4, 10);
        decider.enter(0, Due::Rest, [A, B]);
        decider.enter(1, Due::Verification, []);
        assert_eq!(decider.begin(true, |_, _| 100), []);
        assert!(!decider.has_ended(1), "what is due stays due");
        // What was under way ends, and nothing follows.
        let mut decider = running(2);
        assert_eq!(decider.take(0, Ended::ShardStopped(A), true), []);
        assert_eq!(decider.begin(true, none), []);
        assert!(!decider.has_ended(0));
    }

    #[test]
    fn what_the_run_stopped_has_ended_without_an_answer() {
        for ended in [Ended::Rest(false), Ended::Verification(false)] {
            let mut decider = Decider::new(1, 10);
            decider.enter(0, Due::Rest, []);
            decider.begin(false, none);
            assert_eq!(decider.take(0, ended, true), []);
            assert!(decider.has_ended(0));
        }
    }

    #[test]
    fn a_shard_that_stops_unasked_ends_its_dataset_and_drains_the_run() {
        let mut decider = running(1);
        assert_eq!(decider.take(0, Ended::ShardStopped(A), false), [Decision::Unfinished, Decision::Drain]);
        assert!(decider.has_ended(0));
    }

    #[test]
    fn a_dataset_that_is_blocked_ends_alone_and_another_failure_drains_the_run() {
        let mut decider = Decider::new(1, 10);
        decider.enter(0, Due::Rest, [A, B]);
        decider.enter(1, Due::Rest, [C]);
        decider.begin(false, none);
        let blocked = Ended::Failed { shard: Some(A), blocking: true };
        assert_eq!(decider.take(0, blocked, false), []);
        assert!(decider.has_ended(0));
        // Its queued shard is not handed out; the other dataset goes on.
        assert_eq!(decider.begin(false, none), [(1, Decision::Hand(C))]);
        let failed = Ended::Failed { shard: Some(C), blocking: false };
        assert_eq!(decider.take(1, failed, false), [Decision::Drain]);
    }

    #[test]
    fn a_dataset_that_has_ended_splits_no_shard_that_still_runs() {
        let mut decider = Decider::new(3, 10);
        decider.enter(0, Due::Rest, [A, B]);
        decider.begin(false, none);
        assert_eq!(decider.begin(false, |_, shard| if shard == B { 10 } else { 0 }), [(0, Decision::Search(B))]);
        decider.take(0, Ended::Failed { shard: Some(A), blocking: true }, false);
        assert_eq!(decider.take(0, Ended::Search(B, Some("k".into())), false), []);
        assert_eq!(decider.take(0, Ended::Shard(B), false), []);
        assert_eq!(decider.begin(false, none), []);
    }

    #[test]
    fn a_phase_waits_for_those_that_it_names_and_that_are_short() {
        let name = |text: &str| PhaseName::new(text).unwrap();
        let after = [name("a"), name("b")];
        assert_eq!(phase_due(&after, &[], None, false), PhaseDue::Begins);
        assert_eq!(phase_due(&after, &[name("c")], None, false), PhaseDue::Begins, "it does not come after c");
        assert_eq!(phase_due(&after, &[name("b")], None, false), PhaseDue::WaitsFor(name("b")));
        assert_eq!(phase_due(&after, &[], Some(name("a")), false), PhaseDue::WaitsFor(name("a")));
        // A drained run also tells why a phase waits.
        assert_eq!(phase_due(&after, &[name("b")], None, true), PhaseDue::WaitsFor(name("b")));
        assert_eq!(phase_due(&after, &[], None, true), PhaseDue::LeftAlone);
    }

    #[test]
    fn a_dataset_is_copied_again_a_few_times_and_not_while_the_run_drains() {
        assert_eq!(again(vec![0, 2], 1, false), [0, 2]);
        assert_eq!(again(vec![0], ROUNDS_MAX - 1, false), [0]);
        assert!(again(vec![0], ROUNDS_MAX, false).is_empty());
        assert!(again(vec![0], 1, true).is_empty());
    }

    #[test]
    fn a_lifecycle_says_what_is_due() {
        let copying = Lifecycle::default().apply(&Transition::PassBegun { pass: 1 }).unwrap();
        let copied = copying.apply(&Transition::PassEnded { pass: 1, failed: 0 }).unwrap();
        assert_eq!(Due::of(&copied, Goal::Verified), Due::Verification);
        assert_eq!(Due::of(&copied, Goal::Copied), Due::Nothing);
        assert_eq!(Due::of(&copying, Goal::Copied), Due::Rest);
    }
}
