//! Keys that some servers bend or refuse, and which of them a store holds.
//!
//! S3 takes every key as it is. Servers that keep objects in files, or clean up paths, do not: one stores `/x` as
//! `x` (Garage), another has no `a//b`. A key stored under another name would hide, or overwrite, the object with
//! that name.

use serde::{Deserialize, Serialize};

use crate::model::Key;

/// S3's limit on a key, in bytes of UTF-8, prefix included.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
pub const KEY_BYTES_MAX: usize = 1024;
/// The longest name of a file on most systems: a longer segment is a shape of its own.
const SEGMENT_BYTES_MAX: usize = 255;

/// A shape of keys that some server cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyShape {
    /// It begins with a slash.
    LeadingSlash,
    /// It ends with a slash.
    TrailingSlash,
    /// Two slashes follow each other.
    EmptySegment,
    /// A segment is `.` or `..`.
    DotSegment,
    /// A segment has more than 255 bytes.
    LongSegment,
    /// It contains a space.
    Space,
    /// It contains one of `+ % & ? # \`.
    Sign,
    /// It contains a control character.
    Control,
    /// It contains a character beyond ASCII.
    NotAscii,
}

impl KeyShape {
    /// Every shape, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::LeadingSlash,
        Self::TrailingSlash,
        Self::EmptySegment,
        Self::DotSegment,
        Self::LongSegment,
        Self::Space,
        Self::Sign,
        Self::Control,
        Self::NotAscii,
    ];

    /// Whether a key has this shape.
    pub fn is_of(self, key: &str) -> bool {
        match self {
            Self::LeadingSlash => key.starts_with('/'),
            Self::TrailingSlash => key.ends_with('/'),
            Self::EmptySegment => key.contains("//"),
            Self::DotSegment => key.split('/').any(|segment| segment == "." || segment == ".."),
            Self::LongSegment => key.split('/').any(|segment| segment.len() > SEGMENT_BYTES_MAX),
            Self::Space => key.contains(' '),
            Self::Sign => key.contains(['+', '%', '&', '?', '#', '\\']),
            Self::Control => key.contains(char::is_control),
            Self::NotAscii => !key.is_ascii(),
        }
    }

    /// A key of this shape and, except for a long one, of no other. It begins (after a slash) and ends with `name`,
    /// so that it can be found wherever a server puts it.
    pub fn example(self, name: &str) -> String {
        match self {
            Self::LeadingSlash => format!("/{name}"),
            Self::TrailingSlash => format!("{name}/t/"),
            Self::EmptySegment => format!("{name}//{name}"),
            Self::DotSegment => format!("{name}/./d/../{name}"),
            Self::LongSegment => format!("{name}/{}", "s".repeat(SEGMENT_BYTES_MAX + 1)),
            Self::Space => format!("{name}/a b"),
            Self::Sign => format!("{name}/a+b%41%&c?d#e\\f"),
            Self::Control => format!("{name}/a\u{1}b"),
            Self::NotAscii => format!("{name}/\u{e9}e\u{301}\u{1f600}"),
        }
    }

    /// What is wrong with a key of this shape at a store that does not hold it.
    fn reason(self) -> &'static str {
        match self {
            Self::LeadingSlash => "it does not keep a slash at the beginning of a key",
            Self::TrailingSlash => "it does not keep a slash at the end of a key",
            Self::EmptySegment => "it does not keep two slashes in a row",
            Self::DotSegment => "it does not keep the segments . and ..",
            Self::LongSegment => "it does not take more than 255 bytes between two slashes",
            Self::Space => "it does not keep spaces",
            Self::Sign => "it does not keep one of the characters + % & ? # \\",
            Self::Control => "it does not keep control characters",
            Self::NotAscii => "it does not keep characters beyond ASCII",
        }
    }
}

/// Which keys a store holds under their own name. Keys do not include the store's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRules {
    /// The longest key, in bytes of UTF-8, prefix included.
    pub bytes_max: usize,
    /// The shapes that the store does not hold, in the order of [`KeyShape::ALL`].
    pub refused: [bool; KeyShape::ALL.len()],
}

impl KeyRules {
    /// Every key that S3 can hold.
    pub const ALL: Self = Self { bytes_max: KEY_BYTES_MAX, refused: [false; KeyShape::ALL.len()] };

    /// Why a store cannot hold an object under this key. `prefix_bytes` is the length of the store's prefix.
    pub fn refuses(&self, key: &Key, prefix_bytes: usize) -> Option<&'static str> {
        let key = key.as_str();
        if key.len() + prefix_bytes > self.bytes_max {
            return Some("it does not take a key of this length");
        }
        self.shapes_refused().find(|shape| shape.is_of(key)).map(KeyShape::reason)
    }

    /// The shapes that the store does not hold.
    pub fn shapes_refused(&self) -> impl Iterator<Item = KeyShape> + '_ {
        KeyShape::ALL.into_iter().zip(self.refused).filter_map(|(shape, refused)| refused.then_some(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_has_its_shape_and_no_other() {
        for shape in KeyShape::ALL {
            let example = shape.example(".probe-1");
            let shapes: Vec<_> = KeyShape::ALL.into_iter().filter(|shape| shape.is_of(&example)).collect();
            assert_eq!(shapes, [shape], "{example:?}");
        }
    }

    #[test]
    fn a_key_is_refused_by_its_shape_or_its_length() {
        assert_eq!(KeyRules::ALL.refuses(&"/a//b/../c d\u{1}".into(), 0), None);
        let mut rules = KeyRules::ALL;
        rules.refused[0] = true;
        assert!(rules.refuses(&"/x".into(), 0).is_some_and(|reason| reason.contains("beginning")));
        assert_eq!(rules.refuses(&"x/".into(), 0), None);
        let long = Key::from("k".repeat(1020).as_str());
        assert_eq!(KeyRules::ALL.refuses(&long, 4), None);
        assert!(KeyRules::ALL.refuses(&long, 5).is_some());
    }
}
