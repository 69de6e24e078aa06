//! What an endpoint can do, as a probe found it: plain values, which a ledger keeps and events show.

mod capabilities;
mod condition;
mod keys;
mod words;

pub use capabilities::{Capabilities, Conditions, Honoured, IfMatch, PartRules, Proof, UploadTags};
pub use condition::Condition;
pub use keys::{KEY_BYTES_MAX, KeyRules, KeyShape};
pub use words::MetadataForm;
