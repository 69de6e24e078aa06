//! The lifecycle of a dataset: which events are legal when, and what is due next.
//!
//! The ledger stores events, never states; a run loads them, folds them with [`Lifecycle::apply`] and asks
//! [`Lifecycle::first_step`] and [`Lifecycle::next_step`] what to do. So there is no recovery code: going on after a
//! crash and starting afresh are the same thing.
//!
//! Three small machines fold the same events:
//!
//! ```text
//! Leading  who leads, since which epoch      source ─▶ first new lead ─▶ next …      epochs only rise
//!
//! Syncing  how far the copy is               unseen ─▶ copying ─▶ copied ─▶ verified
//!          from the place that leads                     │ ▲        │ ▲         │
//!                                                        ▼ │        ▼ │         │
//!                                                    incomplete   different ◀───┘
//!
//! Moving   which move is open                at rest ─▶ open ─▶ switching ─▶ watching ─▶ at rest
//!                                                ▲       │ ▲        │
//!                                                └───────┘ └────────┘ (the switch did not happen)
//! ```
//!
//! [`Lifecycle`] holds them together: a pass begins only while no move is open; only a proof of this epoch and of
//! this move leads to a switch; after a switch the followers are *unseen* again, because another place leads. Nothing
//! is terminal: a dataset that was cut over goes on following, is verified and can be moved again.
//!
//! [`State`] is the word for all of it that people and scripts read.

mod down;
mod event;
mod goal;
mod leading;
mod moving;
mod state;
mod syncing;
mod whole;

pub use down::{Down, down};
pub use event::{LATE_KEYS_MAX, Lead, Mark, MoveId, StepName, Transition, last_level, last_proof};
pub use goal::{Action, Goal};
pub use leading::Leading;
pub use moving::{Moving, OpenMove};
pub use state::State;
pub use syncing::{Stage, Syncing};
pub use whole::{IllegalTransition, Lifecycle};
