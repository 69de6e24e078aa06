//! Routes from `s3s`: one line an operation, to the function that carries it out.

use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteBucketCorsInput, DeleteBucketCorsOutput,
        DeleteBucketInput, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketOutput,
        DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, DeleteObjectsInput, DeleteObjectsOutput,
        GetBucketAclInput, GetBucketAclOutput, GetBucketCorsInput, GetBucketCorsOutput,
        GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, GetBucketLocationInput,
        GetBucketLocationOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketVersioningInput,
        GetBucketVersioningOutput, GetObjectAclInput, GetObjectAclOutput, GetObjectAttributesInput,
        GetObjectAttributesOutput, GetObjectInput, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
        GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectOutput, GetObjectRetentionInput,
        GetObjectRetentionOutput, GetObjectTaggingInput, GetObjectTaggingOutput, HeadBucketInput, HeadBucketOutput,
        HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput,
        ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, PutBucketAclInput,
        PutBucketAclOutput, PutBucketCorsInput, PutBucketCorsOutput, PutBucketLifecycleConfigurationInput,
        PutBucketLifecycleConfigurationOutput, PutBucketPolicyInput, PutBucketPolicyOutput, PutBucketVersioningInput,
        PutBucketVersioningOutput, PutObjectAclInput, PutObjectAclOutput, PutObjectInput, PutObjectLegalHoldInput,
        PutObjectLegalHoldOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput, PutObjectOutput,
        PutObjectRetentionInput, PutObjectRetentionOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
        RestoreObjectInput, RestoreObjectOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
        UploadPartOutput,
    },
};

use super::service::Service;

/// Implements operations by handing them to functions, some of which need not wait. Functions with a
/// `key` get the form that this server makes of it.
macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident, $call:ident $(.$wait:ident)? $(, $key:ident)?;)*) => {
        #[async_trait::async_trait]
        impl S3 for Service {
            $(
                async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    $(
                        let mut request = request;
                        self.config.quirks.bend_key(&mut request.input.$key)?;
                    )?
                    self.$call(request)$(.$wait)?
                }
            )*
        }
    };
}

operations! {
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput, abort_upload, key;
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput, complete_upload, key;
    copy_object: CopyObjectInput => CopyObjectOutput, copy.await, key;
    create_bucket: CreateBucketInput => CreateBucketOutput, make_bucket;
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput, begin_upload, key;
    delete_bucket: DeleteBucketInput => DeleteBucketOutput, remove_bucket;
    delete_bucket_cors: DeleteBucketCorsInput => DeleteBucketCorsOutput, remove_cors;
    delete_bucket_lifecycle: DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput, remove_lifecycle;
    delete_bucket_policy: DeleteBucketPolicyInput => DeleteBucketPolicyOutput, remove_policy;
    delete_object: DeleteObjectInput => DeleteObjectOutput, delete, key;
    delete_object_tagging: DeleteObjectTaggingInput => DeleteObjectTaggingOutput, delete_tags, key;
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput, delete_many;
    get_bucket_acl: GetBucketAclInput => GetBucketAclOutput, bucket_acl;
    get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput, cors;
    get_bucket_lifecycle_configuration: GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput, lifecycle;
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput, location;
    get_bucket_policy: GetBucketPolicyInput => GetBucketPolicyOutput, policy;
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput, versioning;
    get_object: GetObjectInput => GetObjectOutput, get, key;
    get_object_acl: GetObjectAclInput => GetObjectAclOutput, object_acl, key;
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput, attributes, key;
    get_object_legal_hold: GetObjectLegalHoldInput => GetObjectLegalHoldOutput, legal_hold, key;
    get_object_lock_configuration: GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput, locks;
    get_object_retention: GetObjectRetentionInput => GetObjectRetentionOutput, retention, key;
    get_object_tagging: GetObjectTaggingInput => GetObjectTaggingOutput, tags, key;
    head_bucket: HeadBucketInput => HeadBucketOutput, look_at_bucket;
    head_object: HeadObjectInput => HeadObjectOutput, head, key;
    list_buckets: ListBucketsInput => ListBucketsOutput, all_buckets;
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput, all_uploads;
    list_object_versions: ListObjectVersionsInput => ListObjectVersionsOutput, page_of_versions;
    list_objects: ListObjectsInput => ListObjectsOutput, page_v1;
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output, page_v2;
    list_parts: ListPartsInput => ListPartsOutput, parts, key;
    put_bucket_acl: PutBucketAclInput => PutBucketAclOutput, set_bucket_acl;
    put_bucket_cors: PutBucketCorsInput => PutBucketCorsOutput, set_cors;
    put_bucket_lifecycle_configuration: PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput, set_lifecycle;
    put_bucket_policy: PutBucketPolicyInput => PutBucketPolicyOutput, set_policy;
    put_bucket_versioning: PutBucketVersioningInput => PutBucketVersioningOutput, set_versioning;
    put_object: PutObjectInput => PutObjectOutput, put.await, key;
    put_object_acl: PutObjectAclInput => PutObjectAclOutput, set_object_acl, key;
    put_object_legal_hold: PutObjectLegalHoldInput => PutObjectLegalHoldOutput, set_legal_hold, key;
    put_object_lock_configuration: PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput, set_locks;
    put_object_retention: PutObjectRetentionInput => PutObjectRetentionOutput, set_retention, key;
    put_object_tagging: PutObjectTaggingInput => PutObjectTaggingOutput, set_tags, key;
    restore_object: RestoreObjectInput => RestoreObjectOutput, restore, key;
    upload_part: UploadPartInput => UploadPartOutput, put_part.await, key;
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput, copy_part.await, key;
}
