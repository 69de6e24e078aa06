//! An object as it is held.

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use md5::{Digest as _, Md5};

use crate::{checksum::Crc64, formula};

/// Bodies up to this size have an MD5 as their tag. Larger ones have a tag as uploads in parts have, so that no
/// measured second is spent on an MD5 that no client can use.
pub(crate) const MD5_BYTES_MAX: u64 = 1 << 20;

/// An object.
pub(crate) struct Object {
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) tag: Box<str>,
    /// Seconds since 1970.
    pub(crate) modified_s: u64,
    pub(crate) content: Content,
    /// `None` if all of it is empty, as for most of a million.
    pub(crate) head: Option<Box<Head>>,
}

/// Where the bytes of an object are.
#[derive(Clone)]
pub(crate) enum Content {
    Held(Vec<Bytes>),
    /// They follow from this number.
    Formula(usize),
    Discarded,
}

/// What an object has beside its bytes.
#[derive(Clone, Default)]
pub(crate) struct Head {
    /// Headers and user metadata, as they were sent and as they are shown.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Shown if they are asked for.
    pub(crate) checksums: Vec<(HeaderName, HeaderValue)>,
    /// Names and values.
    pub(crate) tags: Vec<(String, String)>,
    /// The sizes of its parts, if it was uploaded in parts.
    pub(crate) parts: Vec<u64>,
}

impl Head {
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        let is_empty = self.headers.is_empty() && self.checksums.is_empty() && self.tags.is_empty();
        (!is_empty || !self.parts.is_empty()).then(|| Box::new(self))
    }
}

impl Object {
    /// The bytes `[start, end)`; `None` if they were discarded.
    pub(crate) fn pieces(&self, start: u64, end: u64) -> Option<Vec<Bytes>> {
        match &self.content {
            Content::Held(held) => Some(cut(held, start, end)),
            Content::Formula(number) => Some(formula::pieces(*number, start, end)),
            Content::Discarded => None,
        }
    }

    /// The sizes of its parts. A tag that is no MD5 means one part at least.
    pub(crate) fn parts(&self) -> Vec<u64> {
        match &self.head {
            Some(head) if !head.parts.is_empty() => head.parts.clone(),
            _ => vec![self.size],
        }
    }
}

fn cut(held: &[Bytes], start: u64, end: u64) -> Vec<Bytes> {
    let (mut found, mut at) = (Vec::new(), 0);
    for piece in held {
        let next = at + piece.len() as u64;
        let (from, to) = (start.max(at), end.min(next));
        if from < to {
            let inside = |place: u64| usize::try_from(place - at).expect("it is inside a piece");
            found.push(piece.slice(inside(from)..inside(to)));
        }
        at = next;
    }
    found
}

/// The tag of a body that was written in one request.
pub(crate) fn tag_of(size: u64, md5: Option<[u8; 16]>, crc64: u64) -> Box<str> {
    match md5 {
        Some(md5) if size <= MD5_BYTES_MAX => hex::encode(md5).into(),
        _ => format!("{crc64:016x}{size:016x}-1").into(),
    }
}

/// As [`tag_of`], from the body.
pub(crate) fn tag_of_bytes(size: u64, pieces: &[Bytes]) -> Box<str> {
    let (mut md5, mut crc64) = (Md5::new(), Crc64::new());
    for piece in pieces {
        if size <= MD5_BYTES_MAX {
            md5.update(piece);
        }
        crc64.update(piece);
    }
    tag_of(size, Some(md5.finalize().into()), crc64.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_goes_across_pieces() {
        let held = [Bytes::from_static(b"abc"), Bytes::from_static(b"def"), Bytes::from_static(b"ghi")];
        assert_eq!(cut(&held, 2, 7).concat(), b"cdefg");
        assert_eq!(cut(&held, 3, 6).concat(), b"def");
        assert!(cut(&held, 4, 4).is_empty());
    }
}
