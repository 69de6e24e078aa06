//! Differences from AWS: each was seen on a server that others run.

/// Ways in which servers that call themselves S3-compatible differ from AWS. All off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent departure")]
pub struct Quirks {
    /// `If-Match` and `If-None-Match` are accepted and ignored on writes and deletes.
    pub ignore_conditions: bool,
    /// The same for the completion of a multipart upload alone.
    pub ignore_conditions_on_complete: bool,
    /// `If-None-Match` on writes and completions is `NotImplemented`, whether it holds or not.
    pub no_if_none_match: bool,
    /// How the tag of `If-Match` on writes, completions and deletes is compared.
    pub if_match: IfMatchQuirk,
    /// A wrong `x-amz-checksum-*` is accepted; none is stored.
    pub ignore_checksums: bool,
    /// A body that does not match the signed `x-amz-content-sha256` is accepted. Covers object and
    /// part writes; `s3s` itself still refuses XML bodies that do not match.
    pub ignore_payload_hash: bool,
    /// Tags are `NotImplemented`, as operations and as the header of a write.
    pub no_tags: bool,
    /// Tags given to `CreateMultipartUpload` are dropped: the object has none.
    pub drop_upload_tags: bool,
    /// Tags cannot be changed after a write: `PutObjectTagging` is `NotImplemented`.
    pub no_put_tagging: bool,
    /// `GetObjectAttributes` is `NotImplemented`.
    pub no_get_object_attributes: bool,
    /// `GetObjectAttributes` fails with 500.
    pub failing_get_object_attributes: bool,
    /// `CompleteMultipartUpload` answers with an empty `ETag`.
    pub empty_etag_on_complete: bool,
    /// `ListParts` answers with `ListPartsResponse` instead of `ListPartsResult`.
    pub misnamed_list_of_parts: bool,
    /// The `ETag` has nothing to do with MD5.
    pub etag_not_md5: bool,
    /// GET and HEAD do not say how many tags an object has.
    pub no_tag_count: bool,
    /// HEAD does not say how many tags an object has, and GET does.
    pub no_tag_count_on_head: bool,
    /// Pages of a listing are not in order.
    pub listing_unordered: bool,
    /// Every request is refused with `RequestTimeTooSkewed`.
    pub clock_skew: bool,
    /// The server's clock is an hour ahead: its answers say so, and what is signed at another time is refused with
    /// `RequestTimeTooSkewed`.
    pub clock_ahead: bool,
    /// The `Date` of each answer is that of the second before: servers keep its text for a second.
    pub date_behind: bool,
    /// A policy that denies every principal (`"Principal": "*"`) under a condition is accepted and given
    /// back, but does not hold: some servers know no `aws:PrincipalArn`.
    pub ignore_conditional_deny: bool,
    /// The treatment of user metadata that is not ASCII.
    pub metadata: MetadataQuirk,
    /// The type of an object that was written without one.
    pub untyped: Untyped,
    /// Leading slashes of a key are swallowed: `/x` is stored as `x`.
    pub swallow_leading_slash: bool,
    /// Requests on keys above 511 bytes are answered with 503, for ever.
    pub busy_above_511_bytes: bool,
    /// Error answers carry a code and no message.
    pub errors_without_message: bool,
}

/// How a server compares the tag of `If-Match` on a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfMatchQuirk {
    /// As AWS: with and without quotes.
    #[default]
    None,
    /// The quotes are compared too, and stored tags have none: a quoted tag never matches, a bare one
    /// does. Ceph RGW 16.2.
    BareOnly,
    /// No tag ever matches.
    NeverMatches,
}

/// What a server makes of user metadata that is not ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataQuirk {
    /// As AWS: encoded words (RFC 2047) are decoded when stored, and made again when shown.
    #[default]
    None,
    /// Values are shown as they were sent: raw UTF-8 raw, encoded words as these words.
    Raw,
    /// The same for ASCII; a value that is not ASCII is refused.
    AsciiOnly,
}

/// The `Content-Type` of an object that was written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Untyped {
    /// `binary/octet-stream`, as AWS.
    #[default]
    BinaryOctetStream,
    /// `application/octet-stream`.
    ApplicationOctetStream,
    /// None: no such header is shown.
    None,
    /// An empty one is shown.
    Empty,
}
