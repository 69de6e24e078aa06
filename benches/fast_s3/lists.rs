//! Listings: of objects (versions 1 and 2), of versions, and of uploads.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    answer::{Answer, Failure, escaped, xml},
    bucket::{Asked, Bucket, Row},
    object::Object,
    request::Named,
};

/// Keys in a page, at most.
const PAGE: usize = 1000;

const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A time as listings show it.
pub(crate) fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// How a page is asked for and shown.
struct Form<'a> {
    named: &'a Named,
    is_encoded: bool,
    most: usize,
}

impl<'a> Form<'a> {
    fn of(named: &'a Named) -> Result<Self, Failure> {
        let most = match named.parameter("max-keys") {
            Some(most) => most.parse::<usize>().map_err(|_| Failure::INVALID)?.min(PAGE),
            None => PAGE,
        };
        Ok(Self { named, is_encoded: named.parameter("encoding-type") == Some("url"), most })
    }

    fn shown(&self, key: &str) -> String {
        if self.is_encoded { utf8_percent_encode(key, &ENCODED).to_string() } else { escaped(key) }
    }

    /// The page after a key, its rows already written, with the last of them if more follows.
    fn page(&self, bucket: &Bucket, after: &str, object: &str, version: &str) -> (String, usize, Option<String>) {
        let delimiter = self.named.text("delimiter");
        let (rows, more) = bucket.list(&Asked { prefix: self.named.text("prefix"), delimiter, after, most: self.most });
        let mut text = String::with_capacity(rows.len() * 256);
        let (mut second, mut written) = (0, time(0));
        for row in &rows {
            match row {
                Row::Object(key, found) => {
                    let Object { size, tag, modified_s, .. } = &**found;
                    // Neighbours are mostly of one second.
                    if second != *modified_s {
                        (second, written) = (*modified_s, time(*modified_s));
                    }
                    let key = self.shown(key);
                    let _ = write!(
                        text,
                        "<{object}><Key>{key}</Key>{version}<LastModified>{written}</LastModified>\
                         <ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></{object}>"
                    );
                }
                Row::Prefix(prefix) => {
                    let prefix = self.shown(prefix);
                    let _ = write!(text, "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
                }
            }
        }
        let last = rows.last().filter(|_| more).map(|(Row::Object(name, _) | Row::Prefix(name))| name.clone());
        (text, rows.len(), last)
    }

    fn frame(&self, more: bool) -> String {
        let Self { named, most, .. } = self;
        let (bucket, prefix) = (escaped(&named.bucket), self.shown(named.text("prefix")));
        let delimiter = match named.text("delimiter") {
            "" => String::new(),
            delimiter => format!("<Delimiter>{}</Delimiter>", self.shown(delimiter)),
        };
        let encoding = if self.is_encoded { "<EncodingType>url</EncodingType>" } else { "" };
        format!(
            "<Name>{bucket}</Name><Prefix>{prefix}</Prefix>{delimiter}{encoding}<MaxKeys>{most}</MaxKeys>\
             <IsTruncated>{more}</IsTruncated>"
        )
    }
}

/// Objects, as `list-type=2` or the first version has it. The token of the next page is the last key, as hexadecimal
/// digits.
pub(crate) fn objects(bucket: &Bucket, named: &Named) -> Result<Answer, Failure> {
    let form = Form::of(named)?;
    let is_second = named.parameter("list-type") == Some("2");
    let token = named.parameter("continuation-token");
    let after = match token {
        Some(token) => {
            let key = hex::decode(token).map_err(|_| Failure::INVALID)?;
            String::from_utf8(key).map_err(|_| Failure::INVALID)?
        }
        None if is_second => named.text("start-after").to_owned(),
        None => named.text("marker").to_owned(),
    };
    let (rows, count, last) = form.page(bucket, &after, "Contents", "");
    let mut inside = form.frame(last.is_some());
    match (is_second, last) {
        (true, last) => {
            let _ = write!(inside, "<KeyCount>{count}</KeyCount>");
            if let Some(token) = token {
                let _ = write!(inside, "<ContinuationToken>{token}</ContinuationToken>");
            }
            if let Some(last) = last {
                let _ = write!(inside, "<NextContinuationToken>{}</NextContinuationToken>", hex::encode(last));
            }
        }
        (false, last) => {
            let _ = write!(inside, "<Marker>{}</Marker>", form.shown(&after));
            if let Some(last) = last {
                let _ = write!(inside, "<NextMarker>{}</NextMarker>", form.shown(&last));
            }
        }
    }
    Ok(xml("ListBucketResult", &(inside + &rows)))
}

/// Versions, of which each object has one.
pub(crate) fn versions(bucket: &Bucket, named: &Named) -> Result<Answer, Failure> {
    let form = Form::of(named)?;
    let version = "<VersionId>null</VersionId><IsLatest>true</IsLatest>";
    let (rows, _, last) = form.page(bucket, named.text("key-marker"), "Version", version);
    let mut inside = form.frame(last.is_some());
    if let Some(last) = last {
        let last = form.shown(&last);
        let _ = write!(inside, "<NextKeyMarker>{last}</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker>");
    }
    Ok(xml("ListVersionsResult", &(inside + &rows)))
}

/// All uploads under a prefix, in one page.
pub(crate) fn uploads(bucket: &Bucket, named: &Named) -> Answer {
    let mut inside = format!("<Bucket>{}</Bucket><IsTruncated>false</IsTruncated>", escaped(&named.bucket));
    for (id, upload) in bucket.uploads().iter().filter(|(_, upload)| upload.key.starts_with(named.text("prefix"))) {
        let (key, begun) = (escaped(&upload.key), time(upload.begun_s));
        let _ = write!(
            inside,
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><StorageClass>STANDARD</StorageClass>\
             <Initiated>{begun}</Initiated></Upload>"
        );
    }
    xml("ListMultipartUploadsResult", &inside)
}
