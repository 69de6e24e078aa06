//! The cutover: moving the lead of a dataset, with proof.
//!
//! # Steps
//!
//! A cutover is a list of [`Step`]s. Each has a `check` that changes nothing, an `apply`, and an `undo`
//! that takes back what `apply` did; doing any of them twice is doing it once. A dry run walks the very
//! list that the real one takes, and only checks. Where nothing fences the old lead they are:
//!
//! | step | what it shows |
//! |---|---|
//! | gate | the route can be switched safely and still shows the lead that the plan moves |
//! | quiet | the old lead sees no write for the time that the plan names |
//! | final verify | both sides, compared in full after that time, are equal |
//! | last look | the old lead and the new one still show what was compared |
//! | switch | the route shows the new lead: compare-and-swap, epoch n to n + 1 |
//! | watch | every client has read the route again, and nothing was written at the old lead meanwhile |
//!
//! Datasets of one phase move together: no step begins before all of them are through the one
//! before it, and if one halts before the switch, all do.
//!
//! A run that is asked to stop (ctrl-c, SIGTERM, an abort) begins no further step, and ends the looks and
//! waits that are under way: up to the switch that stops the move for all datasets of the phase and takes
//! back what stands. Whether to stop is asked for the last time right before the switches, for all of
//! them at once: from there on each is made to its end, so that no stop parts a phase's leads.
//!
//! # Consistency
//!
//! The switch is the point of no return. Its intent is in the ledger before the route's store is
//! asked, so a crash leaves a dataset whose route was switched or was not, and only the route itself
//! tells which ([`switch::settle`]). Before the switch a failure takes back what the steps did; after
//! it a dataset only goes forward.
//!
//! A switch needs a [`SwitchProof`](crate::SwitchProof), which is made of a [`Verified`](crate::Verified), which only
//! a verification can make: a cutover without one does not compile. One that compared nothing makes no
//! such proof, unless the plan accepts that there is nothing.
//!
//! # Who does what
//!
//! This folder knows routes and the order of steps. What steps need of the engine (to verify, to wait,
//! to write the ledger) they ask of a [`Hand`]. `run::cutovers` begins a cutover; `run::means` is the hand that
//! acts, `run::dry_run` the one that refuses to.

pub(crate) mod hand;
pub(crate) mod moves;
pub(crate) mod steps;
pub mod switch;
pub(crate) mod together;

pub use super::route::number_in_series;
pub use super::route::{self, RouteDocument, RouteError, RouteStore};
pub use hand::{Changes, Cut, Halt, Hand, Written};
pub use moves::{Move, NOTHING_COMPARED};
pub use steps::{Step, steps, steps_after_switch};
pub use together::{CheckedStep, dry_run, together};
