//! Objects in S3 and compatible servers, on the AWS SDK: the only member that builds AWS crates.

pub mod s3;
