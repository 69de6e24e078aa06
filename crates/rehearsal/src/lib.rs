//! The rehearsal of a plan: the migration runs against stand-ins for everything that is real.
//!
//! [`standin`] takes all that is real out of a plan, [`sample`] makes data that the plan would move,
//! [`Cloud`] puts servers of the [`local_cloud`](migrate_local_cloud), directories and data together, and a
//! [`Writer`] goes on writing as an application would. [`EndState`] is a digest of what the cloud holds. It
//! depends on the end alone, not on the way there.

pub mod cloud;
mod end_state;
mod error;
pub mod sample;
pub mod standin;
mod tables;
mod writer;
mod written;

pub use cloud::{Cloud, CloudOptions};
pub use end_state::EndState;
pub use error::CloudError;
pub use writer::{Promise, Writer, WriterError};
