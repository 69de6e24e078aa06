//! The AWS SDK, for S3. Only the files in this folder, and those in [`crate::sdk`], know it.

pub(in crate::s3) mod connect;
pub(in crate::s3) mod requests;
mod whole;
