//! Operations that set, show and remove the policy, locks, lifecycle and CORS of a bucket.

use std::sync::Arc;

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
        DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketCorsInput, GetBucketCorsOutput,
        GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, GetBucketPolicyInput,
        GetBucketPolicyOutput, GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, PutBucketCorsInput,
        PutBucketCorsOutput, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
        PutBucketPolicyInput, PutBucketPolicyOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
    },
    s3_error,
};

use super::{
    locks::LockSettings, objects::Versioning, policy_words::BucketWords, service::Service, settings::StoredPolicy,
};
use crate::policy::Policy;

impl Service {
    pub(super) fn set_policy(
        &self,
        request: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        let PutBucketPolicyInput { bucket, policy: text, .. } = request.input;
        let mut state = self.buckets.write();
        let settings = &mut state.bucket_mut(&bucket)?.settings;
        let policy = Policy::read(&text, &BucketWords(&bucket), &self.access.identities)
            .map_err(|reason| s3_error!(MalformedPolicy, "{reason}"))?;
        settings.policy = Some(StoredPolicy { text, policy: Arc::new(policy) });
        Ok(S3Response::new(PutBucketPolicyOutput::default()))
    }

    pub(super) fn policy(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let bucket = request.input.bucket;
        let state = self.buckets.read();
        let stored = state.bucket(&bucket)?.settings.policy.as_ref();
        let stored = stored.ok_or_else(|| s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"))?;
        Ok(S3Response::new(GetBucketPolicyOutput { policy: Some(stored.text.clone()) }))
    }

    pub(super) fn remove_policy(
        &self,
        request: S3Request<DeleteBucketPolicyInput>,
    ) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
        let bucket = request.input.bucket;
        self.buckets.write().bucket_mut(&bucket)?.settings.policy = None;
        Ok(S3Response::new(DeleteBucketPolicyOutput::default()))
    }

    /// Locks need versions. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html>
    pub(super) fn set_locks(
        &self,
        request: S3Request<PutObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
        let input = request.input;
        let configuration = input.object_lock_configuration.unwrap_or_default();
        let mut state = self.buckets.write();
        let bucket = state.bucket_mut(&input.bucket)?;
        if bucket.versioning != Versioning::Enabled {
            return Err(s3_error!(
                InvalidBucketState,
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
            ));
        }
        bucket.settings.locks = Some(LockSettings::read(configuration)?);
        Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
    }

    pub(super) fn locks(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        let bucket = request.input.bucket;
        let state = self.buckets.read();
        let locks = state.bucket(&bucket)?.settings.locks.as_ref();
        let missing = || {
            s3_error!(ObjectLockConfigurationNotFoundError, "Object Lock configuration does not exist for this bucket")
        };
        let configuration = locks.ok_or_else(missing)?.configuration.clone();
        Ok(S3Response::new(GetObjectLockConfigurationOutput { object_lock_configuration: Some(configuration) }))
    }

    pub(super) fn set_lifecycle(
        &self,
        request: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        let input = request.input;
        let malformed = || s3_error!(MalformedXML, "The XML you provided was not well-formed");
        let configuration = input.lifecycle_configuration.filter(|given| !given.rules.is_empty());
        let configuration = configuration.ok_or_else(malformed)?;
        self.buckets.write().bucket_mut(&input.bucket)?.settings.lifecycle = Some(configuration);
        Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
    }

    pub(super) fn lifecycle(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        let bucket = request.input.bucket;
        let state = self.buckets.read();
        let lifecycle = state.bucket(&bucket)?.settings.lifecycle.as_ref();
        let missing = || s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist");
        let rules = Some(lifecycle.ok_or_else(missing)?.rules.clone());
        Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
            rules,
            ..GetBucketLifecycleConfigurationOutput::default()
        }))
    }

    pub(super) fn remove_lifecycle(
        &self,
        request: S3Request<DeleteBucketLifecycleInput>,
    ) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
        let bucket = request.input.bucket;
        self.buckets.write().bucket_mut(&bucket)?.settings.lifecycle = None;
        Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
    }

    pub(super) fn set_cors(&self, request: S3Request<PutBucketCorsInput>) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let input = request.input;
        self.buckets.write().bucket_mut(&input.bucket)?.settings.cors = Some(input.cors_configuration);
        Ok(S3Response::new(PutBucketCorsOutput::default()))
    }

    pub(super) fn cors(&self, request: S3Request<GetBucketCorsInput>) -> S3Result<S3Response<GetBucketCorsOutput>> {
        let bucket = request.input.bucket;
        let state = self.buckets.read();
        let cors = state.bucket(&bucket)?.settings.cors.as_ref();
        let missing = || s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist");
        let cors_rules = Some(cors.ok_or_else(missing)?.cors_rules.clone());
        Ok(S3Response::new(GetBucketCorsOutput { cors_rules }))
    }

    pub(super) fn remove_cors(
        &self,
        request: S3Request<DeleteBucketCorsInput>,
    ) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        let bucket = request.input.bucket;
        self.buckets.write().bucket_mut(&bucket)?.settings.cors = None;
        Ok(S3Response::new(DeleteBucketCorsOutput::default()))
    }
}
