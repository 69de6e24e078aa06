//! Reading: which bytes came, of which version, and whether they are the stored ones.

use std::sync::atomic::Ordering;

use super::{convert::head_of, store::S3Store, wire::plain::Got};
use migrate_core::{
    model::{Key, Token},
    report::{self as words, Grouped},
};
use migrate_store::{ByteRange, Checksums, ErrorKind, Read, Result, hashing};

/// After this many objects whose `ETag` is no MD5, and none with one, this store's `ETag`s are taken for no MD5s.
const OTHER_TAGS_TO_GIVE_UP: u32 = 16;

/// The bytes of an answer, by its own headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    bytes: ByteRange,
    /// Size of the whole object.
    total: u64,
}

impl Span {
    /// The span in `Content-Range` (`bytes FIRST-LAST/TOTAL`, RFC 9110, 14.4); without it, the body is the whole
    /// object. The error says why the header is not believed.
    fn of(content_range: Option<&str>, length: u64) -> Result<Self, String> {
        let Some(text) = content_range else {
            return Ok(Self { bytes: ByteRange { start: 0, end: length }, total: length });
        };
        let parse = || {
            let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            let (start, end, total) =
                (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?, total.parse().ok()?);
            (start < end && end <= total).then_some(Self { bytes: ByteRange { start, end }, total })
        };
        parse().ok_or_else(|| format!("bad Content-Range {text:?}"))
    }

    /// Whether these are the requested bytes: a range, or the whole object. A server without ranges answers with
    /// the whole, whose beginning must not pass for its middle.
    fn must_be(self, asked: Option<ByteRange>) -> Result<(), String> {
        let asked = asked.unwrap_or(ByteRange { start: 0, end: self.total });
        if self.bytes == asked {
            return Ok(());
        }
        let ByteRange { start, end } = self.bytes;
        Err(format!("bytes {start}..{end} came where {}..{} were asked for", asked.start, asked.end))
    }
}

impl S3Store {
    /// Reads once and checks the length and the version.
    pub(super) async fn read_once(&self, key: &Key, range: Option<ByteRange>, pin: Option<&Token>) -> Result<Read> {
        let Got { shown, range: came, body: bytes } = self.wire.get(key, range, pin).await?;
        let operation = self.wire.reads("read");
        let span = Span::of(came.as_deref(), bytes.len() as u64)
            .map_err(|detail| operation.error(ErrorKind::Corrupt, detail))?;
        let mut head = head_of(shown, span.total);
        self.tag_counts.complete(&mut head, &self.known());
        // Some servers ignore If-Match on GET; the answer itself shows the version.
        if pin.is_some_and(|pin| !pin.agrees_with(&head.token)) {
            return Err(operation.error(ErrorKind::Changed, "it is no longer the version first seen"));
        }
        span.must_be(range).map_err(|detail| operation.error(ErrorKind::Corrupt, detail))?;
        if let Some(range) = range {
            if bytes.len() as u64 != range.end - range.start {
                let detail = format!(
                    "{} came where {} were asked for",
                    words::bytes(bytes.len() as u64),
                    Grouped(range.end - range.start)
                );
                return Err(operation.error(ErrorKind::Corrupt, detail));
            }
            head.checksums = Checksums::default();
        }
        Ok(Read { head, bytes })
    }

    /// Guards a whole read that carried no checksum: its `ETag` is usually the MD5 of the body. If it is not, a
    /// second read must return the same bytes, or one of the two was damaged on its way.
    pub(super) async fn attest(&self, key: &Key, read: Read) -> Result<Read> {
        let checksums = &read.head.checksums;
        let (None, None, Some(md5)) = (checksums.crc64nvme, checksums.sha256, checksums.md5) else {
            return Ok(read);
        };
        let never = self.md5_tags.load(Ordering::Relaxed) == 0
            && self.other_tags.load(Ordering::Relaxed) >= OTHER_TAGS_TO_GIVE_UP;
        if never {
            return Ok(read);
        }
        if hashing::md5(&read.bytes).await == md5 {
            self.md5_tags.store(1, Ordering::Relaxed);
            return Ok(read);
        }
        // In memory of its own, which the usual read does not take.
        let again = Box::pin(self.read_once(key, None, Some(&read.head.token))).await?;
        if hashing::md5(&again.bytes).await == md5 {
            return Ok(again);
        }
        if hashing::sha256(&again.bytes).await != hashing::sha256(&read.bytes).await {
            return Err(self.wire.reads("read").error(ErrorKind::Corrupt, "two reads of one version differ"));
        }
        self.other_tags.fetch_add(1, Ordering::Relaxed);
        let mut read = again;
        read.head.checksums.md5 = None;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(content_range: &str, length: u64, asked: Option<(u64, u64)>) -> Result<u64, String> {
        let span = Span::of((!content_range.is_empty()).then_some(content_range), length)?;
        span.must_be(asked.map(|(start, end)| ByteRange { start, end })).map(|()| span.total)
    }

    #[test]
    fn only_the_bytes_that_were_asked_for_are_taken() {
        assert_eq!(came("bytes 5-9/20", 5, Some((5, 10))), Ok(20));
        assert_eq!(came("bytes 0-19/20", 20, None), Ok(20), "a whole object as a range of all of it");
        assert_eq!(came("", 20, None), Ok(20));
        assert_eq!(came("", 0, None), Ok(0));
        assert_eq!(came("", 20, Some((0, 20))), Ok(20), "a server without ranges, asked for all");
        for (content_range, length, asked) in [
            ("bytes 0-4/20", 5, Some((5, 10))),
            ("bytes 6-10/20", 5, Some((5, 10))),
            ("bytes 4-9/20", 6, Some((5, 10))),
            ("bytes 5-8/20", 4, Some((5, 10))),
            ("bytes 5-9/20", 5, None),
            ("", 5, Some((5, 10))),
            ("", 20, Some((0, 10))),
            ("bytes 5-9/*", 5, Some((5, 10))),
            ("bytes 5-9/8", 5, Some((5, 10))),
            ("bytes 9-5/20", 5, Some((5, 10))),
            ("bytes */20", 5, Some((5, 10))),
            ("5-9/20", 5, Some((5, 10))),
            ("bytes 5-18446744073709551615/20", 5, Some((5, 10))),
        ] {
            assert!(came(content_range, length, asked).is_err(), "{content_range:?} for {asked:?}");
        }
    }
}
