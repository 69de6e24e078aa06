//! [`FaultyTable`]: applies the faults to a table.

// The lint asks for an explicit decision about every method that the traits gain.
#![deny(clippy::missing_trait_methods)]

use std::{future::Future, sync::Arc};

use async_trait::async_trait;

use super::{
    apply::{reading, writing},
    faults::{Faults, Late},
    kinds::{Fault, Operation},
};
use crate::{
    endpoint::EndpointId,
    meter::no_stream,
    object::Result,
    table::{
        ChangeStream, Changes, Described, Got, ItemWrite, Position, Scanned, Segment, StreamIterator, StreamShard,
        TableStore, Written,
    },
};
use migrate_core::{
    item::{Item, ItemKey},
    table::{Structure, TableAbilities},
};
use migrate_fault::Strike;

/// A table that fails on purpose.
#[derive(Debug)]
pub struct FaultyTable {
    inner: Arc<dyn TableStore>,
    faults: Arc<Faults>,
}

impl FaultyTable {
    /// Makes a table fail by the rules of `faults`.
    pub fn new(inner: Arc<dyn TableStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    async fn reading<T>(
        &self,
        operation: Operation,
        act: impl Future<Output = Result<T>>,
    ) -> Result<(T, Option<Fault>)> {
        let done = reading(&self.faults, self.inner.location(), operation, None, act).await;
        done.map(|(done, strike)| (done, strike.map(|strike| strike.fault)))
    }

    async fn writing<T>(&self, operation: Operation, act: impl Future<Output = Result<T>>) -> Result<T> {
        let strike = self.faults.fate(operation);
        self.struck(operation, strike, None, act).await
    }

    async fn struck<T>(
        &self,
        operation: Operation,
        strike: Option<Strike<Fault>>,
        late: Option<Late>,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        writing(&self.faults, self.inner.location(), (operation, strike), None, late, act).await
    }

    fn stream(&self) -> Result<&dyn ChangeStream> {
        self.inner.changes().ok_or_else(|| no_stream(self.inner.location()))
    }
}

#[async_trait]
impl TableStore for FaultyTable {
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
        self.reading(Operation::Probe, self.inner.probe()).await.map(|(abilities, _)| abilities)
    }

    fn adopt(&self, abilities: TableAbilities) {
        self.inner.adopt(abilities);
    }

    async fn describe(&self) -> Result<Option<Described>> {
        self.reading(Operation::Describe, self.inner.describe()).await.map(|(described, _)| described)
    }

    async fn create(&self, structure: &Structure) -> Result<Vec<&'static str>> {
        self.writing(Operation::Create, self.inner.create(structure)).await
    }

    async fn set_ttl(&self, attribute: Option<&str>) -> Result<()> {
        self.writing(Operation::SetTtl, self.inner.set_ttl(attribute)).await
    }

    async fn scan(&self, segment: Segment, after: Option<&ItemKey>, strong: bool) -> Result<Scanned> {
        let (page, fault) = self.reading(Operation::Scan, self.inner.scan(segment, after, strong)).await?;
        match (fault, after) {
            (Some(Fault::EmptyPage), Some(after)) => {
                Ok(Scanned { items: Vec::new(), next: Some(after.clone()), consumed: page.consumed })
            }
            _ => Ok(page),
        }
    }

    async fn get(&self, keys: &[ItemKey]) -> Result<Got> {
        let (mut got, fault) = self.reading(Operation::Get, self.inner.get(keys)).await?;
        if fault == Some(Fault::LeftOver) {
            let left: Vec<_> = keys[keys.len() / 2..].iter().filter(|key| !got.left.contains(key)).cloned().collect();
            got.found.retain(|(key, _)| !left.contains(key));
            got.absent.retain(|key| !left.contains(key));
            got.left.extend(left);
        }
        Ok(got)
    }

    async fn write(&self, writes: &[ItemWrite]) -> Result<Written> {
        let strike = self.faults.fate(Operation::Write);
        let left_over = strike.is_some_and(|strike| strike.fault == Fault::LeftOver);
        let done = if left_over { writes.len() / 2 } else { writes.len() };
        let (inner, all) = (Arc::clone(&self.inner), writes.to_vec());
        let late = async move {
            let _ = inner.write(&all).await;
        };
        let act = self.inner.write(&writes[..done]);
        let mut written = self.struck(Operation::Write, strike, Some(Box::pin(late)), act).await?;
        written.left.extend(done..writes.len());
        Ok(written)
    }

    async fn put_if(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        let strike = self.faults.fate(Operation::PutIf);
        let (inner, late_item, late_expected) = (Arc::clone(&self.inner), item.clone(), expected.cloned());
        let late = async move {
            let _ = inner.put_if(&late_item, late_expected.as_ref()).await;
        };
        self.struck(Operation::PutIf, strike, Some(Box::pin(late)), self.inner.put_if(item, expected)).await
    }

    async fn probe_item(&self, key: &ItemKey) -> Result<bool> {
        self.reading(Operation::Probe, self.inner.probe_item(key)).await.map(|(kept, _)| kept)
    }

    fn changes(&self) -> Option<&dyn ChangeStream> {
        self.inner.changes().map(|_| self as &dyn ChangeStream)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[async_trait]
impl ChangeStream for FaultyTable {
    async fn enable(&self) -> Result<(String, bool)> {
        self.writing(Operation::EnableStream, self.stream()?.enable()).await
    }

    async fn disable(&self, stream: &str) -> Result<()> {
        self.writing(Operation::DisableStream, self.stream()?.disable(stream)).await
    }

    async fn shards(&self, stream: &str) -> Result<Vec<StreamShard>> {
        self.reading(Operation::ListShards, self.stream()?.shards(stream)).await.map(|(shards, _)| shards)
    }

    async fn iterator(&self, stream: &str, shard: &str, from: &Position) -> Result<StreamIterator> {
        let act = self.stream()?.iterator(stream, shard, from);
        self.reading(Operation::FindPosition, act).await.map(|(iterator, _)| iterator)
    }

    async fn read(&self, iterator: StreamIterator) -> Result<Changes> {
        let (changes, fault) = self.reading(Operation::ReadStream, self.stream()?.read(iterator.clone())).await?;
        if fault == Some(Fault::EmptyPage) {
            return Ok(Changes { records: Vec::new(), next: Some(iterator) });
        }
        Ok(changes)
    }
}
