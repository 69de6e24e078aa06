//! Pages of keys, versions and uploads, found by range scans: no page starts from the beginning.

use std::{ops::Bound, sync::Arc};

use super::{objects::Stored, state::Bucket, upload::Upload};

/// Which keys a page shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) prefix: &'a str,
    /// Keys that share the text before its next occurrence are rolled up. Never empty.
    pub(super) delimiter: Option<&'a str>,
    pub(super) start: Start<'a>,
    pub(super) max: usize,
    /// A key to leave out.
    pub(super) omit: Option<&'a str>,
}

/// Where a page starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    Beginning,
    /// After this key, and after what is rolled up into exactly it.
    After(&'a str),
    /// After this key's version with this id, among its other versions.
    AfterVersion(&'a str, &'a str),
    /// After all keys with this prefix.
    PastPrefix(&'a str),
}

/// One line of a page.
#[derive(Debug, Clone)]
pub(super) enum Line {
    Object { key: Arc<str>, stored: Arc<Stored>, latest: bool },
    Prefix(String),
}

/// A page; `more` if lines follow it.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) lines: Vec<Line>,
    pub(super) more: bool,
}

/// One line of a page of uploads.
#[derive(Debug)]
pub(super) enum UploadLine<'a> {
    Upload {
        key: &'a str,
        id: &'a str,
        upload: &'a Upload,
    },
    /// Uploads rolled up, with the last of their keys, after which the next page starts.
    Prefix {
        prefix: &'a str,
        last_key: &'a str,
    },
}

/// A page of uploads; `more` if lines follow it.
#[derive(Debug)]
pub(super) struct UploadPage<'a> {
    pub(super) lines: Vec<UploadLine<'a>>,
    pub(super) more: bool,
}

/// The smallest byte string above all that start with `prefix`. UTF-8 has no byte 255.
fn above(prefix: &str) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    bytes
}

impl Query<'_> {
    fn first(&self) -> Bound<Vec<u8>> {
        let start = match self.start {
            Start::After(key) => Bound::Excluded(key.as_bytes().to_vec()),
            Start::AfterVersion(key, _) => Bound::Included(key.as_bytes().to_vec()),
            Start::Beginning | Start::PastPrefix("") => Bound::Unbounded,
            Start::PastPrefix(prefix) => Bound::Included(above(prefix)),
        };
        match start {
            Bound::Included(bytes) | Bound::Excluded(bytes) if bytes.as_slice() < self.prefix.as_bytes() => {
                Bound::Included(self.prefix.as_bytes().to_vec())
            }
            Bound::Unbounded => Bound::Included(self.prefix.as_bytes().to_vec()),
            start => start,
        }
    }

    /// The prefix that `key` is rolled up into.
    pub(super) fn rolled_up<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let rest = key.strip_prefix(self.prefix)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        Some(&key[..end])
    }

    fn skips(&self, prefix: &str) -> bool {
        matches!(self.start, Start::After(key) | Start::AfterVersion(key, _) if key == prefix)
    }
}

impl Bucket {
    /// A page of objects.
    pub(super) fn list(&self, query: Query<'_>) -> Page {
        self.page(query, |key, versions, page| {
            let Some(stored) = versions.last().filter(|stored| stored.content.is_some()) else { return };
            page.push(Line::Object { key: key.clone(), stored: stored.clone(), latest: true });
        })
    }

    /// A page of versions, newest first under each key, with delete markers.
    pub(super) fn list_versions(&self, query: Query<'_>) -> Page {
        self.page(query, |key, versions, page| {
            let older_than = match query.start {
                Start::AfterVersion(at, version) if at == &**key => {
                    versions.iter().position(|stored| &*stored.version == version).unwrap_or(0)
                }
                _ => versions.len(),
            };
            for (index, stored) in versions.iter().enumerate().take(older_than).rev() {
                let latest = index + 1 == versions.len();
                page.push(Line::Object { key: key.clone(), stored: stored.clone(), latest });
            }
        })
    }

    /// A page of unfinished uploads, by key and then in the order in which they began. There are few at a
    /// time, so this one scans from the beginning.
    pub(super) fn list_uploads(&self, query: Query<'_>) -> UploadPage<'_> {
        let mut page = UploadPage { lines: Vec::new(), more: false };
        for ((key, id), upload) in &self.uploads {
            let passed = match query.start {
                Start::AfterVersion(at, marker) => (&**key, id.as_str()) <= (at, marker),
                Start::After(at) => &**key <= at,
                Start::Beginning | Start::PastPrefix(_) => false,
            };
            if passed || !key.starts_with(query.prefix) {
                continue;
            }
            let rolled_up = query.rolled_up(key);
            if let (Some(prefix), Some(UploadLine::Prefix { prefix: known, last_key })) =
                (rolled_up, page.lines.last_mut())
                && *known == prefix
            {
                *last_key = key;
                continue;
            }
            if page.lines.len() == query.max {
                page.more = query.max > 0;
                break;
            }
            page.lines.push(match rolled_up {
                Some(prefix) => UploadLine::Prefix { prefix, last_key: key },
                None => UploadLine::Upload { key, id, upload },
            });
        }
        page
    }

    /// Walks keys; `show` adds the lines of one key.
    fn page(&self, query: Query<'_>, show: impl Fn(&Arc<str>, &[Arc<Stored>], &mut Vec<Line>)) -> Page {
        let mut page = Page::default();
        if query.max == 0 {
            return page;
        }
        let mut first = query.first();
        let mut lines = Vec::new();
        'scan: loop {
            let range = (first.as_ref().map(Vec::as_slice), Bound::Unbounded);
            for (name, versions) in self.keys.range::<[u8], _>(range) {
                let key = &name.0;
                if !key.starts_with(query.prefix) {
                    break 'scan;
                }
                if query.omit == Some(&**key) {
                    continue;
                }
                let rolled_up = query.rolled_up(key);
                lines.clear();
                match rolled_up {
                    Some(prefix) if query.skips(prefix) => {}
                    Some(prefix) => {
                        show(key, versions, &mut lines);
                        // A key without a line to show does not show its prefix either.
                        if lines.is_empty() {
                            continue;
                        }
                        lines.clear();
                        lines.push(Line::Prefix(prefix.to_owned()));
                    }
                    None => show(key, versions, &mut lines),
                }
                for line in lines.drain(..) {
                    if page.lines.len() == query.max {
                        page.more = true;
                        return page;
                    }
                    page.lines.push(line);
                }
                if let Some(prefix) = rolled_up {
                    first = Bound::Included(above(prefix));
                    continue 'scan;
                }
            }
            break;
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{objects::Content, state::Buckets},
        *,
    };

    fn shown(page: &Page) -> Vec<String> {
        page.lines
            .iter()
            .map(|line| match line {
                Line::Object { key, .. } => key.to_string(),
                Line::Prefix(prefix) => format!("[{prefix}]"),
            })
            .collect()
    }

    fn all() -> Query<'static> {
        Query { prefix: "", delimiter: None, start: Start::Beginning, max: 1000, omit: None }
    }

    #[test]
    fn pages_follow_byte_order_prefix_and_delimiter() {
        let buckets = Buckets::default();
        for key in ["a", "a/", "a//b", "a/b", "a/b/c", "a0", "b/x", "\u{e9}", "\u{1f600}"] {
            buckets.put("b", key, "");
        }
        let state = buckets.read();
        let bucket = state.bucket("b").unwrap();
        assert_eq!(shown(&bucket.list(all())), buckets.keys("b"));
        let rolled = Query { delimiter: Some("/"), ..all() };
        assert_eq!(shown(&bucket.list(rolled)), ["a", "[a/]", "a0", "[b/]", "\u{e9}", "\u{1f600}"]);
        let inside = Query { prefix: "a/", delimiter: Some("/"), ..all() };
        assert_eq!(shown(&bucket.list(inside)), ["a/", "[a//]", "a/b", "[a/b/]"]);
        let page = bucket.list(Query { max: 2, ..rolled });
        assert!(page.more);
        let next = bucket.list(Query { start: Start::PastPrefix("a/"), ..rolled });
        assert_eq!(shown(&next), ["a0", "[b/]", "\u{e9}", "\u{1f600}"]);
        let marker = bucket.list(Query { start: Start::After("a/"), ..rolled });
        assert_eq!(shown(&marker), shown(&next), "a marker that is a rolled-up prefix is past it");
        let without = bucket.list(Query { omit: Some("a0"), start: Start::After("a/b"), max: 2, ..all() });
        assert_eq!(shown(&without), ["a/b/c", "b/x"]);
        assert!(without.more);
    }

    #[test]
    fn uploads_page_by_key_and_id_and_roll_up() {
        let buckets = Buckets::default();
        buckets.create_bucket("b");
        let mut state = buckets.write();
        for key in ["a/1", "k", "a/2", "k"] {
            state.begin_upload("b", key, Content::default(), None).unwrap();
        }
        let bucket = state.bucket("b").unwrap();
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let start = after.map_or(Start::Beginning, |(key, id)| Start::AfterVersion(key, id));
            let page = bucket.list_uploads(Query { max: 1, start, ..all() });
            let [UploadLine::Upload { key, id, .. }] = page.lines.as_slice() else { panic!("{page:?}") };
            ids.push(*id);
            after = Some((*key, *id));
            if !page.more {
                break;
            }
        }
        assert_eq!(ids, bucket.uploads.keys().map(|(_, id)| id.as_str()).collect::<Vec<_>>());
        let page = bucket.list_uploads(Query { delimiter: Some("/"), max: 1, ..all() });
        assert!(matches!(page.lines.as_slice(), [UploadLine::Prefix { prefix: "a/", last_key: "a/2" }]), "{page:?}");
        assert!(page.more);
    }

    /// Scans from the beginning would visit five billion keys here, and never end in useful time.
    #[test]
    fn pages_of_one_walk_a_large_bucket() {
        const KEYS: usize = 100_000;
        let buckets = Buckets::default();
        for number in 0..KEYS {
            buckets.put("b", &format!("{number:06}/x"), "");
        }
        let state = buckets.read();
        let bucket = state.bucket("b").unwrap();
        for delimiter in [None, Some("/")] {
            let (mut listed, mut last) = (0, None);
            loop {
                let start = match &last {
                    None => Start::Beginning,
                    Some(Line::Object { key, .. }) => Start::After(key),
                    Some(Line::Prefix(prefix)) => Start::PastPrefix(prefix),
                };
                let mut page = bucket.list(Query { delimiter, start, max: 1, ..all() });
                listed += page.lines.len();
                last = page.lines.pop();
                if !page.more {
                    break;
                }
            }
            assert_eq!(listed, KEYS);
        }
    }

    #[test]
    fn every_page_size_shows_the_same() {
        let buckets = Buckets::default();
        for key in 0..100 {
            buckets.put("b", &format!("{}/{}", key % 7, key), "");
        }
        let state = buckets.read();
        let bucket = state.bucket("b").unwrap();
        for max in [1, 2, 3, 50, 99, 100, 101] {
            for delimiter in [None, Some("/")] {
                let whole = shown(&bucket.list(Query { delimiter, ..all() }));
                let mut gathered = Vec::new();
                let mut last: Option<Line> = None;
                loop {
                    let start = match &last {
                        None => Start::Beginning,
                        Some(Line::Object { key, .. }) => Start::After(key),
                        Some(Line::Prefix(prefix)) => Start::PastPrefix(prefix),
                    };
                    let page = bucket.list(Query { delimiter, start, max, ..all() });
                    gathered.extend(shown(&page));
                    last = page.lines.last().cloned();
                    if !page.more {
                        break;
                    }
                }
                assert_eq!(gathered, whole);
            }
        }
    }
}
