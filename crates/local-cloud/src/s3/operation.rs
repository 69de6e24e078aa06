//! The S3 operation of a request, known before `s3s` sees it: faults and counts go by operation.

use hyper::{HeaderMap, Method, Uri};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// An S3 operation, named as S3 names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(#[doc = concat!("`", stringify!($name), "`")] $name,)*
            /// Anything else.
            Other,
        }

        impl Operation {
            /// The operation's name, as S3 writes it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Other => "Other",
                }
            }
        }
    };
}

operations!(
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateBucket,
    CreateMultipartUpload,
    DeleteBucket,
    DeleteBucketCors,
    DeleteBucketLifecycle,
    DeleteBucketPolicy,
    DeleteObject,
    DeleteObjectTagging,
    DeleteObjects,
    GetBucketAcl,
    GetBucketCors,
    GetBucketLifecycleConfiguration,
    GetBucketLocation,
    GetBucketPolicy,
    GetBucketVersioning,
    GetObject,
    GetObjectAcl,
    GetObjectAttributes,
    GetObjectLegalHold,
    GetObjectLockConfiguration,
    GetObjectRetention,
    GetObjectTagging,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListMultipartUploads,
    ListObjectVersions,
    ListObjects,
    ListObjectsV2,
    ListParts,
    PutBucketAcl,
    PutBucketCors,
    PutBucketLifecycleConfiguration,
    PutBucketPolicy,
    PutBucketVersioning,
    PutObject,
    PutObjectAcl,
    PutObjectLegalHold,
    PutObjectLockConfiguration,
    PutObjectRetention,
    PutObjectTagging,
    RestoreObject,
    UploadPart,
    UploadPartCopy,
);

impl Operation {
    /// The operation of a path-style request.
    pub(super) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path().trim_start_matches('/');
        let query = uri.query().unwrap_or_default();
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        match path.split_once('/') {
            _ if path.is_empty() => Self::on_root(method),
            None | Some((_, "")) => Self::on_bucket(method, query, has),
            Some(_) => Self::on_object(method, headers.contains_key("x-amz-copy-source"), has),
        }
    }

    fn on_root(method: &Method) -> Self {
        if *method == Method::GET { Self::ListBuckets } else { Self::Other }
    }

    fn on_bucket(method: &Method, query: &str, has: impl Fn(&str) -> bool) -> Self {
        const UNKNOWN: [&str; 7] = [
            "encryption",
            "logging",
            "notification",
            "ownershipControls",
            "publicAccessBlock",
            "replication",
            "website",
        ];
        match method.as_str() {
            _ if UNKNOWN.iter().any(|name| has(name)) => Self::Other,
            "HEAD" => Self::HeadBucket,
            "GET" if has("acl") => Self::GetBucketAcl,
            "GET" if has("cors") => Self::GetBucketCors,
            "GET" if has("lifecycle") => Self::GetBucketLifecycleConfiguration,
            "GET" if has("location") => Self::GetBucketLocation,
            "GET" if has("object-lock") => Self::GetObjectLockConfiguration,
            "GET" if has("policy") => Self::GetBucketPolicy,
            "GET" if has("versioning") => Self::GetBucketVersioning,
            "GET" if has("uploads") => Self::ListMultipartUploads,
            "GET" if has("versions") => Self::ListObjectVersions,
            "GET" if query.split('&').any(|pair| pair == "list-type=2") => Self::ListObjectsV2,
            "GET" => Self::ListObjects,
            "PUT" if has("acl") => Self::PutBucketAcl,
            "PUT" if has("cors") => Self::PutBucketCors,
            "PUT" if has("lifecycle") => Self::PutBucketLifecycleConfiguration,
            "PUT" if has("object-lock") => Self::PutObjectLockConfiguration,
            "PUT" if has("policy") => Self::PutBucketPolicy,
            "PUT" if has("versioning") => Self::PutBucketVersioning,
            "PUT" => Self::CreateBucket,
            "POST" if has("delete") => Self::DeleteObjects,
            "DELETE" if has("cors") => Self::DeleteBucketCors,
            "DELETE" if has("lifecycle") => Self::DeleteBucketLifecycle,
            "DELETE" if has("policy") => Self::DeleteBucketPolicy,
            "DELETE" => Self::DeleteBucket,
            _ => Self::Other,
        }
    }

    fn on_object(method: &Method, copies: bool, has: impl Fn(&str) -> bool) -> Self {
        match method.as_str() {
            "HEAD" => Self::HeadObject,
            "GET" if has("acl") => Self::GetObjectAcl,
            "GET" if has("attributes") => Self::GetObjectAttributes,
            "GET" if has("legal-hold") => Self::GetObjectLegalHold,
            "GET" if has("retention") => Self::GetObjectRetention,
            "GET" if has("tagging") => Self::GetObjectTagging,
            "GET" if has("uploadId") => Self::ListParts,
            "GET" => Self::GetObject,
            "POST" if has("restore") => Self::RestoreObject,
            "POST" if has("uploads") => Self::CreateMultipartUpload,
            "POST" if has("uploadId") => Self::CompleteMultipartUpload,
            "PUT" if has("acl") => Self::PutObjectAcl,
            "PUT" if has("legal-hold") => Self::PutObjectLegalHold,
            "PUT" if has("retention") => Self::PutObjectRetention,
            "PUT" if has("tagging") => Self::PutObjectTagging,
            "PUT" if has("uploadId") && copies => Self::UploadPartCopy,
            "PUT" if has("uploadId") => Self::UploadPart,
            "PUT" if copies => Self::CopyObject,
            "PUT" => Self::PutObject,
            "DELETE" if has("tagging") => Self::DeleteObjectTagging,
            "DELETE" if has("uploadId") => Self::AbortMultipartUpload,
            "DELETE" => Self::DeleteObject,
            _ => Self::Other,
        }
    }

    /// Whether it is an operation that moves data and answers success with an XML document.
    pub(super) fn answers_in_xml(self) -> bool {
        use Operation::{
            CompleteMultipartUpload, CopyObject, CreateMultipartUpload, GetObjectTagging, ListMultipartUploads,
            ListParts, UploadPartCopy,
        };
        self.lists_objects()
            || matches!(
                self,
                CompleteMultipartUpload
                    | CopyObject
                    | CreateMultipartUpload
                    | GetObjectTagging
                    | ListMultipartUploads
                    | ListParts
                    | UploadPartCopy
            )
    }

    /// Whether it lists objects.
    pub(super) fn lists_objects(self) -> bool {
        matches!(self, Self::ListObjects | Self::ListObjectsV2 | Self::ListObjectVersions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_told_from_method_path_and_query() {
        let of = |method: &str, uri: &str, copies: bool| {
            let mut headers = HeaderMap::new();
            if copies {
                headers.insert("x-amz-copy-source", "b/k".parse().unwrap());
            }
            Operation::of(&method.parse().unwrap(), &uri.parse().unwrap(), &headers)
        };
        assert_eq!(of("GET", "/", false), Operation::ListBuckets);
        assert_eq!(of("GET", "/bucket?list-type=2&prefix=a", false), Operation::ListObjectsV2);
        assert_eq!(of("GET", "/bucket/?list-type=2", false), Operation::ListObjectsV2);
        assert_eq!(of("PUT", "/bucket", false), Operation::CreateBucket);
        assert_eq!(of("PUT", "/bucket?policy", false), Operation::PutBucketPolicy);
        assert_eq!(of("PUT", "/bucket?website", false), Operation::Other);
        assert_eq!(of("PUT", "/bucket/k?retention", false), Operation::PutObjectRetention);
        assert_eq!(of("POST", "/bucket/k?restore", false), Operation::RestoreObject);
        assert_eq!(of("GET", "/bucket//a", false), Operation::GetObject);
        assert_eq!(of("PUT", "/bucket/k?x-id=PutObject", false), Operation::PutObject);
        assert_eq!(of("PUT", "/bucket/k", true), Operation::CopyObject);
        assert_eq!(of("PUT", "/bucket/k?partNumber=1&uploadId=u", true), Operation::UploadPartCopy);
        assert_eq!(of("POST", "/bucket/k?uploadId=u", false), Operation::CompleteMultipartUpload);
        assert_eq!(of("DELETE", "/bucket/k?uploadId=u", false), Operation::AbortMultipartUpload);
    }
}
