//! What every test of the command line holds of every answer that it sees: what is JSON keeps to the schema of
//! `migrate schema --output`, and what is next is a command that the program takes, and that a test runs.

pub(super) mod contract;
pub(super) mod next;
pub(super) mod schema;
