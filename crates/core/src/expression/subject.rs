//! [`Subject`]: what an expression looks at.

use std::fmt;

/// What an expression looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `item`: the attributes of an item of a table.
    Item,
    /// `object`: `key`, `size`, `metadata` and `tags` of an object.
    Object,
}

impl Subject {
    /// The name in expressions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Object => "object",
        }
    }

    /// The attributes that each record has; `None` if they differ from record to record.
    pub(super) fn attributes(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Item => None,
            Self::Object => Some(&["key", "size", "metadata", "tags"]),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
