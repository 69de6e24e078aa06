//! [`RetryingTable`]: repeats what failed in passing, and never a write that may still act.
//!
//! Tables are last-writer-wins. If the answer of a write was lost, the request may still be on its way: repeating it
//! could succeed, a newer write of the same key could follow, and then the old request could land on top of that. So
//! a write whose outcome is unknown is never repeated here. The error says so, the tracker is told of every key of the
//! batch, and the caller keeps these keys dirty: their next turn reads what the items are by then.
//!
//! What certainly did not happen is repeated: throttled requests, connections that never came about, and what a
//! server left over of a batch. Nothing else can write those keys meanwhile, because the call has not returned.
//!
//! A `get` and a `write` of this table leave nothing over: they end with all of the batch, or fail. While the server takes
//! something they go on; if it takes nothing at all for five minutes, or its tracker says that it is no longer to be
//! waited for, they fail as throttled.

// The lint asks for an explicit decision about every method that the traits gain.
#![deny(clippy::missing_trait_methods)]

use std::{borrow::Cow, future, sync::Arc};

use async_trait::async_trait;
use migrate_core::{
    item::{Item, ItemKey, KeyNames},
    model::Key,
    table::{Structure, TableAbilities},
};

use super::{
    attempts::{Attempts, repeat},
    patience::Patience,
    policy::{Pacer, RetryPolicy},
    track::{TrackWrites, Tracked},
};
use crate::{
    endpoint::EndpointId,
    error::{ErrorKind, StoreError},
    meter::no_stream,
    object::Result,
    table::{
        ChangeStream, Changes, Described, Got, ItemWrite, Position, Scanned, Segment, StreamIterator, StreamShard,
        TableStore, Written,
    },
};

/// A table whose failed requests are repeated.
#[derive(Debug)]
pub struct RetryingTable {
    inner: Arc<dyn TableStore>,
    pacer: Arc<Pacer>,
    tracker: Option<(Arc<dyn TrackWrites>, KeyNames)>,
}

impl RetryingTable {
    /// Repeats the failed requests of a table by this policy.
    pub fn new(inner: Arc<dyn TableStore>, policy: RetryPolicy) -> Self {
        Self { inner, pacer: Arc::new(Pacer::new(policy)), tracker: None }
    }

    /// The same table, which tells of its writes, by the texts of these keys.
    #[must_use]
    pub fn tracked_by(self, tracker: Arc<dyn TrackWrites>, names: KeyNames) -> Self {
        Self { tracker: Some((tracker, names)), ..self }
    }

    /// The texts of the keys of some writes, if anybody asks for them.
    fn texts<'a>(&self, writes: impl IntoIterator<Item = &'a ItemWrite>) -> Vec<Key> {
        let Some((_, names)) = &self.tracker else { return Vec::new() };
        let text = |write: &ItemWrite| match write {
            ItemWrite::Put(item) => names.key_of(item).map(|key| names.text(&key)),
            ItemWrite::Delete(key) => Some(names.text(key)),
        };
        writes.into_iter().filter_map(text).collect()
    }

    fn track(&self, keys: &[Key]) -> Result<Tracked<'_>> {
        let tracker = self.tracker.as_ref().map(|(tracker, _)| &**tracker);
        let first = keys.first().cloned().unwrap_or_else(|| Key::from(""));
        Tracked::begin(tracker, "write", self.location(), &first)
    }

    /// Ends a write: if its outcome is unknown, it is unknown for all of its keys.
    async fn end<T>(write: Tracked<'_>, keys: &[Key], done: &Result<T>) {
        let unknown = done.as_ref().is_err_and(StoreError::outcome_unknown);
        write.end_all(keys.iter().filter(|_| unknown)).await;
    }

    async fn write_attempts(&self, writes: &[ItemWrite]) -> Result<Written> {
        let mut patience = Patience::new(&self.pacer, "write", self.location());
        let (mut open, mut consumed): (Vec<usize>, Option<f64>) = ((0..writes.len()).collect(), None);
        loop {
            let batch: Cow<'_, [ItemWrite]> = if open.len() == writes.len() {
                Cow::Borrowed(writes)
            } else {
                open.iter().map(|at| writes[*at].clone()).collect()
            };
            let paused = match self.inner.write(&batch).await {
                Ok(written) => {
                    self.pacer.succeeded();
                    consumed = sum(consumed, written.consumed);
                    if written.left.len() < open.len() {
                        patience.begin_anew();
                    }
                    open = written.left.into_iter().map(|at| open[at]).collect();
                    if open.is_empty() {
                        return Ok(Written { left: Vec::new(), consumed });
                    }
                    patience.left_over(self.stops()).await
                }
                Err(error) if error.outcome_unknown() => return Err(error),
                Err(error) => patience.failed(error, self.stops()).await,
            };
            match paused {
                Ok(()) => {}
                Err(error) if open.len() == writes.len() => return Err(error),
                // A part was carried out: whoever is told of a failure must look at all of it.
                Err(error) => return Err(error.with_unknown_outcome()),
            }
        }
    }

    /// Waits until a server that takes no write is no longer to be waited for.
    async fn stops(&self) {
        match &self.tracker {
            Some((tracker, _)) => tracker.stops().await,
            None => future::pending().await,
        }
    }

    /// Repeats an attempt that changes the table, unless its outcome is unknown.
    async fn put_attempts(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        let mut attempts = Attempts::new(&self.pacer);
        loop {
            match self.inner.put_if(item, expected).await {
                Ok(()) => {
                    self.pacer.succeeded();
                    return Ok(());
                }
                Err(error) if error.outcome_unknown() => return Err(error),
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    fn stream(&self) -> Result<&dyn ChangeStream> {
        self.inner.changes().ok_or_else(|| no_stream(self.inner.location()))
    }
}

fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

#[async_trait]
impl TableStore for RetryingTable {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn endpoint(&self) -> &EndpointId {
        self.inner.endpoint()
    }

    fn abilities(&self) -> TableAbilities {
        self.inner.abilities()
    }

    async fn probe(&self) -> Result<TableAbilities> {
        repeat!(Attempts::new(&self.pacer), self.inner.probe())
    }

    fn adopt(&self, abilities: TableAbilities) {
        self.inner.adopt(abilities);
    }

    async fn describe(&self) -> Result<Option<Described>> {
        repeat!(Attempts::new(&self.pacer), self.inner.describe())
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        let mut attempts = Attempts::new(&self.pacer);
        loop {
            match self.inner.create(structure).await {
                Ok(left_out) => {
                    self.pacer.succeeded();
                    return Ok(left_out);
                }
                // The table may be there by then, and what was left out of it would not be told: the caller looks.
                Err(error) if error.outcome_unknown() || error.kind() == ErrorKind::Conflict => return Err(error),
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        repeat!(Attempts::new(&self.pacer), self.inner.set_ttl(attribute))
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        repeat!(Attempts::new(&self.pacer), self.inner.scan(segment, after, strong))
    }

    /// Whoever no longer wants the answer drops the call.
    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        let mut patience = Patience::new(&self.pacer, "read items", self.location());
        let (mut all, mut open) = (Got::default(), keys.to_vec());
        loop {
            match self.inner.get(&open).await {
                Ok(got) => {
                    self.pacer.succeeded();
                    all.found.extend(got.found);
                    all.absent.extend(got.absent);
                    all.consumed = sum(all.consumed, got.consumed);
                    if got.left.len() < open.len() {
                        patience.begin_anew();
                    }
                    open = got.left;
                    if open.is_empty() {
                        return Ok(all);
                    }
                    patience.left_over(future::pending()).await?;
                }
                Err(error) => patience.failed(error, future::pending()).await?,
            }
        }
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        let keys = self.texts(writes);
        let write = self.track(&keys)?;
        let done = self.write_attempts(writes).await;
        Self::end(write, &keys, &done).await;
        done
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        let keys = self.texts([&ItemWrite::Put(item.clone())]);
        let write = self.track(&keys)?;
        let done = self.put_attempts(item, expected).await;
        Self::end(write, &keys, &done).await;
        done
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        repeat!(Attempts::new(&self.pacer), self.inner.probe_item(key))
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        self.inner.changes().map(|_| self as &dyn ChangeStream)
    }

    async fn close(&self) -> Result<()> {
        repeat!(Attempts::new(&self.pacer), self.inner.close())
    }
}

#[async_trait]
impl ChangeStream for RetryingTable {
    /// If the answer of the first attempt was lost, the second one says that the stream was there before. So a stream
    /// of ours may stay enabled, and none of somebody else is ever disabled.
    async fn enable(&self) -> Result<(String, bool)> {
        let stream = self.stream()?;
        repeat!(Attempts::new(&self.pacer), stream.enable())
    }

    async fn disable(&self, name: &str) -> Result<()> {
        let stream = self.stream()?;
        repeat!(Attempts::new(&self.pacer), stream.disable(name))
    }

    async fn shards(&self, name: &str) -> Result<Vec<StreamShard>> {
        let stream = self.stream()?;
        repeat!(Attempts::new(&self.pacer), stream.shards(name))
    }

    async fn iterator(&self, name: &str, shard: &str, from: &Position) -> Result<StreamIterator> {
        let stream = self.stream()?;
        repeat!(Attempts::new(&self.pacer), stream.iterator(name, shard, from))
    }

    async fn read(&self, iterator: StreamIterator) -> Result<Changes> {
        let stream = self.stream()?;
        repeat!(Attempts::new(&self.pacer), stream.read(iterator.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, atomic::AtomicBool},
        time::Duration,
    };

    use migrate_core::{item::Value, table::KeyType};

    use super::*;
    use crate::{
        conformance::tables::{Suite, conforms},
        faulty::{Fault, FaultRule, Faults, FaultyTable, Operation, When},
        limit::{Capacity, CapacityLimits, LimitedTable, Quota, SiteLimits},
        memory_table::MemoryTable,
        meter::{Meter, MeteredTable},
    };

    #[derive(Debug, Default)]
    struct Told {
        words: Mutex<Vec<String>>,
        closed: AtomicBool,
        stops: tokio::sync::Notify,
    }

    impl Told {
        fn say(&self, word: &str) {
            self.words.lock().unwrap().push(word.to_owned());
        }

        fn take(&self) -> String {
            std::mem::take(&mut *self.words.lock().unwrap()).join(" ")
        }
    }

    #[async_trait]
    impl TrackWrites for Told {
        fn begins(&self) -> bool {
            self.say("begins");
            !self.closed.load(std::sync::atomic::Ordering::Relaxed)
        }
        async fn unknown(&self, key: &Key) {
            self.say(key.as_str());
        }
        fn ended(&self) {
            self.say("ended");
        }
        fn dropped(&self) {
            self.say("dropped");
        }
        async fn stops(&self) {
            self.stops.notified().await;
        }
    }

    fn structure() -> Structure {
        Structure::plain(("id", KeyType::Text), None)
    }

    fn key(id: &str) -> ItemKey {
        ItemKey { partition: Value::Text(id.to_owned()), sort: None }
    }

    fn puts(ids: &[&str]) -> Vec<ItemWrite> {
        ids.iter().map(|id| ItemWrite::Put(structure().key_names().attributes(&key(id)))).collect()
    }

    struct Stage {
        table: MemoryTable,
        faults: Arc<Faults>,
        told: Arc<Told>,
        store: RetryingTable,
    }

    fn stage(rules: Vec<FaultRule>) -> Stage {
        let table = MemoryTable::with("memory", structure());
        let faults = Arc::new(Faults::with_rules(1, rules));
        let failing = Arc::new(FaultyTable::new(Arc::new(table.clone()), faults.clone()));
        let told = Arc::new(Told::default());
        let policy = RetryPolicy { seed: Some(1), ..RetryPolicy::default() };
        let store = RetryingTable::new(failing, policy).tracked_by(told.clone(), structure().key_names());
        Stage { table, faults, told, store }
    }

    fn rule(fault: Fault, when: When, operation: Operation) -> FaultRule {
        FaultRule::new(fault, when).on([operation])
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_may_still_act_is_not_repeated_and_every_key_is_told() {
        for fault in [Fault::TimedOut, Fault::ResetBefore, Fault::ResetAfter, Fault::InternalError, Fault::Held] {
            let stage = stage(vec![rule(fault, When::Only(1), Operation::Write)]);
            let failed = stage.store.write(&puts(&["a", "b"])).await.unwrap_err();
            assert!(failed.outcome_unknown(), "{failed}");
            let told = r#"begins {"id":{"S":"a"}} {"id":{"S":"b"}} ended"#;
            assert_eq!(stage.told.take(), told, "{fault:?}");
            let acted = if fault == Fault::ResetAfter { 2 } else { 0 };
            assert_eq!(stage.table.snapshot().len(), acted, "{fault:?}: nothing was sent again");
            // A request that is still under way lands later.
            stage.faults.release().await;
            let acted = if fault == Fault::Held { 2 } else { acted };
            assert_eq!(stage.table.snapshot().len(), acted, "{fault:?}");
        }
        let stage = stage(vec![FaultRule::new(Fault::TimedOut, When::Only(1)).on([Operation::PutIf])]);
        let item = structure().key_names().attributes(&key("a"));
        assert!(stage.store.put_if(&item, None).await.unwrap_err().outcome_unknown());
        assert_eq!(stage.told.take(), r#"begins {"id":{"S":"a"}} ended"#);
    }

    #[tokio::test(start_paused = true)]
    async fn what_certainly_did_not_happen_is_repeated() {
        let stage = stage(vec![rule(Fault::Unreachable, When::Only(1), Operation::Write)]);
        stage.store.write(&puts(&["a", "b"])).await.unwrap();
        assert_eq!((stage.table.snapshot().len(), stage.told.take().as_str()), (2, "begins ended"));
        // A batch that is left over in part, again and again.
        stage.table.answer_at_most(Some(1));
        let written = stage.store.write(&puts(&["c", "d", "e"])).await.unwrap();
        assert_eq!((written.left.len(), written.consumed), (0, Some(3.0)));
        assert_eq!(stage.table.snapshot().len(), 5);
        let got = stage.store.get(&["a", "b", "z"].map(key)).await.unwrap();
        assert_eq!((got.found.len(), got.absent.len(), got.left.len()), (2, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_takes_nothing_for_five_minutes_is_an_error() {
        let stage = stage(vec![rule(Fault::LeftOver, When::Every(1), Operation::Write)]);
        let ids: Vec<_> = (0..20).map(|id| id.to_string()).collect();
        let began = tokio::time::Instant::now();
        // 20, 10, 5, 3, 2, 1, and the last one never: whoever is told must look at all.
        let failed = stage.store.write(&puts(&ids.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap_err();
        assert_eq!((failed.kind(), failed.outcome_unknown()), (ErrorKind::Throttled, true));
        assert!(failed.to_string().contains("for five minutes"), "{failed}");
        assert_eq!((stage.table.snapshot().len(), stage.told.take().matches("id").count()), (19, 20));
        let waited = began.elapsed();
        assert!(waited >= Duration::from_mins(5) && waited < Duration::from_mins(8), "{waited:?}");
        // Nothing of it was taken, so nothing is unknown.
        let failed = stage.store.write(&puts(&["a"])).await.unwrap_err();
        assert_eq!((failed.kind(), failed.outcome_unknown()), (ErrorKind::Throttled, false));
        assert_eq!(stage.told.take(), "begins ended");
        // Of two keys one is answered, the other one never; or the server refuses all.
        for fault in [Fault::LeftOver, Fault::SlowDown] {
            stage.faults.set_rules(1, vec![rule(fault, When::Every(1), Operation::Get)]);
            let began = tokio::time::Instant::now();
            let failed = stage.store.get(&["a", "b"].map(key)).await.unwrap_err();
            assert!(
                failed.kind() == ErrorKind::Throttled && failed.to_string().contains("for five minutes"),
                "{failed}"
            );
            assert!(began.elapsed() >= Duration::from_mins(5));
        }
    }

    /// Each part that is taken begins the patience anew, however long all of it takes.
    #[tokio::test(start_paused = true)]
    async fn a_table_that_takes_a_little_is_waited_for() {
        let stage = stage(Vec::new());
        stage.table.answer_at_most(Some(1));
        let minute = Duration::from_mins(1);
        let policy =
            RetryPolicy { pause_throttled: minute, pause_max: minute, seed: Some(1), ..RetryPolicy::default() };
        let store = RetryingTable::new(Arc::new(stage.table.clone()), policy);
        let ids: Vec<_> = (0..20).map(|id| id.to_string()).collect();
        let began = tokio::time::Instant::now();
        let puts = puts(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(store.write(&puts).await.unwrap().left, Vec::<usize>::new());
        assert!(began.elapsed() > Duration::from_mins(6), "{:?}", began.elapsed());
        let keys: Vec<_> = ids.iter().map(|id| key(id)).collect();
        let got = store.get(&keys).await.unwrap();
        assert!(got.whole(&keys, "memory").unwrap().iter().all(Option::is_some));
        assert!(began.elapsed() > Duration::from_mins(12), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_table_that_takes_nothing_ends_if_it_is_to_stop() {
        let stage = stage(vec![rule(Fault::LeftOver, When::Every(1), Operation::Write)]);
        let stop = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            stage.told.stops.notify_one();
        };
        let writes = puts(&["a"]);
        let began = tokio::time::Instant::now();
        let (failed, ()) = tokio::join!(stage.store.write(&writes), stop);
        let failed = failed.unwrap_err();
        assert_eq!((failed.kind(), failed.outcome_unknown()), (ErrorKind::Throttled, false));
        assert_eq!((stage.told.take().as_str(), began.elapsed()), ("begins ended", Duration::from_secs(30)));
    }

    #[test]
    fn what_was_not_answered_is_neither_there_nor_absent() {
        let keys = ["a", "b", "c"].map(key);
        let found = structure().key_names().attributes(&keys[2]);
        let got = Got { found: vec![(key("c"), found.clone())], absent: vec![key("a")], ..Got::default() };
        assert_eq!(got.clone().whole(&[key("c"), key("a")], "memory").unwrap(), [Some(found), None]);
        assert_eq!(got.whole(&keys, "memory").unwrap_err().kind(), ErrorKind::Throttled);
        assert!(Written::default().whole("memory").is_ok());
        let left = Written { left: vec![1], consumed: None }.whole("memory").unwrap_err();
        assert_eq!((left.kind(), left.outcome_unknown()), (ErrorKind::Throttled, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_after_a_part_was_carried_out_is_unknown_for_all() {
        let rules = vec![
            rule(Fault::LeftOver, When::Only(1), Operation::Write),
            rule(Fault::ExpiredCredentials(1), When::Only(2), Operation::Write),
        ];
        let stage = stage(rules);
        let failed = stage.store.write(&puts(&["a", "b"])).await.unwrap_err();
        assert_eq!((failed.kind(), failed.outcome_unknown()), (ErrorKind::Credentials, true));
        assert_eq!(stage.told.take(), r#"begins {"id":{"S":"a"}} {"id":{"S":"b"}} ended"#);
        assert_eq!(stage.table.snapshot().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_dropped_is_told_and_none_begins_after_the_end() {
        let stage = stage(vec![rule(Fault::Unreachable, When::Every(1), Operation::Write)]);
        let writes = puts(&["a"]);
        let write = stage.store.write(&writes);
        assert!(tokio::time::timeout(Duration::from_millis(1), write).await.is_err());
        assert_eq!(stage.told.take(), "begins dropped");
        stage.told.closed.store(true, std::sync::atomic::Ordering::Relaxed);
        let refused = stage.store.write(&writes).await.unwrap_err();
        assert_eq!((refused.kind(), refused.outcome_unknown()), (ErrorKind::ClaimLost, false));
    }

    #[tokio::test(start_paused = true)]
    async fn it_conforms_under_all_decorators() {
        let meter = Arc::new(Meter::default());
        let tables = |name: &str| {
            let table = MemoryTable::new(name).with_page_size(7);
            table.answer_at_most(Some(3));
            let table = Arc::new(MeteredTable::new(Arc::new(table), meter.clone()));
            let quota = Quota { bandwidth: Some(1 << 40), requests_per_second: Some(10_000_000), ..Quota::default() };
            let site = SiteLimits::new("test", quota, Arc::new(|| jiff::Timestamp::UNIX_EPOCH));
            let capacity = Capacity { read: Some(1e9), write: Some(1e9) };
            let table = Arc::new(LimitedTable::new(table, site, CapacityLimits::new(name, capacity)));
            Arc::new(RetryingTable::new(table, RetryPolicy::default())) as Arc<dyn TableStore>
        };
        conforms(&Suite::new(&tables)).await;
        assert!(meter.items().written > 500 && meter.items().left_over > 0, "{:?}", meter.items());
    }

    /// Reads fail in every way that passes, batches are left over and pages are empty: nothing of it shows.
    #[tokio::test(start_paused = true)]
    async fn reads_of_a_place_that_fails_in_passing_are_whole() {
        let stage = stage(Vec::new());
        let ids: Vec<_> = (0..200).map(|id| id.to_string()).collect();
        for id in &ids {
            stage.table.apply(&puts(&[id])[0]).unwrap();
        }
        let paged = Arc::new(stage.table.clone().with_page_size(5));
        let faults = Arc::new(Faults::new(7, 300));
        let policy = RetryPolicy { attempts_max: 50, seed: Some(1), ..RetryPolicy::default() };
        let store = RetryingTable::new(Arc::new(FaultyTable::new(paged, faults.clone())), policy);
        let (mut after, mut shown) = (None, 0);
        loop {
            let page = store.scan(Segment { index: 0, of: 1 }, after.as_ref(), true).await.unwrap();
            shown += page.items.len();
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(shown, 200);
        for batch in ids.chunks(50) {
            let keys: Vec<_> = batch.iter().map(|id| key(id)).collect();
            assert_eq!(store.get(&keys).await.unwrap().found.len(), 50);
        }
        let (stream, _) = store.enable().await.unwrap();
        stage.table.apply(&ItemWrite::Delete(key("7"))).unwrap();
        let shard = store.shards(&stream).await.unwrap().remove(0);
        let mut iterator = store.iterator(&stream, &shard.id, &Position::Oldest).await.unwrap();
        let records = loop {
            let changes = ChangeStream::read(&store, iterator).await.unwrap();
            if !changes.records.is_empty() {
                break changes.records;
            }
            iterator = changes.next.expect("it has not ended");
        };
        assert_eq!(records[0].key, key("7"));
        assert!(faults.struck().len() > 5, "{:?}", faults.struck());
    }
}
