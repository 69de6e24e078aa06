//! The words of the domain as types: names, keys, versions, digests.
//!
//! Everything here is a plain value. Nothing reads a clock, a file or a socket, so every other module can use these
//! types and every rule on them can be tested without a runtime.

mod aspects;
mod counted;
mod decided;
mod evidence;
mod key;
mod name;
mod token;
mod unit;

pub use aspects::Aspects;
pub use counted::Counted;
pub use decided::{Decided, Decider};
pub use evidence::{Evidence, Sha256};
pub use key::{Key, KeyRange};
pub use name::{DatasetName, NameError, PhaseName, PlanName, SiteName};
pub use token::{Modified, Token};
pub use unit::{ByteCount, Epoch, PlaceIndex, ShardId, Timestamp};
