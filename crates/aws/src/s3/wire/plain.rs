//! What goes over the wire and comes back, in plain types: requests as they must be sent, answers as they came.
//!
//! Whatever speaks to a server answers with these, and nothing is judged here. So another way to speak to it can
//! stand beside the SDK's and pass the same tests.

use std::collections::{BTreeMap, HashMap};

use migrate_store::{Header, Properties};

/// What the headers of an answer show of an object.
#[expect(clippy::struct_excessive_bools, reason = "each is a header of its own, there or not")]
#[derive(Debug, Default)]
pub(in crate::s3) struct Shown {
    /// Bytes of the body, or of the body that a HEAD stands for.
    pub(in crate::s3) length: Option<u64>,
    /// The `ETag`, in quotes or not.
    pub(in crate::s3) tag: Option<String>,
    /// Seconds since 1970.
    pub(in crate::s3) modified_s: Option<i64>,
    pub(in crate::s3) version: Option<String>,
    pub(in crate::s3) headers: BTreeMap<Header, String>,
    pub(in crate::s3) metadata: HashMap<String, String>,
    /// Some metadata is no header, and so is not shown.
    pub(in crate::s3) hides_metadata: bool,
    pub(in crate::s3) tag_count: Option<u32>,
    /// In base64, as are the other checksums.
    pub(in crate::s3) crc64nvme: Option<String>,
    pub(in crate::s3) sha256: Option<String>,
    /// The checksums are those of the parts' checksums.
    pub(in crate::s3) is_composite: bool,
    /// `x-amz-server-side-encryption`
    pub(in crate::s3) encryption: Option<String>,
    /// Encrypted with a key that only clients hold.
    pub(in crate::s3) has_customer_key: bool,
    /// It redirects readers of a website.
    pub(in crate::s3) redirects: bool,
    /// An object lock has a retention mode.
    pub(in crate::s3) is_retained: bool,
    pub(in crate::s3) has_legal_hold: bool,
    pub(in crate::s3) storage_class: Option<String>,
    /// It lies in an archive tier of a class whose objects are otherwise readable at once.
    pub(in crate::s3) is_archived: bool,
}

/// The answer to a GET, before its body is read; `B` is the stream of the body.
#[derive(Debug)]
pub(in crate::s3) struct Got<B> {
    pub(in crate::s3) shown: Shown,
    /// `Content-Range`
    pub(in crate::s3) range: Option<String>,
    pub(in crate::s3) body: B,
}

impl<B> Got<B> {
    /// The same answer with its body as another type.
    pub(in crate::s3) fn map<C>(self, change: impl FnOnce(B) -> C) -> Got<C> {
        Got { shown: self.shown, range: self.range, body: change(self.body) }
    }
}

/// Seconds by which an answer may be later than its `Date`: servers keep the text of one for a second, so a write at the turn
/// of a second may be answered with the one before. `hyper` does, for one; nginx keeps it until its loop looks at the
/// clock again.
pub(in crate::s3) const DATE_AGE_MAX_S: i64 = 1;

/// The answer to a write, of an object or a part.
#[derive(Debug)]
pub(in crate::s3) struct Written {
    /// The `ETag`, in quotes or not.
    pub(in crate::s3) tag: Option<String>,
    /// The `Date`, in seconds since 1970: when the answer was made, by the server's clock. The SDK does not show it.
    pub(in crate::s3) date_s: Option<i64>,
}

/// The headers of a write's condition.
#[derive(Debug, Clone, Default)]
pub(in crate::s3) struct Guard {
    pub(in crate::s3) if_match: Option<String>,
    pub(in crate::s3) if_none_match: Option<String>,
}

/// What a write sets beside the bytes.
#[derive(Debug)]
pub(in crate::s3) struct Carried<'a> {
    pub(in crate::s3) properties: &'a Properties,
    /// The metadata of `properties`, in the form that is sent.
    pub(in crate::s3) metadata: Option<HashMap<String, String>>,
    /// The tags that are sent, as a query string.
    pub(in crate::s3) tagging: Option<String>,
}

/// A page of a listing. A start of the next page is no promise that one follows.
#[derive(Debug)]
pub(in crate::s3) struct Listed<T, N = String> {
    pub(in crate::s3) entries: Vec<T>,
    /// Whether more follows, if the page says so.
    pub(in crate::s3) follows: Option<bool>,
    /// The start of the next page.
    pub(in crate::s3) next: Option<N>,
    /// Keys are encoded as in URLs.
    pub(in crate::s3) is_encoded: bool,
}

/// An object in a listing.
#[derive(Debug)]
pub(in crate::s3) struct ListedObject {
    pub(in crate::s3) key: Option<String>,
    pub(in crate::s3) size: Option<u64>,
    pub(in crate::s3) tag: Option<String>,
    /// Seconds since 1970.
    pub(in crate::s3) modified_s: Option<i64>,
}

/// A version, or a delete marker, in a listing.
#[derive(Debug)]
pub(in crate::s3) struct ListedVersion {
    pub(in crate::s3) key: Option<String>,
    pub(in crate::s3) version: Option<String>,
}

/// A part in a listing.
#[derive(Debug)]
pub(in crate::s3) struct ListedPart {
    pub(in crate::s3) number: Option<u32>,
    pub(in crate::s3) size: Option<u64>,
    pub(in crate::s3) tag: Option<String>,
}

/// An unfinished upload in a listing.
#[derive(Debug)]
pub(in crate::s3) struct ListedUpload {
    pub(in crate::s3) key: Option<String>,
    pub(in crate::s3) id: Option<String>,
    /// Seconds since 1970.
    pub(in crate::s3) begun_s: Option<i64>,
}

/// Where a listing of uploads goes on: after this upload of this key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::s3) struct UploadMarker {
    pub(in crate::s3) key: String,
    pub(in crate::s3) id: Option<String>,
}
