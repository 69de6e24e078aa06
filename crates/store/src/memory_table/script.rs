//! Lets tests script the stream of a table in memory.

use super::table::MemoryTable;

impl MemoryTable {
    /// Splits every open shard in two.
    pub fn split_shards(&self) {
        self.held().streams.split();
    }

    /// Lets every iterator expire that was given out so far.
    pub fn expire_iterators(&self) {
        self.held().streams.expire_iterators();
    }

    /// Lets every shard that has ended vanish, with its records.
    pub fn expire_shards(&self) {
        self.held().streams.expire_shards();
    }

    /// Trims every record that there is: whoever has not read it has lost it.
    pub fn trim(&self) {
        self.held().streams.trim();
    }

    /// Forgets the stream, though the description still names it: on AWS they are two services.
    pub fn forget_stream(&self) {
        self.held().streams.forget();
    }

    /// Lets the next reads show nothing, though there are records.
    pub fn read_nothing(&self, times: u32) {
        self.held().streams.empty_reads = times;
    }

    /// Limits the records of one read.
    pub fn read_at_most(&self, records: usize) {
        self.held().streams.records_max = Some(records.max(1));
    }

    /// Disables the stream and enables another one, as an operator might.
    pub fn renew_stream(&self) {
        let mut held = self.held();
        if let Some(current) = held.streams.current.clone() {
            held.streams.disable(&current);
            held.streams.enable();
        }
    }
}
