//! What a request names.

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::answer::Failure;

/// Bytes of a key; see <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
const KEY_BYTES_MAX: usize = 1024;

/// The names and parameters of a request, decoded.
pub(crate) struct Named {
    /// Empty for the endpoint itself.
    pub(crate) bucket: String,
    /// Empty for the bucket itself.
    pub(crate) key: String,
    query: Vec<(String, String)>,
}

impl Named {
    pub(crate) fn of(head: &Parts) -> Result<Self, Failure> {
        let path = head.uri.path().strip_prefix('/').ok_or(Failure::INVALID)?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (bucket, key) = (decoded(bucket)?, decoded(key)?);
        if key.len() > KEY_BYTES_MAX {
            return Err(Failure::KEY_TOO_LONG);
        }
        Ok(Self { bucket, key, query: pairs(head.uri.query().unwrap_or_default())? })
    }

    /// A parameter, if it is there.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.parameter(name).unwrap_or_default()
    }
}

/// The names and values of a query.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Failure> {
    let words = query.split('&').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            // A plus is a space in no part of S3 but forms, which the header of tags is.
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, Failure> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| Failure::INVALID)?;
    Ok(decoded.into_owned())
}
