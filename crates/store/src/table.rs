//! [`TableStore`] and [`ChangeStream`]: the abilities of every place that holds a table, and what it shows of it.

use std::fmt::Debug;

use async_trait::async_trait;
use migrate_core::{
    item::{Item, ItemKey},
    model::Timestamp,
    table::{Structure, TableAbilities},
};

use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    object::Result,
};

/// A place that holds one table.
///
/// A store is opened on one table, which may not be there yet.
#[async_trait]
pub trait TableStore: Debug + Send + Sync {
    /// The location, for people: `dynamodb://oregon/accounts`.
    fn location(&self) -> &str;

    /// Which server this is, and as whom this process speaks to it.
    fn endpoint(&self) -> &EndpointId;

    /// What is known of the endpoint; nothing until [`probe`](Self::probe) or [`adopt`](Self::adopt).
    fn abilities(&self) -> TableAbilities;

    /// Tests the abilities of the endpoint in a scratch table, which it removes again.
    async fn probe(&self) -> Result<TableAbilities>;

    /// Takes over the result of an earlier probe of the same endpoint.
    fn adopt(&self, abilities: TableAbilities);

    /// The table as it is; `None` if the server names it as missing.
    async fn describe(&self) -> Result<Option<Described>>;

    /// Makes the table, without TTL, and returns once it and all its indexes are active. What the server does not
    /// support is left out and returned, by the names that a plan waives.
    ///
    /// Fails with [`ErrorKind::Conflict`] if it is there, and leaves it as it is.
    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>>;

    /// Sets the attribute by which items expire, or none.
    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()>;

    /// One page of a segment. With `strong`, the page shows every write acknowledged before the call.
    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned>;

    /// The items of these keys, by strong reads. At most [`GET_MAX`] keys, no two of them equal.
    async fn get(&self, keys: &[ItemKey]) -> Result<Got>;

    /// Puts and deletes. At most [`WRITE_MAX`] writes, no two of them of one key.
    ///
    /// An error says whether some of them may have happened ([`StoreError::outcome_unknown`](crate::StoreError));
    /// [`Written::left`] names those that certainly have not.
    async fn write(&self, writes: &[ItemWrite]) -> Result<Written>;

    /// Puts an item if no item has its key (`expected` is `None`), or if the item there is exactly `expected`.
    ///
    /// Fails with [`ErrorKind::Precondition`] if it is another one.
    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()>;

    /// Tests with an item under this key, which it removes again, whether conditions of [`put_if`](Self::put_if) are
    /// kept in this table: with writes whose condition does not hold, and with ones whose condition holds. Nothing else
    /// must use the key meanwhile.
    async fn probe_item(&self, key: &ItemKey) -> Result<bool>;

    /// The stream of the table's changes, if this kind of place can have one.
    fn changes(&self) -> Option<&dyn ChangeStream>;

    /// Brings the place into its final form, as the last thing that a process does with it: what it needs only for
    /// itself is folded into what others read. Nothing acknowledged is lost without it. The store works on afterwards.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// The most keys of one [`TableStore::get`].
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
pub const GET_MAX: usize = 100;

/// The most writes of one [`TableStore::write`].
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub const WRITE_MAX: usize = 25;

/// A table as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// All but its items.
    pub structure: Structure,
    /// What the server is doing with it.
    pub state: TableState,
    /// How many items it holds, as the server estimates it (`DynamoDB` counts every six hours).
    pub items: Option<u64>,
    /// How many bytes they are, by the same estimate.
    pub bytes: Option<u64>,
    /// The name of its stream, if it has one that is enabled. A stream that was disabled and enabled has another.
    pub stream: Option<String>,
    /// The name that it has among all tables, if its server gives one: on AWS with its region and account.
    pub arn: Option<String>,
}

/// What a server is doing with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableState {
    /// It and its indexes can be used.
    Active,
    /// It is being made.
    Creating,
    /// It, or an index of it, is being changed; it can be read and written.
    Updating,
    /// It is being deleted.
    Deleting,
    /// It cannot be used: archived, or without its encryption key.
    Inaccessible,
}

/// One of the parts in which a table is scanned side by side: `index` of `of`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Which part.
    pub index: u32,
    /// How many parts there are, at least 1.
    pub of: u32,
}

/// A page of a scan. A page without items is not the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Scanned {
    /// The items of the page.
    pub items: Vec<Item>,
    /// After which key the next page begins; `None` at the end of the segment.
    pub next: Option<ItemKey>,
    /// The capacity that it took, in read units, if the server says so.
    pub consumed: Option<f64>,
}

/// The answer to a get: every key is in one of the three.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Got {
    /// The items that are there.
    pub found: Vec<(ItemKey, Item)>,
    /// The keys that no item has.
    pub absent: Vec<ItemKey>,
    /// The keys that were not answered: ask again. A [`RetryingTable`](crate::retry::RetryingTable) leaves none over.
    pub left: Vec<ItemKey>,
    /// The capacity that it took, in read units, if the server says so.
    pub consumed: Option<f64>,
}

impl Got {
    /// What there is under each of these keys, which were asked for at `location`, in their order.
    ///
    /// # Errors
    ///
    /// If a key was not answered: [`ErrorKind::Throttled`]. That an item is not there only
    /// an answer says.
    pub fn whole(self, keys: &[ItemKey], location: &str) -> Result<Vec<Option<Item>>> {
        let Self { mut found, absent, .. } = self;
        let of = |key: &ItemKey| {
            if let Some(at) = found.iter().position(|(of, _)| of == key) {
                return Ok(Some(found.swap_remove(at).1));
            }
            let unanswered = || StoreError::new(ErrorKind::Throttled, "read items", location, "a key was not answered");
            absent.contains(key).then_some(None).ok_or_else(unanswered)
        };
        keys.iter().map(of).collect()
    }
}

/// One change of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemWrite {
    /// Puts the item, over the one that has its key.
    Put(Item),
    /// Deletes the item with this key; a missing one is no error.
    Delete(ItemKey),
}

/// The answer to a write.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// The positions of the writes that were certainly not carried out: send them again, later. A
    /// [`RetryingTable`](crate::retry::RetryingTable) leaves none over.
    pub left: Vec<usize>,
    /// The capacity that it took, in write units, if the server says so.
    pub consumed: Option<f64>,
}

impl Written {
    /// That all writes at `location` were carried out.
    ///
    /// # Errors
    ///
    /// If some were left over: [`ErrorKind::Throttled`], with an unknown outcome, because
    /// the others were carried out.
    pub fn whole(self, location: &str) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let detail = "a part of the batch was left over";
        Err(StoreError::new(ErrorKind::Throttled, "write items", location, detail).with_unknown_outcome())
    }
}

/// The changes of a table, as keys. A stream has shards; a shard ends, and may have children.
#[async_trait]
pub trait ChangeStream: Debug + Send + Sync {
    /// Enables the stream, unless the table has one that is enabled, and returns its name and whether this call
    /// enabled it. Returns once it shows every change acknowledged later.
    async fn enable(&self) -> Result<(String, bool)>;

    /// Disables the stream of this name; a stream that is not there is no error.
    async fn disable(&self, stream: &str) -> Result<()>;

    /// All shards of a stream. Fails with [`ErrorKind::NotFound`] if the table has no
    /// stream of this name.
    async fn shards(&self, stream: &str) -> Result<Vec<StreamShard>>;

    /// An iterator at a position of a shard. Fails with [`ErrorKind::NotFound`] if the
    /// shard has expired, with [`ErrorKind::Changed`] if the position was trimmed: changes
    /// are lost.
    async fn iterator(&self, stream: &str, shard: &str, from: &Position) -> Result<StreamIterator>;

    /// The next records. Fails with [`ErrorKind::Precondition`] if the iterator has
    /// expired (ask for another one at the last position), with [`ErrorKind::Changed`] if
    /// records were trimmed: changes are lost.
    async fn read(&self, iterator: StreamIterator) -> Result<Changes>;
}

/// One shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamShard {
    /// Its id.
    pub id: String,
    /// The shard whose changes come before its own. It may have expired, and is then not listed.
    pub parent: Option<String>,
}

/// A position in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The oldest record that there still is.
    Oldest,
    /// After the record with this sequence number.
    After(String),
}

/// A place in a shard to read on from; it expires (on AWS after 15 minutes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamIterator(pub String);

/// What a read of a stream shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The changes, in their order. None does not mean that the shard has ended.
    pub records: Vec<Change>,
    /// Where to read on; `None` if, and only if, the shard has ended.
    pub next: Option<StreamIterator>,
}

/// One change: its key alone. What the item is now, the table says.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key that was put or deleted.
    pub key: ItemKey,
    /// Its number, ascending within a shard.
    pub sequence: String,
    /// When it was made, as the server says.
    pub at: Option<Timestamp>,
    /// Whether the server itself deleted the item, because its time was over.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html>
    pub expired: bool,
}
