//! Version tokens.

use serde::{Deserialize, Serialize};

/// What one side's listing shows of one version of an object: its *version token*.
///
/// Tokens of two sides are never compared with each other. The meaning of `tag` is the store's own: an `ETag` on
/// S3, change time and inode in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Size in bytes.
    pub size: u64,
    /// The store's mark of a version, beside size and time.
    pub tag: Box<str>,
    /// Last modification, in seconds since 1970 (S3's HEAD shows no finer), if the store shows one. `None` right
    /// after a write, because S3's PUT does not return it; the next listing does.
    pub modified_s: Option<i64>,
}

impl Token {
    /// Whether `shown`, a token that the same side shows now, is still this version.
    ///
    /// An unknown time agrees with any.
    pub fn agrees_with(&self, shown: &Token) -> bool {
        let same_time = match (self.modified_s, shown.modified_s) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        same_time && self.size == shown.size && self.tag == shown.tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_time_agrees_with_any_time_but_not_another_tag() {
        let written = Token { size: 3, tag: "\"e\"".into(), modified_s: None };
        let listed = Token { modified_s: Some(7), ..written.clone() };
        assert!(written.agrees_with(&listed));
        let later = Token { modified_s: Some(8), ..listed.clone() };
        assert!(!listed.agrees_with(&later));
        let other = Token { tag: "\"f\"".into(), ..listed };
        assert!(!written.agrees_with(&other));
    }
}
