//! The hot requests without the SDK around them: GET, HEAD, PUT of objects and parts, pages of objects,
//! and tags, which a source that counts none is asked for with each object.
//!
//! The SDK spends several times the CPU of such a request on its own machinery. Of what it does, this keeps what a server
//! or a user can see, with the SDK's own parts: its endpoints ([`place`]), its credentials ([`identity`]), its signatures
//! ([`signing`]) and its checksums ([`stream`]); the same clock correction ([`clock`]). Connections ([`pool`]) are made
//! with the same trust and proxies (`dial.rs`) and taken from a list, and [`sending`] is what goes over them.
//! [`asked`] is a request before it is signed, [`answers`] what came, [`page`] a page of a listing and [`entries`] its
//! entries, and [`requests`] are the six over them. Tests hold both ways against each other (`alike.rs`); `bench` shows
//! parts of it to the benches.

mod answers;
mod asked;
#[cfg(feature = "bench")]
pub mod bench;
mod clock;
mod entries;
mod identity;
mod page;
mod place;
mod pool;
pub(super) mod requests;
pub(in crate::s3) mod sending;
mod signing;
mod stream;
