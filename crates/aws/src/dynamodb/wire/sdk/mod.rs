//! The AWS SDK, for tables. Only the files in this folder, and those in [`crate::sdk`], know it.

pub(in crate::dynamodb) mod connect;
mod described;
mod failure;
pub(in crate::dynamodb) mod items;
pub(in crate::dynamodb) mod streams;
pub(in crate::dynamodb) mod tables;
mod values;
mod whole;
