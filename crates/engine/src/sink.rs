//! Events on their way to the display.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{clock::Clock, trail};
use migrate_core::report::{Event, EventKind};

/// Sends events to a listener; drops them if there is none. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Sink(Option<Arc<Mutex<Open>>>);

/// The way to a listener. Locked from the stamp to the send, so that events arrive in the order of their times.
#[derive(Debug)]
struct Open {
    clock: Clock,
    events: UnboundedSender<Event>,
}

impl Sink {
    /// A sink and its receiver. Events are few by design (progress is sampled), so the
    /// channel has no bound and telling never blocks the engine.
    pub fn new(clock: Clock) -> (Self, UnboundedReceiver<Event>) {
        let (events, receiver) = unbounded_channel();
        (Self(Some(Arc::new(Mutex::new(Open { clock, events })))), receiver)
    }

    /// A sink without a listener.
    pub fn none() -> Self {
        Self(None)
    }

    /// Sends an event with the current time, and never waits for the listener.
    pub fn tell(&self, kind: EventKind) {
        trail::log(&kind);
        if let Some(open) = &self.0 {
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            // If the display has gone, data still moves.
            let _ = open.events.send(open.clock.stamp(kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn events_of_many_tellers_arrive_in_the_order_of_their_times() {
        const TELLERS: usize = 4;
        const EACH: usize = 2_000;
        let (sink, mut heard) = Sink::new(Clock::start());
        let tellers: Vec<_> = std::iter::repeat_n(sink, TELLERS).collect();
        std::thread::scope(|scope| {
            for sink in &tellers {
                scope.spawn(|| (0..EACH).for_each(|_| sink.tell(warning())));
            }
        });
        drop(tellers);
        let (mut last, mut count) = (Duration::ZERO, 0);
        while let Some(event) = heard.recv().await {
            assert!(event.elapsed >= last, "{:?} after {last:?}", event.elapsed);
            last = event.elapsed;
            count += 1;
        }
        assert_eq!(count, TELLERS * EACH);
    }

    fn warning() -> EventKind {
        EventKind::Warning { dataset: None, key: None, message: "m".to_owned() }
    }
}
