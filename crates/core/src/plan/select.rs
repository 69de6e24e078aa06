//! Which keys belong to a dataset: `include` and `exclude`.
//!
//! Globs match the whole key, relative to the dataset's prefix. `*` and `?` stay between two `/`;
//! `**` crosses them. A key is not a path: nothing is normalised, and a leading dot or `/` is a
//! character like any other.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::model::Key;

/// Which keys belong to a dataset: those that match an `include` (all, if there is none) and no
/// `exclude`.
#[derive(Debug, Clone)]
pub struct Select {
    include: Globs,
    exclude: Globs,
}

#[derive(Debug, Clone)]
struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
}

/// A text that is not a glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{glob:?} is not a glob: {detail}")]
pub struct BadGlob {
    /// The text as the plan has it.
    pub glob: String,
    /// Index in its list, from 0.
    pub index: usize,
    /// The error of the glob parser.
    pub detail: String,
}

impl Globs {
    fn new(patterns: &[String]) -> Result<Self, BadGlob> {
        let mut set = GlobSetBuilder::new();
        let bad = |index: usize, error: &globset::Error| BadGlob {
            glob: patterns[index].clone(),
            index,
            detail: error.kind().to_string(),
        };
        for (index, pattern) in patterns.iter().enumerate() {
            let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
            set.add(glob.map_err(|error| bad(index, &error))?);
        }
        let set = set.build().map_err(|error| bad(patterns.len() - 1, &error))?;
        Ok(Self { patterns: patterns.to_vec(), set })
    }
}

impl Select {
    /// Takes lists of globs. The error names the first bad glob, those of `include` before those of `exclude`.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, BadGlob> {
        Ok(Self { include: Globs::new(include)?, exclude: Globs::new(exclude)? })
    }

    /// Selects every key.
    pub fn all() -> Self {
        let none = || Globs { patterns: Vec::new(), set: GlobSet::empty() };
        Self { include: none(), exclude: none() }
    }

    /// Whether the key belongs to the dataset.
    pub fn holds(&self, key: &Key) -> bool {
        let key = key.as_str();
        // A set of no globs takes a key apart before it says so, and this is asked for every key.
        (self.include.patterns.is_empty() || self.include.set.is_match(key))
            && (self.exclude.patterns.is_empty() || !self.exclude.set.is_match(key))
    }

    /// The globs that let keys in; empty for all keys.
    pub fn include(&self) -> &[String] {
        &self.include.patterns
    }

    /// The globs that keep keys out.
    pub fn exclude(&self) -> &[String] {
        &self.exclude.patterns
    }
}

/// Selects every key.
impl Default for Select {
    fn default() -> Self {
        Self::all()
    }
}

impl PartialEq for Select {
    fn eq(&self, other: &Self) -> bool {
        self.include.patterns == other.include.patterns && self.exclude.patterns == other.exclude.patterns
    }
}

impl Eq for Select {}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(include: &[&str], exclude: &[&str]) -> Select {
        let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>();
        Select::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn a_star_stays_between_slashes_and_two_cross_them() {
        let one = select(&["img/*.svg"], &[]);
        assert!(one.holds(&"img/a.svg".into()));
        assert!(!one.holds(&"img/x/a.svg".into()) && !one.holds(&"a.svg".into()));
        let two = select(&["**/*.svg"], &[]);
        for key in ["a.svg", "img/a.svg", "img/x/a.svg", "/a.svg", "a//b.svg", "img/.svg", "new\nline/a.svg"] {
            assert!(two.holds(&key.into()), "{key:?}");
        }
        assert!(!select(&["a?b"], &[]).holds(&"a/b".into()));
        assert!(select(&["\\/a/*"], &[]).holds(&"/a/b".into()));
    }

    #[test]
    fn exclude_wins_and_no_include_means_all() {
        let some = select(&["static/**"], &["**/*.tmp"]);
        assert!(some.holds(&"static/a.css".into()));
        assert!(!some.holds(&"static/a.tmp".into()) && !some.holds(&"other/a.css".into()));
        assert!(Select::all().holds(&"".into()));
        assert!(!select(&[], &["*.tmp"]).holds(&"x.tmp".into()));
    }

    #[test]
    fn a_bad_glob_is_named() {
        let bad = Select::new(&["ok".to_owned(), "a[".to_owned()], &[]).unwrap_err();
        assert_eq!((bad.glob.as_str(), bad.index), ("a[", 1));
    }
}
