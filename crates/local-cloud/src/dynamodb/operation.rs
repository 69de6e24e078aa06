//! The operations of the server.

/// Makes the enum and its names from one list.
macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// An operation, by the name that it has in `X-Amz-Target`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each has the name of the operation in AWS's documentation")]
        pub enum DynamoOperation {
            $($name,)*
            /// One that the server does not know.
            Unknown,
        }

        impl DynamoOperation {
            /// The operation of this name.
            pub(super) fn named(name: &str) -> Self {
                match name {
                    $(stringify!($name) => Self::$name,)*
                    _ => Self::Unknown,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Unknown => "Unknown",
                }
            }
        }
    };
}

operations!(
    BatchGetItem,
    BatchWriteItem,
    CreateTable,
    DeleteItem,
    DeleteResourcePolicy,
    DeleteTable,
    DescribeContinuousBackups,
    DescribeStream,
    DescribeTable,
    DescribeTimeToLive,
    GetItem,
    GetRecords,
    GetResourcePolicy,
    GetShardIterator,
    ListStreams,
    ListTables,
    ListTagsOfResource,
    PutItem,
    PutResourcePolicy,
    Query,
    Scan,
    TagResource,
    TransactGetItems,
    TransactWriteItems,
    UntagResource,
    UpdateContinuousBackups,
    UpdateItem,
    UpdateTable,
    UpdateTimeToLive,
);

impl DynamoOperation {
    /// Whether it is about a stream: these have a target of their own.
    pub(super) fn is_of_streams(self) -> bool {
        matches!(self, Self::DescribeStream | Self::GetRecords | Self::GetShardIterator | Self::ListStreams)
    }

    /// Whether it is carried out in part, and says what is left.
    pub(super) fn is_batch(self) -> bool {
        matches!(self, Self::BatchGetItem | Self::BatchWriteItem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_known_by_its_name() {
        assert_eq!(DynamoOperation::named("BatchWriteItem"), DynamoOperation::BatchWriteItem);
        assert_eq!(DynamoOperation::BatchWriteItem.name(), "BatchWriteItem");
        assert_eq!(DynamoOperation::named("ExecuteStatement"), DynamoOperation::Unknown);
    }
}
