//! Keys and paths: which keys a directory can hold, and where they are.
//!
//! A key is split at `/` and nothing else is done to it. What the file system would read in its
//! own way (`.`, `..`, an empty segment) is refused rather than normalised, so a key and its path
//! determine each other.

use sha2::Digest as _;

/// Names that begin so are this tool's own: they are in no listing and no key may have them.
/// Below the root it is also the name of the directory that holds unfinished uploads.
pub(super) const RESERVED: &str = ".migrate-partial~";

/// The longest name that Linux file systems take, in bytes (`NAME_MAX`).
const SEGMENT_MAX: usize = 255;

/// Why a directory cannot hold `key`; `None` where it can.
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

/// The name under which the file `name` is written before it is renamed.
///
/// The same name gives the same staging name: when a process dies in the middle, the next write of
/// that key takes the leftover up and renames it away, so that nothing has to be swept.
pub(super) fn staging(name: &str) -> String {
    format!("{RESERVED}{}", hex::encode(&sha2::Sha256::digest(name.as_bytes())[..16]))
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
    }
}
