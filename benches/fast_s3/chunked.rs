//! Bodies in chunks that are signed, or that end with a checksum:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>.
//!
//! Each chunk is `SIZE[;chunk-signature=HEX]`, a line end, the bytes, a line end; the last has no bytes. Then come the
//! lines of the trailer, if one was announced, and an empty line.

use std::fmt::Write as _;

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};

use crate::{answer::Failure, signature::Signed};

/// A line that is longer is none.
const LINE_BYTES_MAX: usize = 4096;

enum At {
    /// Before a chunk.
    Size,
    /// So many bytes of a chunk are still to come.
    Bytes(u64),
    /// Before the line end that closes a chunk.
    End,
    Trailer,
    Done,
}

/// Takes chunks apart as they arrive.
pub(crate) struct Chunked {
    /// `None` if the chunks are not signed.
    signed: Option<Signed>,
    /// The begin of a line.
    rest: Bytes,
    at: At,
    digest: Sha256,
    signature: String,
    lines: String,
    trailers: Vec<(String, String)>,
}

impl Chunked {
    pub(crate) fn new(signed: Option<Signed>) -> Self {
        let (rest, digest) = (Bytes::new(), Sha256::new());
        let (signature, lines) = (String::new(), String::new());
        Self { signed, rest, at: At::Size, digest, signature, lines, trailers: Vec::new() }
    }

    /// Takes what has arrived; hands on what is of the body.
    pub(crate) fn take(&mut self, mut arrived: Bytes, body: &mut impl FnMut(Bytes)) -> Result<(), Failure> {
        loop {
            match self.at {
                At::Bytes(0) => self.at = At::End,
                At::Bytes(_) if arrived.is_empty() => return Ok(()),
                At::Bytes(left) => {
                    let some = usize::try_from(left).unwrap_or(usize::MAX).min(arrived.len());
                    let piece = arrived.split_to(some);
                    if self.signed.is_some() {
                        self.digest.update(&piece);
                    }
                    self.at = At::Bytes(left - some as u64);
                    body(piece);
                }
                _ => {
                    let Some(line) = self.line(&mut arrived)? else { return Ok(()) };
                    self.read(&line)?;
                }
            }
        }
    }

    /// The next whole line, without its end. What is there of another is kept for later.
    fn line(&mut self, arrived: &mut Bytes) -> Result<Option<String>, Failure> {
        if !self.rest.is_empty() {
            *arrived = [std::mem::take(&mut self.rest), std::mem::take(arrived)].concat().into();
        }
        let Some(end) = arrived.windows(2).take(LINE_BYTES_MAX).position(|two| two == b"\r\n") else {
            self.rest = std::mem::take(arrived);
            return if self.rest.len() > LINE_BYTES_MAX { Err(Failure::INVALID) } else { Ok(None) };
        };
        let line = arrived.split_to(end);
        arrived.advance(2);
        String::from_utf8(line.to_vec()).map(Some).map_err(|_| Failure::INVALID)
    }

    fn read(&mut self, line: &str) -> Result<(), Failure> {
        match self.at {
            At::Size => {
                let (size, signature) = line.split_once(";chunk-signature=").unwrap_or((line, ""));
                let size = u64::from_str_radix(size, 16).map_err(|_| Failure::INVALID)?;
                signature.clone_into(&mut self.signature);
                self.at = At::Bytes(size);
                if size == 0 {
                    self.chunk_ends()?;
                    self.at = At::Trailer;
                }
            }
            At::End if line.is_empty() => {
                self.chunk_ends()?;
                self.at = At::Size;
            }
            At::Trailer if line.is_empty() => self.at = At::Done,
            At::Trailer => {
                let (name, value) = line.split_once(':').ok_or(Failure::INVALID)?;
                match &mut self.signed {
                    Some(signed) if name.eq_ignore_ascii_case("x-amz-trailer-signature") => {
                        signed.check_trailer(&self.lines, value.trim())?;
                    }
                    _ => {
                        let _ = writeln!(self.lines, "{}:{}", name.to_ascii_lowercase(), value.trim());
                        self.trailers.push((name.to_owned(), value.trim().to_owned()));
                    }
                }
            }
            _ => return Err(Failure::INVALID),
        }
        Ok(())
    }

    fn chunk_ends(&mut self) -> Result<(), Failure> {
        let digest = std::mem::take(&mut self.digest).finalize();
        match &mut self.signed {
            Some(signed) => signed.check_chunk(&hex::encode(digest), &self.signature),
            None => Ok(()),
        }
    }

    /// The trailer, if the body is whole.
    pub(crate) fn finish(self) -> Result<Vec<(String, String)>, Failure> {
        let is_whole = match self.at {
            At::Done => true,
            // Some clients leave out the last empty line.
            At::Trailer => self.rest.is_empty(),
            _ => false,
        };
        if is_whole { Ok(self.trailers) } else { Err(Failure::INCOMPLETE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and the trailer.
    type Read = (Vec<u8>, Vec<(String, String)>);

    fn read(text: &[u8], at_once: usize) -> Result<Read, Failure> {
        let (mut chunked, mut body) = (Chunked::new(None), Vec::new());
        for some in text.chunks(at_once) {
            chunked.take(Bytes::copy_from_slice(some), &mut |piece| body.extend_from_slice(&piece))?;
        }
        Ok((body, chunked.finish()?))
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let text = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
        for at_once in 1..=text.len() {
            let (body, trailers) = read(text, at_once).unwrap();
            assert_eq!(body, b"hello world", "{at_once} bytes at once");
            assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "DUoRhQ==".to_owned())]);
        }
    }

    #[test]
    fn half_a_body_is_refused() {
        assert_eq!(read(b"5\r\nhel", 100), Err(Failure::INCOMPLETE));
        assert_eq!(read(b"5\r\nhello\r\n", 100), Err(Failure::INCOMPLETE));
        assert_eq!(read(b"5\r\nhelloo\r\n0\r\n\r\n", 100), Err(Failure::INVALID));
    }
}
