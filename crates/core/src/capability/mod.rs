//! The abilities of an endpoint, from a probe: plain values for ledgers and events.

mod capabilities;
mod condition;
mod keys;
mod words;

pub use capabilities::{Capabilities, Conditions, Honoured, IfMatch, PartRules, Proof, UploadTags};
pub use condition::Condition;
pub use keys::{KEY_BYTES_MAX, KeyRules, KeyShape};
pub use words::MetadataForm;
