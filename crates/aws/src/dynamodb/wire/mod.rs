//! The way to a server: [`table`] is what is asked of one table, within which time, and what a failure means;
//! [`sdk`] sends the requests and brings the answers.

pub(super) mod sdk;
pub(super) mod table;
