//! What arrives with a request: its body, and the fault that strikes it.

use bytes::Bytes;
use s3s::S3Request;

use super::faults::{Fault, Strike};

/// What the front adds to a request.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    /// The body as it came over the wire.
    pub(super) body: Bytes,
    /// The fault that strikes this request.
    pub(super) strike: Option<Strike>,
}

impl Arrived {
    /// What arrived with a request; the front adds it to every request.
    pub(super) fn with<T>(request: &S3Request<T>) -> &Self {
        request.extensions.get().expect("the front adds it to every request")
    }

    pub(super) fn is_stale(&self) -> bool {
        self.strike.is_some_and(|strike| strike.fault == Fault::StaleListing)
    }

    /// The range that is read when this one is asked for.
    pub(super) fn range(&self, asked: Option<s3s::dto::Range>) -> Option<s3s::dto::Range> {
        use s3s::dto::Range;

        let aside = |first: u64, last: u64| if first > 0 { (first - 1, last - 1) } else { (first + 1, last + 1) };
        match (self.strike.map(|strike| strike.fault), asked) {
            (Some(Fault::WholeForRange), _) => None,
            (Some(Fault::OtherRange), Some(Range::Int { first, last: Some(last) })) => {
                let (first, last) = aside(first, last);
                Some(Range::Int { first, last: Some(last) })
            }
            (_, asked) => asked,
        }
    }
}
