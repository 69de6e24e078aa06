//! Converts between S3's headers and our types.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::{
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
    primitives::DateTime,
    types::{ChecksumType, ObjectLockLegalHoldStatus, ServerSideEncryption, StorageClass, Tag, Tagging},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use migrate_core::model::{Sha256, Token};
use migrate_store::{Checksums, Head, Header, Properties};

/// An `ETag` without its quotes, which listings of some servers leave out.
pub(super) fn bare_tag(tag: Option<&str>) -> Box<str> {
    tag.unwrap_or_default().trim_matches('"').into()
}

/// An `ETag` in the quotes that conditions need.
pub(super) fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// The version token of a listing, HEAD or GET.
///
/// Times are cut to seconds: HEAD and GET show no finer, some servers' listings do.
pub(super) fn token(size: u64, tag: Option<&str>, modified: Option<&DateTime>) -> Token {
    Token { size, tag: bare_tag(tag), modified_s: modified.map(DateTime::secs) }
}

/// A size from the SDK's signed number; `None` if the answer has none.
pub(super) fn size(length: Option<i64>) -> Option<u64> {
    length.and_then(|length| u64::try_from(length).ok())
}

/// The MD5 in an `ETag`, if it may be one: 32 hexadecimal digits, for an object whose encryption leaves it so.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>
pub(super) fn md5_of_tag(tag: &str) -> Option<[u8; 16]> {
    let mut md5 = [0; 16];
    hex::decode_to_slice(tag, &mut md5).ok()?;
    Some(md5)
}

/// A base64 checksum of exactly `N` bytes. Composite ones carry a `-parts` suffix and are left out.
fn checksum<const N: usize>(text: Option<&str>, kind: Option<&ChecksumType>) -> Option<[u8; N]> {
    if kind == Some(&ChecksumType::Composite) {
        return None;
    }
    BASE64_STANDARD.decode(text?).ok()?.try_into().ok()
}

/// A CRC-64 in its header form: big endian, in base64.
pub(super) fn crc64_header(crc: u64) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}

/// Reads the same fields from the two outputs, which are different types in the SDK.
macro_rules! head_from {
    ($output:expr, $size:expr) => {{
        let output = $output;
        let token = token($size, output.e_tag(), output.last_modified());
        let kind = output.checksum_type();
        let hides_md5 = matches!(
            output.server_side_encryption(),
            Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse)
        ) || output.sse_customer_algorithm().is_some();
        let checksums = Checksums {
            crc64nvme: checksum(output.checksum_crc64_nvme(), kind).map(u64::from_be_bytes),
            sha256: checksum(output.checksum_sha256(), kind).map(Sha256),
            md5: if hides_md5 { None } else { md5_of_tag(&token.tag) },
        };
        let headers = [
            (Header::CacheControl, output.cache_control()),
            (Header::ContentDisposition, output.content_disposition()),
            (Header::ContentEncoding, output.content_encoding()),
            (Header::ContentLanguage, output.content_language()),
            (Header::ContentType, output.content_type()),
            (Header::Expires, output.expires_string()),
        ];
        Head {
            properties: Properties {
                headers: present(headers),
                metadata: metadata(output.metadata()),
                tags: BTreeMap::new(),
            },
            tag_count: output.tag_count().and_then(|count| u32::try_from(count).ok()),
            checksums,
            part_size: None,
            left_behind: left_behind([
                // Present, but not shown as a header.
                ("metadata", output.missing_meta().is_some_and(|count| count > 0)),
                ("redirect", output.website_redirect_location().is_some()),
                ("object-lock", output.object_lock_mode().is_some()),
                ("object-lock", output.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On)),
                ("storage-class", output.storage_class().is_some_and(|class| *class != StorageClass::Standard)),
            ]),
            archived: matches!(output.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive)),
            token,
        }
    }};
}

fn left_behind<const N: usize>(found: [(&'static str, bool); N]) -> Vec<&'static str> {
    found.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

/// The head from a HEAD. `None` without a size: such an answer must not pass for an empty object.
pub(super) fn head_of(output: &HeadObjectOutput) -> Option<Head> {
    let mut head = head_from!(output, size(output.content_length())?);
    // An archive tier of a class whose objects are otherwise readable at once.
    head.archived |= output.archive_status().is_some();
    Some(head)
}

/// The head from a GET of an object of `size` bytes.
pub(super) fn head_of_get(output: &GetObjectOutput, size: u64) -> Head {
    head_from!(output, size)
}

fn present<const N: usize>(headers: [(Header, Option<&str>); N]) -> BTreeMap<Header, String> {
    headers.into_iter().filter_map(|(header, value)| Some((header, value?.to_owned()))).collect()
}

fn metadata(metadata: Option<&HashMap<String, String>>) -> BTreeMap<String, String> {
    metadata.into_iter().flatten().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
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

/// Tags in the form of `PutObjectTagging`.
pub(super) fn tagging(tags: &BTreeMap<String, String>) -> Tagging {
    let tag = |(name, value): (&String, &String)| {
        Tag::builder().key(name).value(value).build().expect("a tag with its name and value is complete")
    };
    Tagging::builder().set_tag_set(Some(tags.iter().map(tag).collect())).build().expect("a set of tags is complete")
}

fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

/// A key of a listing with `encoding-type=url`: percent escapes, and `+` for a space. `None` if it is not UTF-8, or
/// not such an encoding at all.
pub(super) fn percent_decode(text: &str) -> Option<String> {
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
    String::from_utf8(bytes).ok()
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
    fn only_a_full_object_checksum_counts() {
        let crc = crc64_header(7);
        assert_eq!(checksum(Some(&crc), None).map(u64::from_be_bytes), Some(7));
        assert_eq!(checksum::<8>(Some(&crc), Some(&ChecksumType::Composite)), None);
        assert_eq!(checksum::<8>(Some("bad"), None), None);
    }

    #[test]
    fn a_multipart_tag_is_no_md5() {
        assert!(md5_of_tag("d41d8cd98f00b204e9800998ecf8427e").is_some());
        assert!(md5_of_tag("d41d8cd98f00b204e9800998ecf8427e-2").is_none());
    }
}
