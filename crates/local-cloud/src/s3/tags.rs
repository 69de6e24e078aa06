//! Tags of objects: read from a header, checked, shown, set and removed.

use std::collections::BTreeMap;

use hyper::StatusCode;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
        PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
    },
    s3_error,
};

use super::{errors::custom_error, objects::Content, percent::form_decode, service::Service, versions::find};

impl Service {
    fn replace_tags(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        tags: BTreeMap<String, String>,
    ) -> S3Result<Option<String>> {
        let replace = |content: &mut Content| {
            content.tags = tags;
            Ok(())
        };
        self.change(bucket, key, version, replace).map(|((), shown_version)| shown_version)
    }

    pub(super) fn tags(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        let state = self.buckets.read();
        let stored = find(&state, &input.bucket, &input.key, input.version_id.as_deref())?;
        let tags = stored.content.iter().flat_map(|content| &content.tags);
        let tag_set = tags.map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect();
        let version_id = state.bucket(&input.bucket)?.shown_version(&stored);
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id }))
    }

    pub(super) fn set_tags(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = request.input;
        let mut tags = BTreeMap::new();
        for tag in input.tagging.tag_set {
            if tags.insert(tag.key.unwrap_or_default(), tag.value.unwrap_or_default()).is_some() {
                return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
            }
        }
        let tags = check_tags(tags)?;
        let version_id = self.replace_tags(&input.bucket, &input.key, input.version_id.as_deref(), tags)?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
    }

    pub(super) fn delete_tags(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = request.input;
        let none = BTreeMap::new();
        let version_id = self.replace_tags(&input.bucket, &input.key, input.version_id.as_deref(), none)?;
        Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
    }
}

/// Reads the header of a write that carries tags.
pub(super) fn parse_tags(text: &str) -> S3Result<BTreeMap<String, String>> {
    let invalid = || s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded");
    let mut tags = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (form_decode(key).ok_or_else(invalid)?, form_decode(value).ok_or_else(invalid)?);
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    check_tags(tags)
}

fn check_tags(tags: BTreeMap<String, String>) -> S3Result<BTreeMap<String, String>> {
    if tags.len() > 10 {
        return Err(custom_error(StatusCode::BAD_REQUEST, "BadRequest", "Object tags cannot be greater than 10"));
    }
    let legal = |(key, value): (&String, &String)| {
        !key.is_empty() && key.chars().count() <= 128 && value.chars().count() <= 256
    };
    if tags.iter().all(legal) { Ok(tags) } else { Err(s3_error!(InvalidTag, "The tag provided was not a valid tag.")) }
}
