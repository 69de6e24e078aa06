//! Objects in S3 and in servers that speak its protocol, on the AWS SDK: the one member that builds AWS crates.

pub mod s3;
