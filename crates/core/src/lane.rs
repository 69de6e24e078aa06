//! A lane: whether one target of a dataset still takes part in a run.
//!
//! A [`Judge`] counts the answers of one target and says how its [`Lane`] stands. Silence suspends a lane, longer each
//! time, and closes it once it lasts; the same refusal many times in a row closes it. A success in between begins the
//! counts anew. A lane that is down stays down: the next run begins with a new one.

use std::time::Duration;

/// Refusals of one class in a row that close the lane of a target that has done nothing yet in this run.
pub const REFUSALS_MAX: u32 = 16;
/// The same for a target that has done something: these refusals may concern only the keys of a prefix.
pub const REFUSALS_LATER_MAX: u32 = 256;
/// Records in a row without an answer that suspend a lane.
pub const SILENCE_MAX: u32 = 8;
/// The first pause of a suspended lane; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(32);

/// An answer of a target, as far as it decides whether the lane stays open. `C` is the class of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<C> {
    /// It did what was asked.
    Done,
    /// It refused a record, for a reason of this class, which may not be the record's own.
    Refused(C),
    /// It failed for a reason that concerns the whole place.
    Closed,
    /// It did not answer, or failed in a way that may pass.
    Silent,
}

/// Whether a target takes records. Times count from any fixed moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// It takes records.
    Open,
    /// It takes no records until this time.
    Suspended(Duration),
    /// It takes no more records in this run.
    Down,
}

/// Judges the lane of one target in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge<C> {
    /// How long a target may be silent until its lane is down.
    patience: Duration,
    is_down: bool,
    suspended_until: Duration,
    has_done: bool,
    /// The class of the last refusals in a row, and their number.
    refusals: Option<(C, u32)>,
    /// Records in a row without an answer, and the time of the first.
    silent: Option<(u32, Duration)>,
    suspensions: u32,
}

impl<C: PartialEq> Judge<C> {
    /// An open lane, which is down once its target has been silent for longer than `patience`.
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            is_down: false,
            suspended_until: Duration::ZERO,
            has_done: false,
            refusals: None,
            silent: None,
            suspensions: 0,
        }
    }

    /// Whether the target has done anything in this run.
    pub fn has_done(&self) -> bool {
        self.has_done
    }

    /// Whether the lane is down; nothing opens it again.
    pub fn is_down(&self) -> bool {
        self.is_down
    }

    /// How the lane stands at this time.
    pub fn lane(&self, now: Duration) -> Lane {
        match () {
            () if self.is_down => Lane::Down,
            () if now < self.suspended_until => Lane::Suspended(self.suspended_until),
            () => Lane::Open,
        }
    }

    /// Counts an answer, and returns how the lane stands after it.
    pub fn take(&mut self, answer: Answer<C>, now: Duration) -> Lane {
        match answer {
            Answer::Done => {
                self.has_done = true;
                self.refusals = None;
                self.answered();
            }
            Answer::Refused(class) => {
                let before = self.refusals.take().filter(|(last, _)| *last == class).map_or(0, |(_, count)| count);
                let most = if self.has_done { REFUSALS_LATER_MAX } else { REFUSALS_MAX };
                self.is_down |= before + 1 >= most;
                self.refusals = Some((class, before + 1));
                // A refusal is an answer.
                self.answered();
            }
            Answer::Closed => self.is_down = true,
            // Requests that began before the pause tell nothing new.
            Answer::Silent if now < self.suspended_until => {}
            Answer::Silent => self.miss(now),
        }
        self.lane(now)
    }

    fn answered(&mut self) {
        (self.silent, self.suspensions, self.suspended_until) = (None, 0, Duration::ZERO);
    }

    fn miss(&mut self, now: Duration) {
        let (before, since) = self.silent.unwrap_or((0, now));
        self.silent = Some((before + 1, since));
        // After a pause, one record without an answer shows that the target is still silent.
        if before + 1 < SILENCE_MAX && self.suspensions == 0 {
            return;
        }
        if now.saturating_sub(since) >= self.patience {
            self.is_down = true;
            return;
        }
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(self.suspensions)).min(PAUSE_MAX);
        self.suspended_until = now + pause;
        self.suspensions += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);
    const NOW: Duration = Duration::from_secs(9);

    fn judge() -> Judge<&'static str> {
        Judge::new(PATIENCE)
    }

    /// Gives the same answer several times; returns how the lane stands at last.
    fn give(judge: &mut Judge<&'static str>, answer: Answer<&'static str>, times: u32) -> Lane {
        (0..times).map(|_| judge.take(answer, NOW)).last().unwrap_or(judge.lane(NOW))
    }

    #[test]
    fn the_same_refusal_in_a_row_closes_a_lane_and_nothing_opens_it_again() {
        let mut judge = judge();
        assert_eq!(give(&mut judge, Answer::Refused("denied"), REFUSALS_MAX - 1), Lane::Open);
        assert_eq!(judge.take(Answer::Refused("denied"), NOW), Lane::Down);
        assert_eq!(judge.take(Answer::Done, NOW), Lane::Down);
        assert_eq!(judge.lane(NOW * 1000), Lane::Down);
    }

    #[test]
    fn a_success_or_another_refusal_begins_the_count_anew() {
        let mut other = judge();
        give(&mut other, Answer::Refused("denied"), REFUSALS_MAX - 1);
        assert_eq!(give(&mut other, Answer::Refused("unsupported"), REFUSALS_MAX - 1), Lane::Open);
        assert_eq!(give(&mut other, Answer::Refused("denied"), REFUSALS_MAX - 1), Lane::Open);
        let mut done = judge();
        give(&mut done, Answer::Refused("denied"), REFUSALS_MAX - 1);
        done.take(Answer::Done, NOW);
        assert_eq!(give(&mut done, Answer::Refused("denied"), REFUSALS_LATER_MAX - 1), Lane::Open, "a prefix of keys");
        assert_eq!(done.take(Answer::Refused("denied"), NOW), Lane::Down, "a right that was taken away");
    }

    #[test]
    fn silence_suspends_a_lane_longer_each_time_and_closes_it_once_it_lasts() {
        let (mut judge, mut now) = (judge(), NOW);
        for _ in 1..SILENCE_MAX {
            assert_eq!(judge.take(Answer::Silent, now), Lane::Open);
        }
        for pause in [1, 2, 4] {
            let until = now + PAUSE * pause;
            assert_eq!(judge.take(Answer::Silent, now), Lane::Suspended(until));
            assert_eq!(judge.take(Answer::Silent, now), Lane::Suspended(until), "it began before the pause");
            assert_eq!(judge.lane(until), Lane::Open, "it is tried again");
            now = until;
        }
        assert!(now >= NOW + PATIENCE);
        assert_eq!(judge.take(Answer::Silent, now), Lane::Down);
    }

    #[test]
    fn a_pause_does_not_grow_without_bound() {
        let (mut judge, mut now) = (Judge::<()>::new(Duration::MAX), NOW);
        (0..SILENCE_MAX).for_each(|_| _ = judge.take(Answer::Silent, now));
        for _ in 0..80 {
            now += PAUSE_MAX;
            assert!(matches!(judge.take(Answer::Silent, now), Lane::Suspended(until) if until <= now + PAUSE_MAX));
        }
    }

    #[test]
    fn an_answer_ends_a_suspension() {
        for answer in [Answer::Done, Answer::Refused("denied")] {
            let mut judge = judge();
            assert!(matches!(give(&mut judge, Answer::Silent, SILENCE_MAX), Lane::Suspended(_)));
            assert_eq!(judge.take(answer, NOW), Lane::Open);
            assert_eq!(give(&mut judge, Answer::Silent, SILENCE_MAX - 1), Lane::Open, "the count begins anew");
        }
    }

    #[test]
    fn without_patience_silence_closes_a_lane_at_once() {
        let mut judge = Judge::<()>::new(Duration::ZERO);
        let last = (0..SILENCE_MAX).map(|_| judge.take(Answer::Silent, NOW)).last();
        assert_eq!(last, Some(Lane::Down));
    }

    #[test]
    fn a_reason_of_the_whole_place_closes_a_lane_at_once() {
        assert_eq!(judge().take(Answer::Closed, NOW), Lane::Down);
    }
}
