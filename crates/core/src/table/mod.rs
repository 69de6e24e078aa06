//! Tables as plain values: their structure, what an endpoint can do with them, and how a copy of one is proved.

mod abilities;
mod structure;

pub use abilities::TableAbilities;
pub use structure::{Billing, Encryption, Index, KeyType, Projection, StreamView, Structure, TableClass, Throughput};
