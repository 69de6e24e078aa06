//! The cutover: the move of a dataset's lead, with proof.
//!
//! # Steps
//!
//! A cutover is a list of [`Step`]s. Each has a `check` that changes nothing, an `apply`, and an `undo`
//! that takes back what `apply` did; each of them may be repeated. A dry run only checks, but the same
//! steps. Each step is in the ledger before it acts, when it has acted, and when it was taken back: a run first
//! settles or takes back a move that was cut off, before any pass begins. If nothing fences the old lead, the steps are:
//!
//! | step | what it shows |
//! |---|---|
//! | gate | the route can be switched safely, still shows the lead that the plan moves, and names this ledger as the driver |
//! | quiet | nothing by itself: it waits for the time in which the plan wants no write at the old lead, and until our own writes without an answer have come to rest |
//! | drain | for a table: its stream shows nothing more, and all that it showed was brought over; after that, our own writes have come to rest |
//! | final verify | both sides, compared in full after that time, are equal |
//! | last look | the old lead and the new one still show the compared versions, or their streams no change |
//! | switch | the route shows the new lead: compare-and-swap, epoch n to n + 1 |
//! | watch | every client has read the route again; what was written at the old lead meanwhile is told |
//!
//! Datasets of one phase move together: they meet at each step by its name. None begins it before all of them have
//! finished the one before it, and if one halts before the switch, all halt.
//!
//! A run that is asked to stop (ctrl-c, SIGTERM, an abort) ends the looks and waits under way. Before the switch it
//! begins no further step, and all datasets of the phase take back their steps. The last question whether to stop
//! comes right before the switches, once for all of them: from there on each is made to its end, so that no stop
//! separates the leads of a phase.
//!
//! # Consistency
//!
//! The switch is the point of no return. Its intent is in the ledger before the route's store gets the request. After a
//! crash in between, only the route itself shows whether it was switched ([`switch::settle`]). Before the switch a
//! failure takes back what the steps did; after it a dataset only goes forward.
//!
//! A switch needs a [`SwitchProof`](crate::SwitchProof). It is made from a [`Verified`](crate::Verified), which only
//! a verification makes: a cutover without a verification does not compile. It holds for one epoch and one move, and so
//! does its record in the ledger. A verification that compared nothing gives no such proof, unless the plan accepts
//! that.
//!
//! # Responsibilities
//!
//! This module knows routes and the order of steps. Steps use the engine (to verify, to wait,
//! to write the ledger) through a [`Hand`]. `run/cutovers.rs` begins a cutover, and takes over the state at its end.

pub(crate) mod halt;
pub(crate) mod hand;
pub(crate) mod moves;
pub(crate) mod steps;
pub mod switch;
pub(crate) mod together;

pub use super::route::number_in_series;
pub use super::route::{self, RouteDocument, RouteError, RouteStore};
pub use halt::Halt;
pub use hand::{Changes, Cut, Hand, Written};
pub use moves::{Move, NOTHING_COMPARED};
pub use steps::{Step, steps};
pub use together::{CheckedStep, dry_run, together};
