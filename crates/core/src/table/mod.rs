//! Tables as plain values: their structure, what an endpoint can do with them, and how a copy of one is proved.

mod abilities;
mod buckets;
mod compare;
mod structure;

pub use abilities::TableAbilities;
pub use buckets::{BUCKET_BITS_MAX, Bucket, Buckets, Grain, OtherGrain};
pub use compare::{Difference, Moment, Weight, differences};
pub use structure::{
    Billing, Encryption, Index, KeyType, Projection, REPLICAS, StreamView, Structure, TableClass, Throughput,
};
