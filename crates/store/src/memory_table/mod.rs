//! A table in memory, for tests: no more helpful than the worst of servers, and with a stream that a test scripts.
//!
//! What `DynamoDB` does not promise is not so here either:
//!
//! - Items come in the order of the digests of their keys, in small pages if asked, and the next page begins after a
//!   key that may be gone by then.
//! - A scan that is not strong shows every item as it was before the last write of it.
//! - A batch leaves over what is beyond [`answer_at_most`](MemoryTable::answer_at_most).
//! - Sequence numbers are texts whose lengths differ: their order is that of numbers.
//! - Shards split, iterators expire, reads are empty before the end, old shards and records vanish, when the test says
//!   so ([`stream`]).

mod script;
mod stream;
mod table;

pub use table::MemoryTable;
