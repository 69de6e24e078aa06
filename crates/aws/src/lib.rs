//! Objects in S3, tables in `DynamoDB`, and servers that speak their protocols, on the AWS SDK: the only member that
//! builds AWS crates.
//!
//! [`s3`] and [`dynamodb`] are the two clients. Both stand on the files beside this one: who signs ([`credentials`]),
//! which server it is (`endpoint`), how a connection to it is made (`dial`), what an answer or none means (`failed`, `operation`), for how long a request is
//! waited for (`deadline`), when a probe believes an answer (`patience`), and what they have in common of the SDK
//! ([`sdk`]).

mod credentials;
mod deadline;
mod dial;
pub mod dynamodb;
mod endpoint;
mod failed;
mod operation;
mod patience;
pub mod s3;
mod sdk;

pub use credentials::AwsCredentials;
