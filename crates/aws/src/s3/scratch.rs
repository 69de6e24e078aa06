//! The names of scratch objects.

use rand::{RngCore as _, SeedableRng as _};

use migrate_core::{digest::sha256, model::Key};

/// Prefix of the names of scratch objects; 16 hexadecimal digits follow.
pub(super) const SCRATCH: &str = ".migrate-probe-";

/// A key for a store's scratch object. Random, so that two stores under probe at once do not meet.
pub(super) fn scratch_key() -> Key {
    let unique = rand::rngs::StdRng::from_os_rng().next_u64();
    Key::new(format!("{SCRATCH}{unique:016x}"))
}

/// Whether a key is a scratch object's, or lies below it. Such names are reserved: no listing shows them, so that a
/// leftover counts as no record.
pub(super) fn is_scratch(key: &Key) -> bool {
    let of_scratch = |segment: &str| {
        segment
            .strip_prefix(SCRATCH)
            .and_then(|rest| rest.get(..16))
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)))
    };
    key.as_str().split('/').any(of_scratch)
}

/// Derives the scratch key from the name of the migration, which one process drives at a time, and from the place:
/// so a later probe removes the leftovers of a killed one.
pub(super) fn scratch_of(name: &str, location: &str) -> Key {
    let digest = sha256(format!("{name} {location}").as_bytes()).to_string();
    Key::new(format!("{SCRATCH}{}", &digest[..16]))
}
