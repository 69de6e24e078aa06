//! What clients ask of a bucket before they use it, and the documents that they send.

use hyper::StatusCode;
use quick_xml::{Reader, events::Event};

use crate::{
    answer::{Answer, Failure, empty, escaped, xml},
    endpoint::Endpoint,
    request::Named,
};

/// Settings of buckets, which no bucket here has, and what S3 says then.
const UNSET: [(&str, &str); 9] = [
    ("cors", "NoSuchCORSConfiguration"),
    ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
    ("lifecycle", "NoSuchLifecycleConfiguration"),
    ("object-lock", "ObjectLockConfigurationNotFoundError"),
    ("policy", "NoSuchBucketPolicy"),
    ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    ("replication", "ReplicationConfigurationNotFoundError"),
    ("tagging", "NoSuchTagSet"),
    ("website", "NoSuchWebsiteConfiguration"),
];

/// Settings of buckets for which S3 shows an empty document.
const EMPTY: [(&str, &str); 4] = [
    ("location", "LocationConstraint"),
    ("logging", "BucketLoggingStatus"),
    ("notification", "NotificationConfiguration"),
    ("versioning", "VersioningConfiguration"),
];

/// Answers a question for a setting; `None` if the request asks for none.
pub(crate) fn setting(named: &Named) -> Option<Result<Answer, Failure>> {
    let is_asked = |name: &&(&str, &str)| named.parameter(name.0).is_some();
    if let Some((_, root)) = EMPTY.iter().find(is_asked) {
        return Some(Ok(xml(root, "")));
    }
    UNSET.iter().find(is_asked).map(|(_, code)| Err(Failure(404, code)))
}

/// All buckets.
pub(crate) fn buckets(endpoint: &Endpoint) -> Answer {
    let bucket = |name: String| {
        format!("<Bucket><Name>{}</Name><CreationDate>2024-01-01T00:00:00Z</CreationDate></Bucket>", escaped(&name))
    };
    let buckets: String = endpoint.bucket_names().into_iter().map(bucket).collect();
    let owner = "<Owner><ID>bench</ID><DisplayName>bench</DisplayName></Owner>";
    xml("ListAllMyBucketsResult", &format!("{owner}<Buckets>{buckets}</Buckets>"))
}

/// Makes a bucket, which may be there.
pub(crate) fn make(endpoint: &Endpoint, named: &Named) -> Answer {
    endpoint.made_bucket(&named.bucket);
    empty(StatusCode::OK)
}

/// The texts of all elements without children, in order, each with its name.
pub(crate) fn texts(document: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let mut reader = Reader::from_reader(document);
    let (mut found, mut text) = (Vec::new(), String::new());
    loop {
        match reader.read_event().map_err(|_| Failure::MALFORMED_XML)? {
            Event::Start(_) => text.clear(),
            Event::Text(part) => text += &part.decode().map_err(|_| Failure::MALFORMED_XML)?,
            Event::GeneralRef(name) => {
                let name = name.decode().map_err(|_| Failure::MALFORMED_XML)?;
                text += &quick_xml::escape::unescape(&format!("&{name};")).map_err(|_| Failure::MALFORMED_XML)?;
            }
            Event::End(end) => {
                let name = String::from_utf8_lossy(end.local_name().as_ref()).into_owned();
                found.push((name, std::mem::take(&mut text)));
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

/// The tags of a document.
pub(crate) fn tags_in(document: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let mut tags = Vec::new();
    let mut key = None;
    for (name, text) in texts(document)? {
        match name.as_str() {
            "Key" => key = Some(text),
            "Value" => tags.push((key.take().ok_or(Failure::MALFORMED_XML)?, text)),
            _ => {}
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_tags() {
        let document = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b &amp; c</Value></Tag></TagSet></Tagging>";
        assert_eq!(tags_in(document).unwrap(), [("a".to_owned(), "b & c".to_owned())]);
        assert_eq!(tags_in(b"<Tagging><TagSet></Tagging>"), Err(Failure::MALFORMED_XML));
    }
}
