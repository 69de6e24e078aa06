//! Which S3 operation a request is, told before `s3s` sees it: faults and counts go by operation.

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
    DeleteObject,
    DeleteObjectTagging,
    DeleteObjects,
    GetBucketLocation,
    GetBucketVersioning,
    GetObject,
    GetObjectAttributes,
    GetObjectTagging,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListMultipartUploads,
    ListObjectVersions,
    ListObjects,
    ListObjectsV2,
    ListParts,
    PutBucketVersioning,
    PutObject,
    PutObjectTagging,
    UploadPart,
    UploadPartCopy,
);

impl Operation {
    /// Tells the operation from a path-style request.
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
        const CONFIGURATION: [&str; 12] = [
            "acl",
            "cors",
            "encryption",
            "lifecycle",
            "logging",
            "notification",
            "object-lock",
            "ownershipControls",
            "policy",
            "publicAccessBlock",
            "replication",
            "website",
        ];
        match method.as_str() {
            _ if CONFIGURATION.iter().any(|name| has(name)) => Self::Other,
            "HEAD" => Self::HeadBucket,
            "GET" if has("location") => Self::GetBucketLocation,
            "GET" if has("versioning") => Self::GetBucketVersioning,
            "GET" if has("uploads") => Self::ListMultipartUploads,
            "GET" if has("versions") => Self::ListObjectVersions,
            "GET" if query.split('&').any(|pair| pair == "list-type=2") => Self::ListObjectsV2,
            "GET" => Self::ListObjects,
            "PUT" if has("versioning") => Self::PutBucketVersioning,
            "PUT" => Self::CreateBucket,
            "POST" if has("delete") => Self::DeleteObjects,
            "DELETE" => Self::DeleteBucket,
            _ => Self::Other,
        }
    }

    fn on_object(method: &Method, copies: bool, has: impl Fn(&str) -> bool) -> Self {
        match method.as_str() {
            _ if ["acl", "legal-hold", "retention"].iter().any(|name| has(name)) => Self::Other,
            "HEAD" => Self::HeadObject,
            "GET" if has("attributes") => Self::GetObjectAttributes,
            "GET" if has("tagging") => Self::GetObjectTagging,
            "GET" if has("uploadId") => Self::ListParts,
            "GET" => Self::GetObject,
            "POST" if has("uploads") => Self::CreateMultipartUpload,
            "POST" if has("uploadId") => Self::CompleteMultipartUpload,
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
        assert_eq!(of("PUT", "/bucket?policy", false), Operation::Other);
        assert_eq!(of("GET", "/bucket//a", false), Operation::GetObject);
        assert_eq!(of("PUT", "/bucket/k?x-id=PutObject", false), Operation::PutObject);
        assert_eq!(of("PUT", "/bucket/k", true), Operation::CopyObject);
        assert_eq!(of("PUT", "/bucket/k?partNumber=1&uploadId=u", true), Operation::UploadPartCopy);
        assert_eq!(of("POST", "/bucket/k?uploadId=u", false), Operation::CompleteMultipartUpload);
        assert_eq!(of("DELETE", "/bucket/k?uploadId=u", false), Operation::AbortMultipartUpload);
    }
}
