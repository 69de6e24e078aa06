//! The commands: each file holds one, with its arguments.

pub(super) mod abort;
pub(super) mod check;
pub(super) mod completions;
pub(super) mod cutover;
pub(super) mod exit_codes;
pub(super) mod history;
pub(super) mod init;
pub(super) mod limits;
pub(super) mod local_s3;
pub(super) mod man;
pub(super) mod plan;
pub(super) mod rehearse;
pub(super) mod resolve;
pub(super) mod run;
pub(super) mod schema;
pub(super) mod show;
pub(super) mod status;
pub(super) mod verify;
