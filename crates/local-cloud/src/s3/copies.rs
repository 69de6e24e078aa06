//! Server-side copies: the source of a copy, and a copy of a whole object.

use std::sync::Arc;

use hyper::HeaderMap;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource},
    s3_error,
};

use super::{
    archive::check_restored,
    checksums::{self, Checksum, Kind, fill_checksum},
    errors::precondition_failed,
    headers::{header, quoted},
    objects::{Content, Data, Stored},
    service::Service,
    versions::find,
};

/// The largest server-side copy and single write: 5 GiB.
const COPY_SIZE_MAX: u64 = 5 << 30;

impl Service {
    /// Finds the source of a copy and checks the conditions on it.
    pub(super) fn copy_source(
        &self,
        source: &CopySource,
        headers: &HeaderMap,
    ) -> S3Result<(Arc<Stored>, Option<String>)> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "Access points are not implemented"));
        };
        let state = self.buckets.read();
        let stored = find(&state, bucket, key, version_id.as_deref())?;
        check_restored(stored.content.as_ref().expect("only versions with content are found"))?;
        let shown_version = state.bucket(bucket)?.shown_version(&stored);
        let etag = stored.content.as_ref().map(|content| content.etag.clone()).unwrap_or_default();
        let asked = |name: &str| header(headers, name).map(|text| text.trim_matches('"').to_owned());
        let differs = asked("x-amz-copy-source-if-match").is_some_and(|asked| asked != "*" && asked != etag);
        let equal = asked("x-amz-copy-source-if-none-match").is_some_and(|asked| asked == "*" || asked == etag);
        if differs || equal { Err(precondition_failed()) } else { Ok((stored, shown_version)) }
    }

    pub(super) async fn copy(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let condition = self.config.quirks.condition(&request.headers)?;
        let input = request.input;
        let (source, copy_source_version_id) = self.copy_source(&input.copy_source, &request.headers)?;
        let content = source.content.clone().expect("only versions with content are found");
        if content.data.size > COPY_SIZE_MAX {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size"
            ));
        }
        let replaces = input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
        let replaces_tags = input.tagging_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
        let mut result = self.template(&request.headers, input.metadata)?;
        if let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source {
            let in_place = **bucket == *input.bucket && **key == *input.key;
            if in_place && !replaces && result.storage_class == content.storage_class {
                return Err(s3_error!(InvalidRequest, "This copy request is illegal because it changes nothing."));
            }
        }
        if !replaces {
            result.headers = content.headers;
            result.headers.retain(|(name, _)| name != "x-amz-website-redirect-location");
            result.metadata = content.metadata;
        }
        if !replaces_tags {
            result.tags = content.tags;
        }
        let kind = match &input.checksum_algorithm {
            Some(name) => Kind::parse(name.as_str())?,
            None => content.checksum.as_ref().map_or(Kind::Crc64Nvme, |checksum| checksum.kind),
        };
        let (segments, keeps_checksum) = (content.data.segments, !self.config.quirks.ignore_checksums);
        let size = usize::try_from(content.data.size).unwrap_or(usize::MAX);
        let hashed = checksums::aside(size, move || {
            let checksum = keeps_checksum.then(|| Checksum::full(kind, &segments));
            (checksums::md5(&segments), checksum, segments)
        });
        let (md5, checksum, segments) = hashed.await;
        let content = Content { etag: self.etag(md5), checksum, data: Data::new(segments), ..result };
        let mut state = self.buckets.write();
        let stored = state.put(&input.bucket, &input.key, content, &condition)?;
        let content = stored.content.as_ref().expect("content was just put");
        let mut copied = CopyObjectResult {
            e_tag: Some(quoted(&content.etag)),
            last_modified: Some(stored.modified.into()),
            ..CopyObjectResult::default()
        };
        if let Some(checksum) = &content.checksum {
            fill_checksum!(copied, checksum);
            copied.checksum_type = Some(checksum.type_name().to_owned().into());
        }
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(copied),
            copy_source_version_id,
            version_id: state.bucket(&input.bucket)?.shown_version(&stored),
            ..CopyObjectOutput::default()
        }))
    }
}
