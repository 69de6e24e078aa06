//! All integration tests in one binary: linking is the slow part.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cli;
mod conformance;
mod docs;
mod dynamodb;
mod interop;
mod migration;
mod plans;
mod rehearse;
mod routes;
mod running;
mod soak;
mod tidy;
