//! The faults of a call of the trait, and the error that a careful backend makes of each.
//!
//! The errors are those that `migrate_aws` returns when a server or the network does the
//! same to it: same kind, and same word on whether a write may have happened all the same.

use std::time::Duration;

use crate::error::ErrorKind;
use migrate_fault as fault;

/// One method of [`ObjectStore`](crate::object::ObjectStore), [`TableStore`](crate::table::TableStore) or
/// [`ChangeStream`](crate::table::ChangeStream) that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `probe`
    Probe,
    /// `Listing::next`: one page.
    List,
    /// `head`
    Head,
    /// `tags`
    Tags,
    /// `read` of a whole object.
    Read,
    /// `read` of a range.
    ReadRange,
    /// `put`
    Put,
    /// `begin_upload`
    BeginUpload,
    /// `put_part`
    PutPart,
    /// `list_parts`
    ListParts,
    /// `finish_upload`
    FinishUpload,
    /// `set_tags`
    SetTags,
    /// `abort_upload`
    AbortUpload,
    /// `list_uploads`
    ListUploads,
    /// `delete`
    Delete,
    /// `TableStore::describe`
    Describe,
    /// `TableStore::create`
    Create,
    /// `TableStore::set_ttl`
    SetTtl,
    /// `TableStore::scan`: one page.
    Scan,
    /// `TableStore::get`
    Get,
    /// `TableStore::write`
    Write,
    /// `TableStore::put_if`
    PutIf,
    /// `ChangeStream::enable`
    EnableStream,
    /// `ChangeStream::disable`
    DisableStream,
    /// `ChangeStream::shards`
    ListShards,
    /// `ChangeStream::iterator`
    FindPosition,
    /// `ChangeStream::read`
    ReadStream,
}

impl Operation {
    /// The verb in the operation's errors.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::List => "list",
            Self::Head | Self::Describe => "look at",
            Self::Tags => "read tags of",
            Self::Read | Self::ReadRange => "read",
            Self::Put | Self::Write | Self::PutIf => "write",
            Self::BeginUpload => "begin upload of",
            Self::PutPart => "write part of",
            Self::ListParts => "list parts of",
            Self::FinishUpload => "finish upload of",
            Self::SetTags => "set tags of",
            Self::AbortUpload => "abort upload of",
            Self::ListUploads => "list uploads of",
            Self::Delete => "delete",
            Self::Create => "create",
            Self::SetTtl => "set the expiry of",
            Self::Scan => "scan",
            Self::Get => "get",
            Self::EnableStream => "enable the stream",
            Self::DisableStream => "disable the stream",
            Self::ListShards => "list the shards of the stream",
            Self::FindPosition => "find a position in",
            Self::ReadStream => "read the stream",
        }
    }

    /// Whether S3 or `DynamoDB` answers with a document. Other operations answer by status, headers and body.
    fn answers_in_a_document(self) -> bool {
        use Operation::{BeginUpload, FinishUpload, List, ListParts, ListUploads, Tags};
        matches!(self, List | Tags | BeginUpload | ListParts | FinishUpload | ListUploads) || self.is_of_a_table()
    }

    /// Whether it is one of a table or its stream.
    fn is_of_a_table(self) -> bool {
        use Operation::{
            Create, Describe, DisableStream, EnableStream, FindPosition, Get, ListShards, PutIf, ReadStream, Scan,
            SetTtl, Write,
        };
        matches!(self, Describe | Create | SetTtl | Scan | Get | Write | PutIf)
            || matches!(self, EnableStream | DisableStream | ListShards | FindPosition | ReadStream)
    }

    /// Whether the operation changes the store.
    pub(super) fn writes(self) -> bool {
        use Operation::{AbortUpload, BeginUpload, Create, Delete, DisableStream, EnableStream, FinishUpload, Put};
        use Operation::{PutIf, PutPart, SetTags, SetTtl, Write};
        matches!(self, Put | BeginUpload | PutPart | FinishUpload | SetTags | AbortUpload | Delete)
            || matches!(self, Create | SetTtl | Write | PutIf | EnableStream | DisableStream)
    }
}

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500: nothing was done, but a status from 500 up does not promise that.
    InternalError,
    /// 503 `SlowDown`; nothing was done.
    SlowDown,
    /// No connection comes about: nothing was sent, and the caller knows it.
    Unreachable,
    /// No answer in time; nothing was done.
    TimedOut,
    /// No answer in time, and the request is still under way: it acts once [`Faults::release`](super::Faults::release)
    /// lets it.
    Held,
    /// The connection breaks before the store acted.
    ResetBefore,
    /// The connection breaks after the store acted: the answer is lost.
    ResetAfter,
    /// The answer is a cut document, framed as if it were whole. The store notices; the content is lost as if no
    /// answer had come. A listing goes on at the same place.
    CutAnswer,
    /// The body of a read ends early, which the store notices.
    TruncatedBody,
    /// The body of a read runs past its length, which the store notices.
    OverlongBody,
    /// A bit of a read's body flips, and a checksum shows it.
    FlippedBit,
    /// A bit of a range's body flips unnoticed: over plain HTTP only TCP guards ranges. Never part of
    /// [`Faults::new`](super::Faults::new), because the read returns wrong bytes.
    FlippedBitUnnoticed,
    /// A bit of a write's body flips on its way, and the store refuses it.
    FlippedBitSent,
    /// 200 with an error inside: nothing was done. Of the trait's operations only a finish can answer so.
    ErrorInside,
    /// A page of a listing does not show the key that was written last through the same store.
    StaleListing,
    /// A server takes the first half of a batch and leaves the rest over; a batch of one it leaves over whole.
    LeftOver,
    /// A page of a scan that is not the first shows nothing, and goes on where it was. A read of a stream shows nothing,
    /// and goes on.
    EmptyPage,
    /// The iterator of a stream has expired.
    ExpiredIterator,
    /// The right answer begins later by this duration.
    SlowFirstByte(Duration),
    /// The credentials have expired: this call and the following ones fail, this many in all or until
    /// [`Faults::renew`](super::Faults::renew).
    ExpiredCredentials(u64),
}

impl Fault {
    /// The fault's name, for errors and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::InternalError => "internal error",
            Self::SlowDown => "slow down",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed out",
            Self::Held => "held",
            Self::ResetBefore => "reset before",
            Self::ResetAfter => "reset after",
            Self::CutAnswer => "answer cut",
            Self::TruncatedBody => "truncated body",
            Self::OverlongBody => "overlong body",
            Self::FlippedBit => "flipped bit",
            Self::FlippedBitUnnoticed => "flipped bit unnoticed",
            Self::FlippedBitSent => "flipped bit sent",
            Self::ErrorInside => "error inside",
            Self::StaleListing => "stale listing",
            Self::LeftOver => "left over",
            Self::EmptyPage => "empty page",
            Self::ExpiredIterator => "expired iterator",
            Self::SlowFirstByte(_) => "slow first byte",
            Self::ExpiredCredentials(_) => "expired credentials",
        }
    }

    /// The error that the fault causes, if it causes one.
    pub(super) fn error(self) -> Option<ErrorKind> {
        Some(match self {
            Self::InternalError | Self::ResetBefore | Self::ResetAfter | Self::CutAnswer | Self::ErrorInside => {
                ErrorKind::Unavailable
            }
            Self::SlowDown => ErrorKind::Throttled,
            Self::Unreachable => ErrorKind::Unreachable,
            Self::TimedOut | Self::Held => ErrorKind::TimedOut,
            Self::TruncatedBody | Self::OverlongBody | Self::FlippedBit | Self::FlippedBitSent => ErrorKind::Corrupt,
            Self::ExpiredCredentials(_) => ErrorKind::Credentials,
            Self::ExpiredIterator => ErrorKind::Precondition,
            Self::FlippedBitUnnoticed
            | Self::StaleListing
            | Self::LeftOver
            | Self::EmptyPage
            | Self::SlowFirstByte(_) => return None,
        })
    }

    /// Whether the store carries out the call in spite of the fault.
    pub(super) fn acts(self) -> bool {
        matches!(self, Self::ResetAfter | Self::CutAnswer) || self.error().is_none()
    }

    /// Whether the caller must assume that a write with this fault may have happened.
    pub(super) fn hides_outcome(self) -> bool {
        use Fault::{CutAnswer, ErrorInside, Held, InternalError, ResetAfter, ResetBefore, SlowDown, TimedOut};
        matches!(self, InternalError | SlowDown | TimedOut | Held | ResetBefore | ResetAfter | CutAnswer | ErrorInside)
    }
}

impl fault::Kind for Fault {
    type Operation = Operation;

    fn applies_to(self, operation: Operation) -> bool {
        match self {
            Self::TruncatedBody | Self::OverlongBody | Self::FlippedBit => {
                matches!(operation, Operation::Read | Operation::ReadRange)
            }
            Self::CutAnswer => operation.answers_in_a_document(),
            Self::FlippedBitUnnoticed => operation == Operation::ReadRange,
            Self::Held => matches!(operation, Operation::Put | Operation::Delete | Operation::Write),
            Self::LeftOver => matches!(operation, Operation::Get | Operation::Write),
            Self::EmptyPage => matches!(operation, Operation::Scan | Operation::ReadStream),
            Self::ExpiredIterator => operation == Operation::ReadStream,
            Self::FlippedBitSent => matches!(operation, Operation::Put | Operation::PutPart),
            Self::ErrorInside => operation == Operation::FinishUpload,
            Self::StaleListing => operation == Operation::List,
            _ => true,
        }
    }
}
