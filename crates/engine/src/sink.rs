//! Events on their way to the display.

use migrate_core::report::Event;

/// Sends events to a listener; drops them if there is none. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Sink(Option<tokio::sync::mpsc::UnboundedSender<Event>>);

impl Sink {
    /// A sink and its receiver. Events are few by design (progress is sampled), so the
    /// channel has no bound and telling never blocks the engine.
    pub fn new() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// A sink without a listener.
    pub fn none() -> Self {
        Self(None)
    }

    /// Sends an event, and never blocks.
    pub fn tell(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // If the display has gone, data still moves.
            let _ = sender.send(event);
        }
    }
}
