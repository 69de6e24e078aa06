//! A directory as a table: items as lines, in the format of `DynamoDB`'s exports (`{"Item":{...}}`).
//!
//! # Two kinds of directories
//!
//! - **Ours** ([`own`]): made by this tool, read and written. `table.json` says what the table is, `data/*.json` hold
//!   its items.
//! - **Plain** ([`plain`]): an export that AWS made, or lines of any origin. It is only read. Its files are sorted once,
//!   into files without a name ([`sorted`]), because they are in no order and may be compressed.
//!
//! # The layout of our own, and why
//!
//! The digest of an item's key says, hexadecimal digit by digit, in which file its line is: `data/3f.json` holds the
//! keys whose digests begin with `3f`. A file that grows beyond a megabyte is split into sixteen by the next
//! digit. So one file is read for one key, memory holds one file at a time whatever the size of the table, segments are
//! ranges of digests, and a cursor is a digest: it holds when its item is gone.
//!
//! A file that is rewritten for each write would be written a thousand times. So a write is first appended to one
//! journal and synced: that is when it is acknowledged. Once the journal is large, its writes are moved to one log for
//! each file, and a log is folded into its file when it is as large as the file, so that the bytes written for a table
//! are a small multiple of its bytes. [`close`](crate::table::TableStore::close) folds everything; then the directory
//! is a plain export beside `table.json`, and nothing else is left in it.
//!
//! Reads merge file, log and journal, so they are strong at every moment.
//!
//! # What a crash leaves
//!
//! A batch of the journal has its length and checksum; one that a crash tore was not acknowledged, and only the last
//! one can be torn. Moving writes to logs and folding logs may be repeated: each sets what is under a key, and the
//! newer of two copies is always applied later. A file is replaced by renaming. A split writes all sixteen files, then
//! removes the one they came from, so as long as that one is there it is the one that counts; all sixteen are written,
//! also empty ones, so that a file which is missing is noticed.
//!
//! Two processes never have one directory open while one of them may write it: it is locked, as far as the file
//! system has locks.

mod description;
mod journal;
mod leaves;
mod lines;
mod own;
mod plain;
mod sorted;
mod store;
#[cfg(test)]
mod tests;

pub use store::TableDirectory;
