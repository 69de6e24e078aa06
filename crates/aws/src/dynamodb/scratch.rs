//! The names of scratch tables.

use rand::{RngCore as _, SeedableRng as _};

use migrate_core::digest::sha256;

/// Prefix of the names of scratch tables; 16 hexadecimal digits follow. An identity that may make and delete tables
/// of such names, and read and write them, can probe.
const SCRATCH: &str = "migrate-probe-";

/// A name for a scratch table. Random, so that two probes at once do not meet.
pub(super) fn scratch_table() -> String {
    let unique = rand::rngs::StdRng::from_os_rng().next_u64();
    format!("{SCRATCH}{unique:016x}")
}

/// The scratch table of a migration, which one process drives at a time, and of a place: so a later probe removes
/// the leftovers of a killed one.
pub(super) fn scratch_of(migration: &str, location: &str) -> String {
    let digest = sha256(format!("{migration} {location}").as_bytes()).to_string();
    format!("{SCRATCH}{}", &digest[..16])
}
