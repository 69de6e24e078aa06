//! Limits of a site: bandwidth, requests, working hours, and as many requests at once as it bears.
//!
//! [`SiteLimits`] is shared by all stores of one site; [`Limited`] makes a store keep them. Each request waits, in
//! this order, for the working hours, the request rate, the bandwidth and a slot.
//!
//! - **Rates are debts.** A request passes as soon as nothing is owed and is then charged in full, so a body larger
//!   than any burst waits its time off afterwards and never blocks for good. A read of unknown size is charged
//!   after its arrival. Waiting requests are served in order of arrival.
//! - **Concurrency** grows while more requests are served for it, and is taken back if they only take longer. It halves
//!   when the store asks for fewer requests, at most once a round trip (requests sent before the halving do not halve
//!   again), and then grows by one for every full window of successes. A thing that the store refuses again while it serves others does not halve it: that is no load. It
//!   must therefore sit *below* the layer that retries.
//! - **Capacity** of tables is a debt as well ([`CapacityLimits`]): it is charged with what the server says that a
//!   request took.
//! - **Working hours** hold back new requests; those under way end.
//!
//! Every limit can be changed while the store works; waiting requests notice at once. Time is tokio's, so that
//! tests can pause it; the wall clock of the working hours is injected.

mod bucket;
mod capacity;
mod concurrency;
mod growth;
mod hours;
mod rate;
mod site;
mod store;
mod table;

pub use capacity::{Capacity, CapacityLimits};
pub use concurrency::{AtOnce, Width};
pub use hours::WorkingHours;
pub use site::{Quota, SiteLimits, WallClock};
pub use store::Limited;
pub use table::LimitedTable;
