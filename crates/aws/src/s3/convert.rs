//! Converts between S3's headers and our types.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::wire::plain::Shown;
use crate::operation::Operation;
use migrate_core::model::{Sha256, Token};
use migrate_store::{Checksums, ErrorKind, Head, Header, MetadataForm, Properties, Result};

/// An `ETag` without its quotes, which listings of some servers leave out.
pub(super) fn bare_tag(tag: Option<&str>) -> Box<str> {
    tag.unwrap_or_default().trim_matches('"').into()
}

/// The same of a text that is not needed any more.
pub(super) fn bare_tag_of(mut tag: String) -> Box<str> {
    tag.truncate(tag.trim_end_matches('"').len());
    tag.drain(..tag.len() - tag.trim_start_matches('"').len());
    tag.into()
}

/// An `ETag` in the quotes that conditions need.
pub(super) fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// The version token of a listing, HEAD or GET.
///
/// Times are cut to seconds: HEAD and GET show no finer, some servers' listings do.
pub(super) fn token(size: u64, tag: Option<&str>, modified_s: Option<i64>) -> Token {
    Token { size, tag: bare_tag(tag), modified: modified_s.into() }
}

/// The MD5 in an `ETag`, if it may be one: 32 hexadecimal digits, for an object whose encryption leaves it so.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>
pub(super) fn md5_of_tag(tag: &str) -> Option<[u8; 16]> {
    let mut md5 = [0; 16];
    hex::decode_to_slice(tag, &mut md5).ok()?;
    Some(md5)
}

/// A base64 checksum of exactly `N` bytes. Composite ones carry a `-parts` suffix and are left out.
fn checksum<const N: usize>(text: Option<&str>, is_composite: bool) -> Option<[u8; N]> {
    if is_composite {
        return None;
    }
    BASE64_STANDARD.decode(text?).ok()?.try_into().ok()
}

/// A CRC-64 in its header form: big endian, in base64.
pub(super) fn crc64_header(crc: u64) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}

/// The head from the headers of an answer, for an object of `size` bytes.
pub(super) fn head_of(shown: Shown, size: u64) -> Head {
    let token = token(size, shown.tag.as_deref(), shown.modified_s);
    let class = shown.storage_class.as_deref();
    let hides_md5 = matches!(shown.encryption.as_deref(), Some("aws:kms" | "aws:kms:dsse")) || shown.has_customer_key;
    let checksums = Checksums {
        crc64nvme: checksum(shown.crc64nvme.as_deref(), shown.is_composite).map(u64::from_be_bytes),
        sha256: checksum(shown.sha256.as_deref(), shown.is_composite).map(Sha256),
        md5: if hides_md5 { None } else { md5_of_tag(&token.tag) },
    };
    Head {
        tag_count: shown.tag_count,
        checksums,
        part_size: None,
        left_behind: left_behind([
            // Present, but not shown as a header.
            ("metadata", shown.hides_metadata),
            ("redirect", shown.redirects),
            ("object-lock", shown.is_retained),
            ("object-lock", shown.has_legal_hold),
            ("storage-class", class.is_some_and(|class| class != "STANDARD")),
        ]),
        archived: shown.is_archived || matches!(class, Some("GLACIER" | "DEEP_ARCHIVE")),
        properties: Properties { headers: shown.headers, metadata: metadata(shown.metadata), tags: BTreeMap::new() },
        token,
    }
}

fn left_behind<const N: usize>(found: [(&'static str, bool); N]) -> Vec<&'static str> {
    found.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

fn metadata(metadata: HashMap<String, String>) -> BTreeMap<String, String> {
    metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// The `Content-Type` to write. If the source has none, it is the one that means "unspecified". If it were left
/// out, it could be sent with a body and not with the begin of an upload, and the server would guess.
pub(super) fn content_type(properties: &Properties) -> &str {
    properties.headers.get(&Header::ContentType).map_or("application/octet-stream", String::as_str)
}

/// User metadata as headers; an error if a client would read something else there.
pub(super) fn sent_metadata(
    properties: &Properties,
    form: MetadataForm,
    operation: Operation<'_>,
) -> Result<Option<HashMap<String, String>>> {
    if properties.metadata.is_empty() {
        return Ok(None);
    }
    let sent = properties.metadata.iter().map(|(name, value)| {
        let unread = || {
            let detail = format!("it does not show the metadata {name:?} as it is, which is not ASCII");
            operation.error(ErrorKind::Unsupported, detail)
        };
        let sent = form.sent(value).ok_or_else(unread)?;
        Ok((name.clone(), sent.into_owned()))
    });
    sent.collect::<Result<_>>().map(Some)
}

/// Tags in the form of the `x-amz-tagging` header: a query string.
pub(super) fn tagging_header(tags: &BTreeMap<String, String>) -> Option<String> {
    if tags.is_empty() {
        return None;
    }
    let pairs: Vec<_> =
        tags.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value))).collect();
    Some(pairs.join("&"))
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    push_encoded(&mut encoded, text, false);
    encoded
}

/// Writes `text` as part of a URL: every byte but letters, digits and `-._~` is escaped, and `/` if `keeps_slash` is not
/// set. <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
pub(super) fn push_encoded(url: &mut String, text: &str, keeps_slash: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keeps_slash && byte == b'/') {
            url.push(char::from(byte));
        } else {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
            url.extend(['%', high, low]);
        }
    }
}

/// A key of a listing with `encoding-type=url`: percent escapes, and `+` for a space. `None` if it is not UTF-8, or
/// not such an encoding at all.
pub(super) fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let mut decoded = [0];
                hex::decode_to_slice(digits, &mut decoded).ok()?;
                decoded[0]
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_url_encoding() {
        for key in ["a b", "a+b", "100%", "a/ü/😀", "\u{1}\n", "?&#="] {
            assert_eq!(percent_decode(&percent_encode(key)).as_deref(), Some(key));
        }
        assert_eq!(percent_decode("a+b").as_deref(), Some("a b"));
        assert_eq!(percent_decode("%zz"), None);
        assert_eq!(percent_decode("%4"), None);
        assert_eq!(percent_decode("%FF"), None);
    }

    #[test]
    fn a_tag_is_bare_however_it_came() {
        for (tag, bare) in [("\"a\"", "a"), ("a", "a"), ("\"", ""), ("", ""), ("\"\"a\"b", "a\"b"), ("\"\"\"", "")] {
            assert_eq!((&*bare_tag(Some(tag)), &*bare_tag_of(tag.to_owned())), (bare, bare), "{tag}");
        }
    }

    #[test]
    fn only_a_full_object_checksum_counts() {
        let crc = crc64_header(7);
        assert_eq!(checksum(Some(&crc), false).map(u64::from_be_bytes), Some(7));
        assert_eq!(checksum::<8>(Some(&crc), true), None);
        assert_eq!(checksum::<8>(Some("bad"), false), None);
    }

    #[test]
    fn a_multipart_tag_is_no_md5() {
        assert!(md5_of_tag("d41d8cd98f00b204e9800998ecf8427e").is_some());
        assert!(md5_of_tag("d41d8cd98f00b204e9800998ecf8427e-2").is_none());
    }
}
