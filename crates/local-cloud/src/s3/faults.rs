//! Faults: what can go wrong with a request. [`fault`] decides when, by a seed, so that a failure
//! replays.

use std::time::Duration;

use super::operation::Operation;
use migrate_fault as fault;
pub use migrate_fault::When;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500 `InternalError`; nothing was done.
    InternalError,
    /// 503 `SlowDown`; nothing was done.
    SlowDown,
    /// The connection closes without an answer; nothing was done.
    ResetBefore,
    /// The connection closes without an answer, although the request was carried out.
    ResetAfter,
    /// The body of the answer ends early: half of it arrives, then the connection closes.
    TruncateResponse,
    /// The body of the answer is one byte longer than what was asked for, and says so.
    OverlongResponse,
    /// The XML of the answer is cut somewhere, and its framing is whole, as from a proxy or a server that
    /// fails in the middle.
    CutXml,
    /// The XML of the answer is cut inside its last entry, and its framing is whole.
    CutEntry,
    /// The XML of the answer lacks the closing tag of its root, and its framing is whole.
    UnclosedXml,
    /// A page of a listing lacks its last entry, which its `KeyCount` counts; all else is whole.
    LostEntry,
    /// A ranged read is answered with the bytes one further on or back, and `Content-Range` says so.
    OtherRange,
    /// A ranged read is answered with the whole object, as by a server that knows no ranges.
    WholeForRange,
    /// One bit of the answer's body is flipped.
    FlipResponseBit,
    /// One bit of the request's body is flipped before the server looks at it.
    FlipRequestBit,
    /// 200 with an error in its body; nothing was done. Copies and completions only.
    ErrorInside,
    /// The answer begins late.
    SlowFirstByte(Duration),
    /// A listing does not show the key that was written last.
    StaleListing,
    /// 400 `ExpiredToken`; nothing was done.
    ExpiredToken,
    /// 404 without a body, as a proxy may answer; nothing was done.
    BareNotFound,
    /// 501 `NotImplemented`; nothing was done.
    NotImplemented,
    /// 204, as if it were done; nothing was done. Deletes of one object only.
    Unheeded,
}

impl Fault {
    /// The fault's name, for counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::InternalError => "internal error",
            Self::SlowDown => "slow down",
            Self::ResetBefore => "reset before",
            Self::ResetAfter => "reset after",
            Self::TruncateResponse => "truncated body",
            Self::OverlongResponse => "overlong body",
            Self::CutXml => "XML cut",
            Self::CutEntry => "XML cut in an entry",
            Self::UnclosedXml => "XML unclosed",
            Self::LostEntry => "listed entry lost",
            Self::OtherRange => "another range",
            Self::WholeForRange => "whole for a range",
            Self::FlipResponseBit => "flipped bit",
            Self::FlipRequestBit => "flipped bit sent",
            Self::ErrorInside => "error inside",
            Self::SlowFirstByte(_) => "slow first byte",
            Self::StaleListing => "stale listing",
            Self::ExpiredToken => "expired credentials",
            Self::BareNotFound => "bare not found",
            Self::NotImplemented => "not implemented",
            Self::Unheeded => "unheeded",
        }
    }
}

impl fault::Kind for Fault {
    type Operation = Operation;

    /// Flipped bits and bodies of a wrong length strike object data alone: nothing in S3 protects the
    /// letters of an XML answer over plain HTTP, so no client could notice. A client can notice a cut answer.
    fn applies_to(self, operation: Operation) -> bool {
        use Operation::{
            CompleteMultipartUpload, CopyObject, DeleteObject, GetObject, ListObjectsV2, PutObject, UploadPart,
            UploadPartCopy,
        };
        match self {
            Self::TruncateResponse
            | Self::OverlongResponse
            | Self::OtherRange
            | Self::WholeForRange
            | Self::FlipResponseBit => operation == GetObject,
            Self::CutXml | Self::CutEntry | Self::UnclosedXml => operation.answers_in_xml(),
            Self::LostEntry => operation == ListObjectsV2,
            Self::Unheeded => operation == DeleteObject,
            Self::FlipRequestBit => matches!(operation, PutObject | UploadPart),
            Self::ErrorInside => matches!(operation, CompleteMultipartUpload | CopyObject | UploadPartCopy),
            Self::StaleListing => operation.lists_objects(),
            _ => true,
        }
    }
}

/// One kind of fault, with when and what it strikes.
pub type FaultRule = fault::Rule<Fault>;

/// All that goes wrong with a server's requests. The first rule that strikes decides.
pub type Faults = fault::Rules<Fault>;

pub(super) type Strike = fault::Strike<Fault>;
pub(super) type ActiveFaults = fault::Counted<Fault>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_only_where_it_makes_sense() {
        let faults = ActiveFaults::new(Faults::one(1, FaultRule::new(Fault::ErrorInside, When::Every(1))));
        assert!(faults.next(Operation::PutObject).is_none());
        assert!(faults.next(Operation::CopyObject).is_some());
        let faults = ActiveFaults::new(Faults::one(1, FaultRule::new(Fault::CutXml, When::Every(1))));
        assert!(faults.next(Operation::GetObject).is_none() && faults.next(Operation::PutObject).is_none());
        assert!(faults.next(Operation::ListParts).is_some());
    }
}
