//! Buckets themselves, as S3 answers for them.

use hyper::StatusCode;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        self, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput,
        DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
        GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
        ListBucketsOutput, PutBucketVersioningInput, PutBucketVersioningOutput,
    },
    s3_error,
};

use super::{acls, objects::Versioning, service::Service};

impl Service {
    pub(super) fn make_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let grants = acls::of_headers(&request.headers, &self.owner())?;
        let with_locks = request.input.object_lock_enabled_for_bucket == Some(true);
        let name = request.input.bucket;
        let mut state = self.buckets.write();
        if state.buckets.contains_key(&name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "The bucket exists already and you own it."));
        }
        let bucket = state.create_bucket(&name);
        bucket.settings.grants = grants;
        if with_locks {
            bucket.versioning = Versioning::Enabled;
            bucket.settings.enable_locks();
        }
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) }))
    }

    pub(super) fn remove_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let bucket = request.input.bucket;
        let mut state = self.buckets.write();
        if !state.bucket(&bucket)?.keys.is_empty() {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        state.buckets.remove(&bucket);
        Ok(S3Response::with_status(DeleteBucketOutput::default(), StatusCode::NO_CONTENT))
    }

    #[expect(clippy::unnecessary_wraps, reason = "all operations have this shape")]
    pub(super) fn all_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let state = self.buckets.read();
        let buckets = state.buckets.iter().map(|(name, bucket)| dto::Bucket {
            bucket_region: Some(self.config.region.clone()),
            creation_date: Some(bucket.created.into()),
            name: Some(name.clone()),
        });
        let (buckets, owner) = (Some(buckets.collect()), Some(self.owner()));
        let output = ListBucketsOutput { buckets, owner, ..ListBucketsOutput::default() };
        Ok(S3Response::new(output))
    }

    pub(super) fn look_at_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = request.input.bucket;
        self.buckets.read().bucket(&bucket)?;
        let bucket_region = Some(self.config.region.clone());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    pub(super) fn location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let bucket = request.input.bucket;
        self.buckets.read().bucket(&bucket)?;
        // The oldest region has no constraint.
        let region = Some(self.config.region.clone()).filter(|region| region != "us-east-1");
        let location_constraint = region.map(BucketLocationConstraint::from);
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    pub(super) fn set_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let input = request.input;
        let versioning = match input.versioning_configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            _ => return Err(s3_error!(IllegalVersioningConfigurationException, "The status must be specified")),
        };
        let mut state = self.buckets.write();
        let bucket = state.bucket_mut(&input.bucket)?;
        if bucket.settings.locks.is_some() && versioning != Versioning::Enabled {
            let text =
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.";
            return Err(s3_error!(InvalidBucketState, "{text}"));
        }
        bucket.versioning = versioning;
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }

    pub(super) fn versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let bucket = request.input.bucket;
        let status = match self.buckets.read().bucket(&bucket)?.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        let status = status.map(BucketVersioningStatus::from_static);
        Ok(S3Response::new(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() }))
    }
}
