//! The way to a server.
//!
//! [`plain`] are the types of requests and answers; [`sdk`] sends the ones and brings the others; [`bucket`] is the
//! hot path over them. The rest of the client sees nothing else of it, so that another way to speak to a server can
//! take its place.

pub(super) mod bucket;
pub(super) mod plain;
pub(super) mod sdk;
