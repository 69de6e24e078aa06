//! Shows what a command does while it does it. It listens to events and decides nothing.

mod pace;
mod seen;
mod show;
mod texts;

pub(super) use seen::{DIFFERENCES_SEEN, Seen};
pub(super) use show::{Show, show};
