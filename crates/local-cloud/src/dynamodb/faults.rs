//! Faults: what can go wrong with a request. [`fault`] decides when, by a seed, so that a failure replays.

use std::time::Duration;

use super::operation::DynamoOperation;
use migrate_fault as fault;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamoFault {
    /// 400 `ProvisionedThroughputExceededException`, which names the table; nothing was done.
    Throttle,
    /// The same, which names this global index of the table: it takes no more writes, so the table takes none for it.
    ThrottleIndex(&'static str),
    /// A batch is carried out in half: the rest of it is left, in a success.
    Unprocessed,
    /// 500 `InternalServerError`; nothing was done.
    InternalError,
    /// 500 `InternalServerError`, although the request was carried out.
    InternalErrorAfter,
    /// The connection closes without an answer; nothing was done.
    ResetBefore,
    /// The connection closes without an answer, although the request was carried out.
    ResetAfter,
    /// The answer begins late.
    Delay(Duration),
    /// The request is carried out late, and not at all if its connection is closed by then.
    DelayBefore(Duration),
    /// A put is carried out whatever its condition says, as by a server that does not know conditions.
    ConditionIgnored,
    /// Each of these texts in a request is replaced before it is carried out, as by a server that holds something else than
    /// it was sent, or that refuses it.
    Bent {
        /// A text, as it is in JSON without spaces.
        from: &'static str,
        /// What takes its place.
        to: &'static str,
    },
    /// A put under a condition is refused, although the condition may hold.
    ConditionRefused,
    /// The answer is cut in half, and its framing is whole, as from a proxy.
    CutAnswer,
    /// The answer is empty, and its framing is whole.
    EmptyAnswer,
    /// One bit of the answer is flipped; its checksum is that of the right one.
    FlipBit,
    /// 400 `ExpiredTokenException`; nothing was done.
    ExpiredToken,
    /// 400 `ExpiredIteratorException`.
    ExpiredIterator,
    /// 400 `TrimmedDataAccessException`.
    TrimmedData,
}

impl DynamoFault {
    /// The fault's name, for counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::ThrottleIndex(_) => "throttled index",
            Self::Unprocessed => "unprocessed",
            Self::InternalError => "internal error",
            Self::InternalErrorAfter => "internal error after",
            Self::ResetBefore => "reset before",
            Self::ResetAfter => "reset after",
            Self::Delay(_) => "delay",
            Self::DelayBefore(_) => "delay before",
            Self::ConditionIgnored => "condition ignored",
            Self::Bent { .. } => "bent",
            Self::ConditionRefused => "condition refused",
            Self::CutAnswer => "cut answer",
            Self::EmptyAnswer => "empty answer",
            Self::FlipBit => "flipped bit",
            Self::ExpiredToken => "expired credentials",
            Self::ExpiredIterator => "expired iterator",
            Self::TrimmedData => "trimmed data",
        }
    }
}

impl fault::Kind for DynamoFault {
    type Operation = DynamoOperation;

    fn applies_to(self, operation: DynamoOperation) -> bool {
        match self {
            Self::Unprocessed => operation.is_batch(),
            Self::ConditionIgnored | Self::ConditionRefused => operation == DynamoOperation::PutItem,
            Self::ExpiredIterator => operation == DynamoOperation::GetRecords,
            Self::TrimmedData => {
                matches!(operation, DynamoOperation::GetRecords | DynamoOperation::GetShardIterator)
            }
            _ => true,
        }
    }
}

/// One kind of fault, with when and what it strikes.
pub type DynamoFaultRule = fault::Rule<DynamoFault>;

/// All that goes wrong with a server's requests. The first rule that strikes decides.
pub type DynamoFaults = fault::Rules<DynamoFault>;

pub(super) type ActiveFaults = fault::Counted<DynamoFault>;
pub(super) type Strike = fault::Strike<DynamoFault>;
