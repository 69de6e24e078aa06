//! Shows what a command does while it does it. It listens to events and decides nothing.
//!
//! [`show`](show::show) takes the events. A [`Scene`](scene::Scene) is where the command stands by them, a
//! [`frame`](frame::frame) draws it in the columns and rows of the terminal, and [`Lines`](lines::Lines) tell the same
//! where there is none.

mod frame;
mod line;
mod lines;
mod palette;
#[cfg(test)]
mod picture;
#[cfg(test)]
mod recorded;
mod rows;
mod scene;
mod seen;
mod show;
mod texts;

pub(super) use frame::frame;
pub(super) use line::{cut, pad, pad_left, width};
pub(super) use palette::{ColorChoice, Palette, Tone, choose};
pub(super) use scene::{Notes, Scene, Watched};
pub(super) use seen::{DIFFERENCES_SEEN, Seen};
pub(super) use show::{Show, show};
