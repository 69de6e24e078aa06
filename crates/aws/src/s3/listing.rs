//! A listing of one key range, page by page.
//!
//! The start of the next page moves only after a page was understood whole, so a failed page is requested again
//! from the same place, and no key is skipped or shown twice.

use std::{borrow::Cow, collections::HashSet};

use async_trait::async_trait;

use super::{
    convert::{bare_tag_of, percent_decode},
    scratch::is_scratch,
    wire::{bucket::Wire, plain::ListedObject},
};
use migrate_core::model::{Key, KeyRange, Token};
use migrate_store::{Entry, ErrorKind, Listing, Result};

/// The start of the next page.
#[derive(Debug)]
enum Position {
    /// The first page, after this key; `None` is the beginning of the prefix.
    After(Option<Key>),
    /// At the server's continuation token.
    Token(String),
    /// Past the last page.
    End,
}

/// Lists with `start-after` for the first page and with the server's own tokens from there.
#[derive(Debug)]
pub(super) struct S3Listing {
    wire: Wire,
    range: KeyRange,
    position: Position,
    /// Keys in a page, at most; the server decides if it is `None`.
    most: Option<u16>,
    /// All later keys must be greater: a server that goes on at a wrong place would make the listing run in
    /// circles, or show a key twice.
    last: Option<Key>,
    /// Tokens since then: a repeated one would make the listing run in circles.
    passed: HashSet<String>,
}

impl S3Listing {
    pub(super) fn new(wire: Wire, range: KeyRange, most: Option<u16>) -> Self {
        Self {
            wire,
            position: Position::After(range.after.clone()),
            most,
            last: range.after.clone(),
            range,
            passed: HashSet::new(),
        }
    }

    fn entry(&self, object: ListedObject, is_encoded: bool) -> Result<Entry> {
        let operation = self.wire.reads("list");
        let raw = object.key.as_deref().unwrap_or_default();
        let full = if is_encoded { percent_decode(raw) } else { Some(Cow::Borrowed(raw)) };
        let Some(full) = full else {
            return Err(operation.error(ErrorKind::Other, "a listed key cannot be decoded").on(&Key::new(raw)));
        };
        let Some(key) = full.strip_prefix(&*self.wire.prefix) else {
            return Err(operation.error(ErrorKind::Other, "a listed key is not under the prefix").on(&Key::new(full)));
        };
        let Some(size) = object.size else {
            return Err(operation.error(ErrorKind::Garbled, "a listed key has no size").on(&Key::new(key)));
        };
        let token =
            Token { size, tag: bare_tag_of(object.tag.unwrap_or_default()), modified: object.modified_s.into() };
        Ok(Entry { key: Key::new(key), token, problem: None })
    }
}

#[async_trait]
impl Listing for S3Listing {
    async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        loop {
            let page = match &self.position {
                Position::End => return Ok(None),
                Position::After(key) => {
                    let after = key.as_ref().map(|key| self.wire.full_key(key));
                    self.wire.list(after, None, self.most).await?
                }
                Position::Token(token) => self.wire.list(None, Some(token.clone()), self.most).await?,
            };
            let entry = |object| self.entry(object, page.is_encoded);
            let mut entries = page.entries.into_iter().map(entry).collect::<Result<Vec<_>>>()?;
            let mut last = self.last.as_ref();
            for Entry { key, .. } in &entries {
                if last.is_some_and(|last| last >= key) {
                    let detail = "the listing is out of order: one as great, or greater, came before";
                    return Err(self.wire.reads("list").error(ErrorKind::Other, detail).on(key));
                }
                last = Some(key);
            }
            let last = last.cloned();
            let beyond = |key: &Key| self.range.until.as_ref().is_some_and(|until| key > until);
            let reached_end = entries.last().is_some_and(|entry| beyond(&entry.key));
            entries.retain(|entry| !beyond(&entry.key));

            self.position = match (page.follows, page.next) {
                _ if reached_end => Position::End,
                (Some(false), _) => Position::End,
                (Some(true), Some(token)) if !self.passed.contains(&token) => Position::Token(token),
                _ => {
                    let detail = "a page does not say whether more follows, or not where it goes on";
                    return Err(self.wire.reads("list").error(ErrorKind::Garbled, detail));
                }
            };
            if last > self.last {
                self.passed.clear();
            }
            if let Position::Token(token) = &self.position {
                self.passed.insert(token.clone());
            }
            self.last = last;
            entries.retain(|entry| !is_scratch(&entry.key));
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
        }
    }
}
