//! The AWS SDK. Only the files in this folder know it.

pub(in crate::s3) mod connect;
mod failure;
pub(in crate::s3) mod requests;
mod whole;
