//! Listings as S3 answers them: objects in both versions of the protocol, versions, uploads.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        self, CommonPrefix, DeleteMarkerEntry, EncodingType, ListMultipartUploadsInput, ListMultipartUploadsOutput,
        ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
        ListObjectsV2Output, MultipartUpload, ObjectVersion,
    },
    s3_error,
};

use super::{
    arrived::Arrived,
    headers::quoted,
    listing::{Line, Page, Query, Start, UploadLine},
    percent::url_encode,
    service::Service,
    storage_class,
};

/// The most lines that S3 shows on a page.
const MAX_KEYS: i32 = 1000;

/// Whether keys are shown percent-encoded.
fn encoder(encoding: Option<&EncodingType>) -> S3Result<fn(&str) -> String> {
    match encoding.map(EncodingType::as_str) {
        None => Ok(str::to_owned),
        Some("url") => Ok(url_encode),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

fn page_size(asked: Option<i32>) -> S3Result<(i32, usize)> {
    let max = asked.unwrap_or(MAX_KEYS).min(MAX_KEYS);
    match usize::try_from(max) {
        Ok(size) => Ok((max, size)),
        Err(_) => Err(s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")),
    }
}

/// A continuation token: a letter, then the end of the page in hexadecimal.
fn token_after(line: &Line) -> String {
    match line {
        Line::Object { key, .. } => format!("k{}", hex::encode(key.as_bytes())),
        Line::Prefix(prefix) => format!("p{}", hex::encode(prefix)),
    }
}

fn read_token(token: &str) -> S3Result<(char, String)> {
    let invalid = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let (kind, text) = token.split_at_checked(1).ok_or_else(invalid)?;
    let bytes = hex::decode(text).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    match kind {
        "k" => Ok(('k', text)),
        "p" => Ok(('p', text)),
        _ => Err(invalid()),
    }
}

/// A page's objects and rolled-up prefixes as S3 shows them.
struct Shown {
    contents: Vec<dto::Object>,
    prefixes: Vec<CommonPrefix>,
}

impl Service {
    fn show(&self, page: &Page, encode: fn(&str) -> String, with_owner: bool) -> Shown {
        let mut shown = Shown { contents: Vec::new(), prefixes: Vec::new() };
        for line in &page.lines {
            match line {
                Line::Prefix(prefix) => shown.prefixes.push(CommonPrefix { prefix: Some(encode(prefix)) }),
                Line::Object { key, stored, .. } => {
                    let Some(content) = &stored.content else { continue };
                    let checksum = content.checksum.as_ref();
                    shown.contents.push(dto::Object {
                        checksum_algorithm: checksum.map(|sum| vec![sum.kind.name().to_owned().into()]),
                        checksum_type: checksum.map(|sum| sum.type_name().to_owned().into()),
                        e_tag: Some(quoted(&content.etag)),
                        key: Some(encode(key)),
                        last_modified: Some(stored.modified.into()),
                        owner: with_owner.then(|| self.owner()),
                        size: i64::try_from(content.data.size).ok(),
                        storage_class: Some(storage_class::shown(content.storage_class.as_deref()).to_owned().into()),
                        ..dto::Object::default()
                    });
                }
            }
        }
        if self.config.quirks.listing_unordered {
            shown.contents.reverse();
        }
        shown
    }

    fn page(&self, bucket: &str, query: Query<'_>, outdated: bool) -> S3Result<Page> {
        let state = self.buckets.read();
        let bucket = state.bucket(bucket)?;
        let omit = bucket.newest.as_deref().filter(|_| outdated);
        Ok(bucket.list(Query { omit, ..query }))
    }

    pub(super) fn page_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let outdated = Arrived::with(&request).is_stale();
        let input = request.input;
        let encode = encoder(input.encoding_type.as_ref())?;
        let (max_keys, max) = page_size(input.max_keys)?;
        let token = input.continuation_token.as_deref().map(read_token).transpose()?;
        let start = match (&token, &input.start_after) {
            (Some(('p', prefix)), _) => Start::PastPrefix(prefix),
            (Some((_, key)), _) | (None, Some(key)) => Start::After(key),
            (None, None) => Start::Beginning,
        };
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let page = self.page(&input.bucket, Query { prefix, delimiter, start, max, omit: None }, outdated)?;
        let shown = self.show(&page, encode, input.fetch_owner == Some(true));
        let output = ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: i32::try_from(page.lines.len()).ok(),
            max_keys: Some(max_keys),
            is_truncated: Some(page.more),
            next_continuation_token: page.lines.last().filter(|_| page.more).map(token_after),
            continuation_token: input.continuation_token,
            prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.as_deref().map(encode),
            start_after: input.start_after.as_deref().map(encode),
            encoding_type: input.encoding_type,
            contents: Some(shown.contents),
            common_prefixes: Some(shown.prefixes),
            ..ListObjectsV2Output::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) fn page_v1(&self, request: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let outdated = Arrived::with(&request).is_stale();
        let input = request.input;
        let encode = encoder(input.encoding_type.as_ref())?;
        let (max_keys, max) = page_size(input.max_keys)?;
        let start = input.marker.as_deref().filter(|marker| !marker.is_empty()).map_or(Start::Beginning, Start::After);
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let page = self.page(&input.bucket, Query { prefix, delimiter, start, max, omit: None }, outdated)?;
        let shown = self.show(&page, encode, true);
        let next = page.lines.last().map(|line| match line {
            Line::Object { key, .. } => encode(key),
            Line::Prefix(prefix) => encode(prefix),
        });
        let output = ListObjectsOutput {
            name: Some(input.bucket),
            max_keys: Some(max_keys),
            is_truncated: Some(page.more),
            // Without a delimiter the client goes on from the last key.
            next_marker: next.filter(|_| page.more && delimiter.is_some()),
            prefix: Some(encode(prefix)),
            delimiter: input.delimiter.as_deref().map(encode),
            marker: Some(encode(input.marker.as_deref().unwrap_or_default())),
            encoding_type: input.encoding_type.clone(),
            contents: Some(shown.contents),
            common_prefixes: Some(shown.prefixes),
            ..ListObjectsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) fn page_of_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let outdated = Arrived::with(&request).is_stale();
        let input = request.input;
        let encode = encoder(input.encoding_type.as_ref())?;
        let (max_keys, max) = page_size(input.max_keys)?;
        let non_empty = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let (key_marker, version_marker) = (non_empty(&input.key_marker), non_empty(&input.version_id_marker));
        let start = match (&key_marker, &version_marker) {
            (Some(key), Some(version)) => Start::AfterVersion(key, version),
            (Some(key), None) => Start::After(key),
            (None, Some(_)) => {
                return Err(s3_error!(
                    InvalidArgument,
                    "A version-id marker cannot be specified without a key marker."
                ));
            }
            (None, None) => Start::Beginning,
        };
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let page = {
            let state = self.buckets.read();
            let bucket = state.bucket(&input.bucket)?;
            let omit = bucket.newest.as_deref().filter(|_| outdated);
            bucket.list_versions(Query { prefix, delimiter, start, max, omit })
        };
        let mut output = ListObjectVersionsOutput {
            is_truncated: Some(page.more),
            max_keys: Some(max_keys),
            name: Some(input.bucket.clone()),
            prefix: Some(encode(prefix)),
            delimiter: input.delimiter.as_deref().map(encode),
            key_marker: Some(encode(input.key_marker.as_deref().unwrap_or_default())),
            version_id_marker: input.version_id_marker.clone(),
            encoding_type: input.encoding_type.clone(),
            ..ListObjectVersionsOutput::default()
        };
        if let Some(last) = page.lines.last().filter(|_| page.more) {
            match last {
                Line::Object { key, stored, .. } => {
                    output.next_key_marker = Some(encode(key));
                    output.next_version_id_marker = Some(stored.version.to_string());
                }
                Line::Prefix(prefix) => output.next_key_marker = Some(encode(prefix)),
            }
        }
        self.show_versions(page, encode, &mut output);
        Ok(S3Response::new(output))
    }

    fn show_versions(&self, page: Page, encode: fn(&str) -> String, output: &mut ListObjectVersionsOutput) {
        let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
        for line in page.lines {
            let Line::Object { key, stored, latest } = line else {
                if let Line::Prefix(prefix) = line {
                    prefixes.push(CommonPrefix { prefix: Some(encode(&prefix)) });
                }
                continue;
            };
            match &stored.content {
                None => markers.push(DeleteMarkerEntry {
                    is_latest: Some(latest),
                    key: Some(encode(&key)),
                    last_modified: Some(stored.modified.into()),
                    owner: Some(self.owner()),
                    version_id: Some(stored.version.to_string()),
                }),
                Some(content) => versions.push(ObjectVersion {
                    e_tag: Some(quoted(&content.etag)),
                    is_latest: Some(latest),
                    key: Some(encode(&key)),
                    last_modified: Some(stored.modified.into()),
                    owner: Some(self.owner()),
                    size: i64::try_from(content.data.size).ok(),
                    storage_class: Some(storage_class::shown(content.storage_class.as_deref()).to_owned().into()),
                    version_id: Some(stored.version.to_string()),
                    ..ObjectVersion::default()
                }),
            }
        }
        output.versions = Some(versions);
        output.delete_markers = Some(markers);
        output.common_prefixes = Some(prefixes);
    }

    pub(super) fn all_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let encode = encoder(input.encoding_type.as_ref())?;
        let (max_uploads, max) = page_size(input.max_uploads)?;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let start = match (input.key_marker.as_deref().unwrap_or_default(), input.upload_id_marker.as_deref()) {
            ("", _) => Start::Beginning,
            (key, None) => Start::After(key),
            (key, Some(id)) => Start::AfterVersion(key, id),
        };
        let state = self.buckets.read();
        let page = state.bucket(&input.bucket)?.list_uploads(Query { prefix, delimiter, start, max, omit: None });
        let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
        for line in &page.lines {
            match line {
                UploadLine::Prefix { prefix, .. } => prefixes.push(CommonPrefix { prefix: Some(encode(prefix)) }),
                UploadLine::Upload { key, id, upload } => uploads.push(MultipartUpload {
                    checksum_algorithm: upload.declared.map(|declared| declared.kind.name().to_owned().into()),
                    initiated: Some(upload.initiated.into()),
                    key: Some(encode(key)),
                    owner: Some(self.owner()),
                    storage_class: Some(
                        storage_class::shown(upload.template.storage_class.as_deref()).to_owned().into(),
                    ),
                    upload_id: Some((*id).to_owned()),
                    ..MultipartUpload::default()
                }),
            }
        }
        let (next_key, next_id) = match page.lines.last().filter(|_| page.more) {
            Some(UploadLine::Upload { key, id, .. }) => (Some(encode(key)), Some((*id).to_owned())),
            Some(UploadLine::Prefix { last_key, .. }) => (Some(encode(last_key)), None),
            None => (None, None),
        };
        let output = ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.as_deref().map(encode),
            encoding_type: input.encoding_type.clone(),
            is_truncated: Some(page.more),
            key_marker: input.key_marker.as_deref().map(encode),
            max_uploads: Some(max_uploads),
            next_key_marker: next_key,
            next_upload_id_marker: next_id,
            prefix: Some(encode(prefix)),
            upload_id_marker: input.upload_id_marker.clone(),
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        };
        Ok(S3Response::new(output))
    }
}
