//! The way to a server.
//!
//! [`plain`] are the types of requests and answers; [`server`] is one bucket at a server, whose hot requests take the
//! [`direct`] way and all others the [`sdk`]'s; [`bucket`] is the hot path over them. The rest of the client sees nothing
//! else of it.

#[cfg(test)]
mod alike;
pub(super) mod bucket;
mod direct;
pub(super) mod plain;
pub(super) mod sdk;
pub(super) mod server;

#[cfg(feature = "bench")]
pub use direct::bench;
