//! Keys and paths: which keys a directory can hold, and where they are.
//!
//! A key is only split at `/`. Segments with a meaning for the file system (`.`, `..`, an empty one) are refused,
//! not normalised, so a key and its path determine each other.

use rand::{TryRngCore as _, rngs::OsRng};
use sha2::Digest as _;

/// Names with this prefix are this tool's own: no listing shows them and no key may have them. Below the root it is
/// also the name of the directory that holds unfinished uploads.
pub(super) const RESERVED: &str = ".migrate-partial~";

/// The longest name that Linux file systems take, in bytes (`NAME_MAX`).
const SEGMENT_MAX: usize = 255;

/// Why a directory cannot hold `key`; `None` if it can.
pub(super) fn unholdable(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("a directory cannot hold the empty key");
    }
    if key.contains('\0') {
        return Some("a file name cannot hold a NUL character");
    }
    key.split('/').find_map(|segment| match segment {
        "" if key.ends_with('/') => Some("a file name cannot end in '/'"),
        "" => Some("a path cannot hold an empty segment: '//' or a leading '/'"),
        "." | ".." => Some("a path cannot hold '.' or '..' as a segment"),
        _ if segment.len() > SEGMENT_MAX => Some("a segment is longer than the 255 bytes of a file name"),
        _ if segment.starts_with(RESERVED) => Some("names that begin with '.migrate-partial~' are reserved"),
        _ => None,
    })
}

/// Splits a holdable key into its directory (empty for the root) and its name there.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

/// The name under which the file `name` is written before the rename.
///
/// The same name gives the same staging name: if a process dies in the middle, the next write of that key takes the
/// leftover up and renames it away. A leftover that no write takes up is swept ([`is_staging`]).
pub(super) fn staging(name: &str) -> String {
    format!("{RESERVED}{}", hex::encode(&sha2::Sha256::digest(name.as_bytes())[..16]))
}

/// A staging name that no other writer has. Two machines that share no lock must not write one file: only the
/// rename to the final name decides which machine was first.
pub(super) fn staging_alone() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    OsRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
    Ok(format!("{RESERVED}{}", hex::encode(bytes)))
}

/// Whether a name is that of a staged file.
pub(super) fn is_staging(name: &[u8]) -> bool {
    let hexadecimal = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.strip_prefix(RESERVED.as_bytes()).is_some_and(|rest| rest.len() == 32 && rest.iter().all(hexadecimal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_cannot_hold_is_refused_with_its_reason() {
        for (key, reason) in [
            ("", "empty key"),
            ("a//b", "empty segment"),
            ("/a", "empty segment"),
            ("a/", "end in '/'"),
            ("/", "end in '/'"),
            (".", "'.' or '..'"),
            ("a/../b", "'.' or '..'"),
            ("a\0b", "NUL"),
            (&"x".repeat(256), "255 bytes"),
            (".migrate-partial~", "reserved"),
            ("a/.migrate-partial~x/b", "reserved"),
        ] {
            let said = unholdable(key).unwrap_or_else(|| panic!("{key:?} was taken"));
            assert!(said.contains(reason), "{key:?}: {said}");
        }
        for key in ["a", "a/b", "...", "a b+%&?#", "é", "e\u{301}", "\u{1}", "a.", &"x".repeat(255)] {
            assert_eq!(unholdable(key), None, "{key:?}");
        }
    }

    #[test]
    fn staging_names_are_reserved_short_and_stable() {
        let name = staging(&"x".repeat(255));
        assert!(name.starts_with(RESERVED) && name.len() <= 255);
        assert_eq!(name, staging(&"x".repeat(255)));
        assert_ne!(staging("a"), staging("b"));
        assert_ne!(staging_alone().unwrap(), staging_alone().unwrap());
        for name in [name, staging_alone().unwrap()] {
            assert!(is_staging(name.as_bytes()));
            assert!(!is_staging(&name.as_bytes()[1..]) && !is_staging(format!("{name}0").as_bytes()));
        }
        assert!(!is_staging(RESERVED.as_bytes()) && !is_staging(format!("{RESERVED}{:A>32}", "").as_bytes()));
    }
}
