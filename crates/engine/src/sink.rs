//! Where events go.

use migrate_core::report::Event;

/// Where events go. Cloning is cheap; a sink without a listener drops them.
#[derive(Debug, Clone)]
pub struct Sink(Option<tokio::sync::mpsc::UnboundedSender<Event>>);

impl Sink {
    /// A sink and its listening end. Events are few by design (progress is sampled), so the
    /// channel has no bound and telling never blocks the engine.
    pub fn new() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// A sink that nobody listens to.
    pub fn none() -> Self {
        Self(None)
    }

    /// Tells.
    pub fn tell(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // A display that has gone away is no reason to stop moving data.
            let _ = sender.send(event);
        }
    }
}
