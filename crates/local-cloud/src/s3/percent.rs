//! Percent-encoding, as S3 writes and reads it.

use std::fmt::Write as _;

/// Encodes a key as a listing with `encoding-type=url` shows it: `/` stays, a space becomes `+`.
/// Seen in S3's own answers; <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
/// gives `test_file%283%29.png` as an example.
pub(super) fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => write!(out, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    out
}

/// Decodes one name or value of a form-encoded text; `None` if it is not UTF-8 or malformed.
pub(super) fn form_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let text = "a b+c/%&?#\u{1}\u{1f600}";
        let encoded = url_encode(text);
        assert_eq!(encoded, "a+b%2Bc/%25%26%3F%23%01%F0%9F%98%80");
        assert_eq!(form_decode(&encoded).unwrap(), text);
        assert_eq!(form_decode("%4"), None);
        assert_eq!(form_decode("%ff"), None);
    }
}
