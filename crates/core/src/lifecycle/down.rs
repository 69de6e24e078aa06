//! [`Down`]: a follower that takes no part in the pass under way.

use serde::Serialize;

use crate::{
    lifecycle::event::Transition,
    model::{PlaceIndex, Timestamp},
};

/// A target that takes no part in the pass under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Down {
    /// The target's place.
    #[serde(skip)]
    pub place: PlaceIndex,
    /// The time since which it is down.
    pub since: Timestamp,
    /// Why, for people, as it was told last.
    pub reason: String,
    /// What the operator can do about it, if that is known.
    pub help: Option<String>,
}

/// The targets that take no part in the pass under way.
pub fn down<'a>(events: impl IntoIterator<Item = &'a (Transition, Timestamp)>) -> Vec<Down> {
    let mut down: Vec<Down> = Vec::new();
    for (event, at) in events {
        match event {
            Transition::TargetDown { place, reason, help } => {
                let known = down.iter().position(|known| known.place == *place).map(|known| down.swap_remove(known));
                let since = known.map_or(*at, |known| known.since);
                down.push(Down { place: *place, since, reason: reason.clone(), help: help.clone() });
            }
            Transition::TargetUp { place } => down.retain(|known| known.place != *place),
            Transition::PassEnded { .. } | Transition::Aborted => down.clear(),
            _ => {}
        }
    }
    down.sort_by_key(|down| down.place);
    down
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{goal::Action, whole::Lifecycle};

    fn down_at(place: u16, reason: &str) -> Transition {
        Transition::TargetDown { place: PlaceIndex(place), reason: reason.to_owned(), help: None }
    }

    #[test]
    fn a_target_is_down_since_it_went_down_until_it_is_up_or_the_pass_has_ended() {
        let at = |event: Transition, ms: i64| (event, Timestamp(ms));
        let mut events = vec![
            at(Transition::PassBegun { pass: 1 }, 1),
            at(down_at(2, "denied"), 2),
            at(down_at(1, "silent"), 3),
            at(down_at(2, "still denied"), 4),
        ];
        let shown = |events: &[(Transition, Timestamp)]| -> Vec<_> {
            down(events).into_iter().map(|down| (down.place.0, down.since.0, down.reason)).collect()
        };
        assert_eq!(shown(&events), [(1, 3, "silent".to_owned()), (2, 2, "still denied".to_owned())]);
        events.push(at(Transition::TargetUp { place: PlaceIndex(1) }, 5));
        events.push(at(down_at(1, "silent"), 6));
        assert_eq!(shown(&events)[0], (1, 6, "silent".to_owned()));
        let lifecycle = Lifecycle::replay(events.iter().map(|(event, _)| event)).unwrap();
        assert_eq!(lifecycle.first_step(true), Some(Action::ResumePass(1)), "the pass goes on with them");
        events.push(at(Transition::PassBegun { pass: 2 }, 7));
        assert_eq!(shown(&events)[1], (2, 2, "still denied".to_owned()), "a pass for the others");
        events.push(at(Transition::PassEnded { pass: 2, failed: 0 }, 8));
        assert_eq!(shown(&events), []);
    }
}
