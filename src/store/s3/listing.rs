//! A listing of one key range, page by page.

use async_trait::async_trait;
use aws_sdk_s3::types::{EncodingType, Object};

use super::{
    convert::{percent_decode, size, token},
    wire::Wire,
};
use crate::{
    model::{Key, KeyRange},
    store::{Entry, ErrorKind, Listing, Result},
};

/// Where the next page begins.
#[derive(Debug)]
enum Position {
    /// After this key; `None` is the beginning of the prefix.
    After(Option<Key>),
    /// Where the server said.
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
}

impl S3Listing {
    pub(super) fn new(wire: Wire, range: KeyRange) -> Self {
        Self { wire, position: Position::After(range.after.clone()), range }
    }

    fn entry(&self, object: &Object, encoded: bool) -> Result<Entry> {
        let operation = self.wire.reads("list");
        let raw = object.key().unwrap_or_default();
        let full = if encoded { percent_decode(raw) } else { Some(raw.to_owned()) };
        let Some(full) = full else {
            return Err(operation.error(ErrorKind::Other, format!("a listed key cannot be decoded: {raw:?}")));
        };
        let Some(key) = full.strip_prefix(&*self.wire.prefix) else {
            return Err(operation.error(ErrorKind::Other, format!("a listed key is not under the prefix: {full:?}")));
        };
        Ok(Entry {
            key: Key::new(key),
            token: token(size(object.size()), object.e_tag(), object.last_modified()),
            problem: None,
        })
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
                    self.wire.list(after, None).await?
                }
                Position::Token(token) => self.wire.list(None, Some(token.clone())).await?,
            };
            let encoded = page.encoding_type() == Some(&EncodingType::Url);
            let mut entries =
                page.contents().iter().map(|object| self.entry(object, encoded)).collect::<Result<Vec<_>>>()?;
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].key >= pair[1].key) {
                let detail = format!("the listing is out of order: {} came after {}", pair[1].key, pair[0].key);
                return Err(self.wire.reads("list").error(ErrorKind::Other, detail));
            }
            let beyond = |key: &Key| self.range.until.as_ref().is_some_and(|until| key > until);
            let reached_end = entries.last().is_some_and(|entry| beyond(&entry.key));
            entries.retain(|entry| !beyond(&entry.key));

            let more = page.is_truncated().unwrap_or(page.next_continuation_token().is_some());
            self.position = match page.next_continuation_token() {
                _ if reached_end || !more => Position::End,
                Some(token) => Position::Token(token.to_owned()),
                None => {
                    let Some(last) = entries.last() else {
                        let detail = "a page is empty and cut, and does not say where the next one begins";
                        return Err(self.wire.reads("list").error(ErrorKind::Other, detail));
                    };
                    Position::After(Some(last.key.clone()))
                }
            };
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
        }
    }
}
