//! One multipart upload: its parts, and the object they become.

use std::{collections::BTreeMap, time::SystemTime};

use bytes::Bytes;
use s3s::{S3Error, S3Result, s3_error};

use super::{
    checksums::{self, Checksum, Kind},
    condition::Condition,
    objects::{Content, Data, StoredPart, now},
};

/// An upload under way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) initiated: SystemTime,
    /// What the object will carry; its data and `ETag` are still empty.
    pub(super) template: Content,
    /// The checksum that was declared when it began.
    pub(super) declared: Option<Declared>,
    pub(super) parts: BTreeMap<i32, Part>,
}

/// The checksum that an upload was begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) kind: Kind,
    pub(super) composite: bool,
}

impl Declared {
    /// Reads `x-amz-checksum-algorithm` and `-type`, with S3's defaults and refusals.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
    pub(super) fn parse(algorithm: &str, kind_of_checksum: Option<&str>) -> S3Result<Self> {
        let kind = Kind::parse(algorithm)?;
        let composite = match (kind, kind_of_checksum) {
            (Kind::Crc64Nvme, None | Some("FULL_OBJECT")) | (Kind::Crc32 | Kind::Crc32c, Some("FULL_OBJECT")) => false,
            (Kind::Crc64Nvme, _) | (_, Some("FULL_OBJECT")) => {
                let name = kind_of_checksum.unwrap_or_default();
                return Err(s3_error!(
                    InvalidRequest,
                    "The {name} checksum type cannot be used with the {} checksum algorithm.",
                    kind.name()
                ));
            }
            _ => true,
        };
        Ok(Self { kind, composite })
    }
}

/// A part that has arrived.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) data: Data,
    pub(super) md5: [u8; 16],
    /// Without quotes.
    pub(super) etag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) modified: SystemTime,
}

impl Part {
    /// Hashes a part. `kind` is `None` if no checksums are kept.
    pub(super) fn new(segments: Vec<Bytes>, kind: Option<Kind>) -> Self {
        let md5 = checksums::md5(&segments);
        let checksum = kind.map(|kind| Checksum::full(kind, &segments));
        Self { data: Data::new(segments), md5, etag: hex::encode(md5), checksum, modified: now() }
    }
}

/// A part as a completion names it.
#[derive(Debug)]
pub(super) struct ListedPart {
    pub(super) number: i32,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) checksum: Option<(Kind, String)>,
}

/// The request of a completion.
#[derive(Debug)]
pub(super) struct Completion {
    /// The parts as the client listed them.
    pub(super) parts: Vec<ListedPart>,
    pub(super) condition: Condition,
    /// The object's checksum, if the client sends it.
    pub(super) checksum: Option<(Kind, String)>,
    /// The object's size, if the client sends it.
    pub(super) size: Option<u64>,
    pub(super) part_size_min: u64,
    /// Made up in place of the MD5 of MD5s.
    pub(super) etag: Option<String>,
}

impl Upload {
    pub(super) fn finish(&self, completion: &Completion) -> S3Result<Content> {
        let chosen = self.choose(completion)?;
        let too_small = chosen.iter().rev().skip(1).any(|(_, part)| part.data.size < completion.part_size_min);
        if too_small {
            return Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size of {} bytes.",
                completion.part_size_min
            ));
        }
        let segments: Vec<Bytes> = chosen.iter().flat_map(|(_, part)| part.data.segments.iter().cloned()).collect();
        let data = Data::new(segments);
        if completion.size.is_some_and(|size| size != data.size) {
            return Err(s3_error!(InvalidRequest, "The provided 'x-amz-mp-object-size' header does not match."));
        }
        let checksum = self.checksum(&chosen);
        check_declared(completion.checksum.as_ref(), checksum.as_ref())?;
        let md5s: Vec<u8> = chosen.iter().flat_map(|(_, part)| part.md5).collect();
        let md5_of_md5s = hex::encode(checksums::md5(&[md5s.into()]));
        let etag = completion.etag.clone().unwrap_or_else(|| format!("{md5_of_md5s}-{}", chosen.len()));
        let parts = chosen
            .iter()
            .map(|(number, part)| StoredPart {
                number: *number,
                size: part.data.size,
                checksum: part.checksum.clone().filter(|_| self.declared.is_some()),
            })
            .collect();
        Ok(Content { data, etag, checksum, parts, ..self.template.clone() })
    }

    /// The parts that the client listed, checked.
    fn choose(&self, completion: &Completion) -> S3Result<Vec<(i32, &Part)>> {
        if completion.parts.is_empty() {
            return Err(s3_error!(MalformedXML, "You must specify at least one part"));
        }
        if !completion.parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
        }
        let needs_checksums = self.declared.is_some_and(|declared| declared.composite);
        let mut chosen = Vec::with_capacity(completion.parts.len());
        for ListedPart { number, etag, checksum } in &completion.parts {
            let part = self.parts.get(number).filter(|part| part.etag == *etag).ok_or_else(|| invalid_part(*number))?;
            match (checksum, &part.checksum) {
                (Some((kind, text)), Some(kept)) if *kind != kept.kind || *text != kept.text() => {
                    return Err(invalid_part(*number));
                }
                (None, Some(kept)) if needs_checksums => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The upload was created using a {} checksum. The complete request must include the checksum \
                         for each part. It was missing for part {number} in the request.",
                        kept.kind.name().to_ascii_lowercase()
                    ));
                }
                _ => chosen.push((*number, part)),
            }
        }
        Ok(chosen)
    }

    fn checksum(&self, chosen: &[(i32, &Part)]) -> Option<Checksum> {
        let kind = chosen.first()?.1.checksum.as_ref()?.kind;
        let values: Option<Vec<(u64, &[u8])>> =
            chosen.iter().map(|(_, part)| Some((part.data.size, part.checksum.as_ref()?.value.as_slice()))).collect();
        let composite = self.declared.is_some_and(|declared| declared.composite);
        Some(Checksum::of_parts(kind, composite, &values?))
    }
}

fn check_declared(declared: Option<&(Kind, String)>, actual: Option<&Checksum>) -> S3Result<()> {
    let (Some((kind, text)), Some(actual)) = (declared, actual) else { return Ok(()) };
    // A composite may be declared with or without its number of parts.
    let actual_text = actual.text();
    let bare = actual_text.split('-').next();
    if *kind == actual.kind && (*text == actual_text || Some(text.as_str()) == bare) {
        return Ok(());
    }
    Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", kind.name()))
}

fn invalid_part(number: i32) -> S3Error {
    s3_error!(InvalidPart, "Part {number} could not be found, or its entity tag or checksum did not match.")
}
