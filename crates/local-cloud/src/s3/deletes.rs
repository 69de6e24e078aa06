//! Deletes: of one object, and of many in one request.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{self, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject},
    s3_error,
};

use super::{
    callers::caller_of, condition::Condition, errors::denied, locks::Bypass, needed_actions::bypass_action,
    service::Service,
};

impl Service {
    pub(super) fn delete(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let condition = self.config.quirks.condition(&request.headers)?;
        let bypass = Bypass::of(&request.headers);
        let input = request.input;
        let version = input.version_id.as_deref();
        let deleted = self.buckets.write().delete(&input.bucket, &input.key, version, &condition, bypass)?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: deleted.marker.then_some(true),
            version_id: deleted.version.as_deref().map(str::to_owned),
            ..DeleteObjectOutput::default()
        }))
    }

    pub(super) fn delete_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bypass = Bypass::of(&request.headers);
        let (headers, caller) = (&request.headers, caller_of(&request));
        let input = request.input;
        if input.delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML, "At most 1000 keys can be deleted at once"));
        }
        let mut state = self.buckets.write();
        state.bucket(&input.bucket)?;
        let (mut done, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let condition = match object.e_tag {
                Some(etag) if !self.config.quirks.ignore_conditions => match etag.value() {
                    "*" => Condition::Present,
                    value => Condition::Matches(value.to_owned()),
                },
                _ => Condition::None,
            };
            let version = object.version_id.as_deref();
            let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
            let permitted = std::iter::once(action)
                .chain(bypass_action(headers))
                .all(|action| self.access.permits(&state, &caller, action, &input.bucket, Some(&object.key)));
            let deleted = if permitted {
                state.delete(&input.bucket, &object.key, version, &condition, bypass)
            } else {
                Err(denied())
            };
            match deleted {
                Ok(deleted) => done.push(DeletedObject {
                    delete_marker: deleted.marker.then_some(true),
                    delete_marker_version_id: deleted
                        .version
                        .filter(|_| deleted.marker)
                        .map(|version| version.to_string()),
                    key: Some(object.key),
                    version_id: object.version_id,
                }),
                Err(error) => errors.push(dto::Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: object.version_id,
                }),
            }
        }
        if input.delete.quiet == Some(true) {
            done.clear();
        }
        let output =
            DeleteObjectsOutput { deleted: Some(done), errors: Some(errors), ..DeleteObjectsOutput::default() };
        Ok(S3Response::new(output))
    }
}
