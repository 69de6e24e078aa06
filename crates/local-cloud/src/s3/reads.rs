//! Reads: GET, HEAD and attributes.

use std::{
    collections::VecDeque,
    convert::Infallible,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    body::{Frame, SizeHint},
};
use s3s::{
    Body, S3Request, S3Response, S3Result,
    dto::{
        self, ETagCondition, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
        GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectPart, StreamingBlob, Timestamp,
    },
    s3_error,
};

use super::{
    archive::{check_restored, restored},
    arrived::Arrived,
    checksums::fill_checksum,
    errors::{custom_error, precondition_failed},
    headers::quoted,
    objects::{Content, Stored},
    service::Service,
    versions::find,
};

/// The object that GET or HEAD asks for, and the conditions.
struct Ask<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<&'a str>,
    if_match: Option<&'a ETagCondition>,
    if_none_match: Option<&'a ETagCondition>,
    modified_since: Option<&'a Timestamp>,
    unmodified_since: Option<&'a Timestamp>,
    range: Option<dto::Range>,
    part: Option<i32>,
}

macro_rules! ask {
    ($input:expr) => {
        Ask {
            bucket: &$input.bucket,
            key: &$input.key,
            version: $input.version_id.as_deref(),
            if_match: $input.if_match.as_ref(),
            if_none_match: $input.if_none_match.as_ref(),
            modified_since: $input.if_modified_since.as_ref(),
            unmodified_since: $input.if_unmodified_since.as_ref(),
            range: $input.range,
            part: $input.part_number,
        }
    };
}

/// The object that was found.
struct Found {
    stored: Arc<Stored>,
    shown_version: Option<String>,
    /// The range to answer with; `None` for the whole object with 200.
    range: Option<Range<u64>>,
    parts_count: Option<i32>,
}

impl Found {
    fn content(&self) -> &Content {
        self.stored.content.as_ref().expect("only versions with content are found")
    }

    fn length(&self) -> u64 {
        self.range.as_ref().map_or(self.content().data.size, |range| range.end - range.start)
    }

    fn content_range(&self) -> Option<String> {
        let size = self.content().data.size;
        let range = self.range.as_ref()?;
        // An empty object read by part number has no byte to name.
        (range.end > range.start).then(|| format!("bytes {}-{}/{size}", range.start, range.end - 1))
    }
}

fn holds(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(asked) => asked.value() == etag,
    }
}

impl Service {
    fn find(&self, ask: &Ask<'_>) -> S3Result<Found> {
        let state = self.buckets.read();
        let stored = find(&state, ask.bucket, ask.key, ask.version)?;
        let shown_version = state.bucket(ask.bucket)?.shown_version(&stored);
        let content = stored.content.as_ref().expect("only versions with content are found");
        let modified = Timestamp::from(stored.modified);
        match ask.if_match {
            Some(condition) if !holds(condition, &content.etag) => return Err(precondition_failed()),
            None if ask.unmodified_since.is_some_and(|since| modified > *since) => return Err(precondition_failed()),
            _ => {}
        }
        let unchanged = match ask.if_none_match {
            Some(condition) => holds(condition, &content.etag),
            None => ask.modified_since.is_some_and(|since| modified <= *since),
        };
        if unchanged {
            return Err(s3_error!(NotModified, "Not Modified"));
        }
        let (range, parts_count) = choose_range(content, ask)?;
        Ok(Found { stored, shown_version, range, parts_count })
    }

    /// Content headers as they were stored, and the number of tags.
    fn stored_headers(&self, content: &Content, is_head: bool) -> HeaderMap {
        let mut headers: HeaderMap = content.headers.iter().cloned().collect();
        let quirks = self.config.quirks;
        let hides = quirks.no_tag_count || (is_head && quirks.no_tag_count_on_head);
        if !hides && !content.tags.is_empty() {
            headers.insert("x-amz-tagging-count", content.tags.len().into());
        }
        headers
    }

    pub(super) fn get(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let range = Arrived::with(&request).range(request.input.range);
        let input = GetObjectInput { range, ..request.input };
        let found = self.find(&ask!(input))?;
        let content = found.content();
        check_restored(content)?;
        let segments = match &found.range {
            Some(range) => content.data.slice(range),
            None => content.data.segments.clone(),
        };
        let mut headers = self.stored_headers(content, false);
        let metadata = self.config.quirks.shown_metadata(content, &mut headers);
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(body_of(segments)),
            content_length: i64::try_from(found.length()).ok(),
            content_range: found.content_range(),
            e_tag: Some(quoted(&content.etag)),
            last_modified: Some(found.stored.modified.into()),
            metadata,
            object_lock_legal_hold_status: content.lock.shown_hold(),
            object_lock_mode: content.lock.retention.as_ref().map(|retention| retention.mode.name().to_owned().into()),
            object_lock_retain_until_date: content.lock.retention.as_ref().map(|retention| retention.until.clone()),
            parts_count: found.parts_count,
            restore: restored(&found.stored),
            storage_class: content.storage_class.clone().map(Into::into),
            version_id: found.shown_version.clone(),
            ..GetObjectOutput::default()
        };
        if let (Some(_), None, Some(checksum)) = (&input.checksum_mode, &found.range, &content.checksum) {
            fill_checksum!(output, checksum);
            output.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        let overridden = [
            ("cache-control", input.response_cache_control.is_some()),
            ("content-disposition", input.response_content_disposition.is_some()),
            ("content-encoding", input.response_content_encoding.is_some()),
            ("content-language", input.response_content_language.is_some()),
            ("content-type", input.response_content_type.is_some()),
            ("expires", input.response_expires.is_some()),
        ];
        for (name, _) in overridden.iter().filter(|(_, overridden)| *overridden) {
            headers.remove(*name);
        }
        Ok(S3Response { headers, status: partial(&found), ..S3Response::new(output) })
    }

    pub(super) fn head(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let found = self.find(&ask!(input))?;
        let content = found.content();
        let mut headers = self.stored_headers(content, true);
        let metadata = self.config.quirks.shown_metadata(content, &mut headers);
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(found.length()).ok(),
            content_range: found.content_range(),
            e_tag: Some(quoted(&content.etag)),
            last_modified: Some(found.stored.modified.into()),
            metadata,
            object_lock_legal_hold_status: content.lock.shown_hold(),
            object_lock_mode: content.lock.retention.as_ref().map(|retention| retention.mode.name().to_owned().into()),
            object_lock_retain_until_date: content.lock.retention.as_ref().map(|retention| retention.until.clone()),
            parts_count: found.parts_count,
            restore: restored(&found.stored),
            storage_class: content.storage_class.clone().map(Into::into),
            version_id: found.shown_version.clone(),
            ..HeadObjectOutput::default()
        };
        if let (Some(_), None, Some(checksum)) = (&input.checksum_mode, &found.range, &content.checksum) {
            fill_checksum!(output, checksum);
            output.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        Ok(S3Response { headers, status: partial(&found), ..S3Response::new(output) })
    }

    pub(super) fn attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = request.input;
        let state = self.buckets.read();
        let stored = find(&state, &input.bucket, &input.key, input.version_id.as_deref())?;
        let content = stored.content.as_ref().expect("only versions with content are found");
        // One header may carry several names.
        let asks = |name: &str| {
            let mut names = input.object_attributes.iter().flat_map(|list| list.as_str().split(','));
            names.any(|asked| asked.trim() == name)
        };
        let checksum = content.checksum.as_ref().filter(|_| asks("Checksum")).map(|checksum| {
            let mut output = dto::Checksum::default();
            fill_checksum!(output, checksum);
            output.checksum_type = Some(checksum.type_name().to_owned().into());
            output
        });
        let with_parts = asks("ObjectParts") && !content.parts.is_empty();
        let output = GetObjectAttributesOutput {
            checksum,
            e_tag: asks("ETag").then(|| quoted(&content.etag)),
            last_modified: Some(stored.modified.into()),
            object_parts: with_parts.then(|| attribute_parts(content, &input)),
            object_size: i64::try_from(content.data.size).ok().filter(|_| asks("ObjectSize")),
            storage_class: asks("StorageClass")
                .then(|| content.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()).into()),
            version_id: state.bucket(&input.bucket)?.shown_version(&stored),
            ..GetObjectAttributesOutput::default()
        };
        Ok(S3Response::new(output))
    }
}

/// 206, also if no byte can be named.
fn partial(found: &Found) -> Option<StatusCode> {
    found.range.as_ref().map(|_| StatusCode::PARTIAL_CONTENT)
}

fn choose_range(content: &Content, ask: &Ask<'_>) -> S3Result<(Option<Range<u64>>, Option<i32>)> {
    let size = content.data.size;
    match (ask.range, ask.part) {
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
        }
        (Some(range), None) => Ok((Some(range.check(size)?), None)),
        (None, None) => Ok((None, None)),
        (None, Some(1)) if content.parts.is_empty() => Ok((Some(0..size), None)),
        (None, Some(number)) => {
            let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let Some(index) = index.filter(|index| *index < content.parts.len()) else {
                let text = "The requested partnumber is not satisfiable";
                return Err(custom_error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidPartNumber", text));
            };
            let start: u64 = content.parts[..index].iter().map(|part| part.size).sum();
            let count = i32::try_from(content.parts.len()).ok();
            Ok((Some(start..start + content.parts[index].size), count))
        }
    }
}

fn body_of(segments: Vec<Bytes>) -> StreamingBlob {
    match <[Bytes; 1]>::try_from(segments) {
        Ok([whole]) => Body::from(whole).into(),
        Err(segments) => Body::http_body(Segments(segments.into())).into(),
    }
}

/// A body of several segments whose length is known.
struct Segments(VecDeque<Bytes>);

impl hyper::body::Body for Segments {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|segment| Ok(Frame::data(segment))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|segment| segment.len() as u64).sum())
    }
}

fn attribute_parts(content: &Content, input: &GetObjectAttributesInput) -> GetObjectAttributesParts {
    let after = input.part_number_marker.unwrap_or(0);
    let max = input.max_parts.unwrap_or(1000);
    let following: Vec<_> = content.parts.iter().filter(|part| part.number > after).collect();
    let shown = &following[..following.len().min(usize::try_from(max).unwrap_or(0))];
    let parts = shown.iter().map(|part| {
        let mut output =
            ObjectPart { part_number: Some(part.number), size: i64::try_from(part.size).ok(), ..ObjectPart::default() };
        if let Some(checksum) = &part.checksum {
            fill_checksum!(output, checksum);
        }
        output
    });
    // S3 lists the parts only of objects that were uploaded with a checksum.
    let listed = content.parts.iter().any(|part| part.checksum.is_some());
    GetObjectAttributesParts {
        is_truncated: Some(shown.len() < following.len()),
        max_parts: Some(max),
        next_part_number_marker: shown.last().map(|part| part.number),
        part_number_marker: Some(after),
        parts: listed.then(|| parts.collect()),
        total_parts_count: i32::try_from(content.parts.len()).ok(),
    }
}
