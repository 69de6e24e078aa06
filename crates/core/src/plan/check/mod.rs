//! What a plan means, and whether it makes sense: turns a
//! [`PlanFile`](super::syntax::PlanFile) with positions into a [`Plan`](super::Plan).
//!
//! ```text
//! sites, policies, names and order of phases     each by itself
//! datasets and their cutovers                    each by itself, against the sites
//! across                                         places that overlap, parts, routes, residency
//! ```
//!
//! Every check goes on after a problem, so that all problems come at once. Checks leave out values that could not
//! be read.

mod across;
mod context;
mod cutover;
mod datasets;
mod expression;
mod partitions;
mod plan;
mod sites;

pub(super) use plan::check;
