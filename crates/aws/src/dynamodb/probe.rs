//! Finds out what an endpoint really does with tables, in a scratch table that is removed again.
//!
//! Each ability is tested both ways where it can be: with a request that must fail if the ability exists, and with one
//! that must succeed. What was not seen is taken for absent.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    keys::TableKeys,
    structure::{active, remove},
    wire::table::Wire,
};
use crate::patience::{afresh, patiently, refused};
use migrate_core::{
    item::{Item, ItemKey, Value},
    table::{KeyType, StreamView, Structure, TableAbilities},
};
use migrate_store::{
    ErrorKind, Result,
    both_ways::{ScratchItem, keeps_conditions},
    table::{ChangeStream as _, ItemWrite, Position, Segment},
};

use super::stream::DynamoStream;

/// The key attribute of the scratch table: a number, because servers differ in what two spellings of one are.
const KEY: &str = "migrate-probe";
/// How often a read right after a write is tried.
const ROUNDS: u32 = 8;
/// How often a stream is read until it shows what was written, and the pause between two reads. A stream of AWS takes
/// a second or two.
const READS_MAX: u32 = 60;
const READ_PAUSE: Duration = Duration::from_millis(250);
/// Why a probe cannot go on.
const LEFT: &str = "the scratch item was left over";
/// Errors of a server that lacks an ability, or of an identity that lacks the right.
const UNABLE: [ErrorKind; 3] = [ErrorKind::Unsupported, ErrorKind::Other, ErrorKind::Denied];

/// Tests everything, then removes what it has made, whatever the outcome.
pub(super) async fn probe(wire: Wire) -> Result<TableAbilities> {
    // What a killed probe has left would be in the way.
    remove(&wire).await?;
    let found = Box::pin(ask(&wire)).await;
    let removed = remove(&wire).await;
    let found = found?;
    removed?;
    Ok(found)
}

async fn ask(wire: &Wire) -> Result<TableAbilities> {
    let has_stream = make(wire).await?;
    let strong_reads = strong_reads(wire).await?;
    let conditions = afresh(|| conditions(wire)).await?;
    let numeric_keys = numeric_keys(wire).await?;
    let empty_values = empty_values(wire).await?;
    let streams = has_stream && shows_changes(wire).await?;
    Ok(TableAbilities { strong_reads, conditions, numeric_keys, empty_values, streams, ttl: ttl(wire).await? })
}

/// Makes the scratch table, with a stream if the server takes one.
async fn make(wire: &Wire) -> Result<bool> {
    let plain = Structure::plain((KEY, KeyType::Number), None);
    let with_stream = Structure { stream: Some(StreamView::Keys), ..plain.clone() };
    let taken = create(wire, &with_stream, &UNABLE).await;
    let refused = refused(taken, &UNABLE)?;
    if refused {
        create(wire, &plain, &[]).await?;
    }
    active(wire).await?;
    Ok(!refused)
}

async fn create(wire: &Wire, structure: &Structure, refusals: &[ErrorKind]) -> Result<()> {
    match patiently(refusals, || wire.change("create", wire.server.create(structure))).await {
        // Made by a request whose answer was lost.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        answer => answer,
    }
}

fn item(key: u32, text: &str) -> Item {
    let key = Value::Number(key.to_string().parse().expect("a count is a number"));
    [(KEY.to_owned(), key), ("text".to_owned(), Value::Text(text.to_owned()))].into()
}

async fn put(wire: &Wire, item: &Item) -> Result<()> {
    let writes = [ItemWrite::Put(item.clone())];
    let written = patiently(&[], || wire.write(&writes)).await?;
    if written.left.is_empty() {
        return Ok(());
    }
    Err(wire.writes("write to").error(ErrorKind::Throttled, "the scratch table takes no item"))
}

async fn read(wire: &Wire, key: u32) -> Result<Option<Item>> {
    let keys = [ItemKey { partition: item(key, "")[KEY].clone(), sort: None }];
    Ok(patiently(&[], || wire.get(&keys)).await?.found.pop().map(|(_, item)| item))
}

/// Whether each read shows the write before it. A server that reads late may pass; one that is seen to is not trusted.
async fn strong_reads(wire: &Wire) -> Result<bool> {
    for round in 0..ROUNDS {
        let written = item(1, &format!("round {round}"));
        put(wire, &written).await?;
        if read(wire, 1).await? != Some(written) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether false conditions are refused, and true ones taken.
async fn conditions(wire: &Wire) -> Result<bool> {
    keeps_conditions(&AtServer::of(wire, ItemKey { partition: item(2, "")[KEY].clone(), sort: None }).await?).await
}

/// A scratch item of a table, asked for right at the server: the table itself looks before it asks.
pub(super) struct AtServer<'a> {
    wire: &'a Wire,
    keys: Arc<TableKeys>,
    key: ItemKey,
}

impl<'a> AtServer<'a> {
    pub(super) async fn of(wire: &'a Wire, key: ItemKey) -> Result<Self> {
        Ok(Self { wire, keys: wire.keys().await?, key })
    }
}

#[async_trait]
impl ScratchItem for AtServer<'_> {
    fn bare(&self) -> Item {
        self.keys.names.attributes(&self.key)
    }

    async fn put(&self, item: &Item, expected: Option<&Item>) -> Result<()> {
        self.wire.change("put into", self.wire.server.put_if(&self.keys.names, item, expected)).await
    }

    async fn read(&self) -> Result<Option<Item>> {
        let mut got = patiently(&[], || self.wire.get(std::slice::from_ref(&self.key))).await?;
        if !got.left.is_empty() {
            return Err(self.wire.reads("get from").error(ErrorKind::Throttled, LEFT));
        }
        Ok(got.found.pop().map(|(_, item)| item))
    }

    async fn remove(&self) -> Result<()> {
        let delete = [ItemWrite::Delete(self.key.clone())];
        if patiently(&[], || self.wire.write(&delete)).await?.left.is_empty() {
            return Ok(());
        }
        Err(self.wire.writes("write to").error(ErrorKind::Throttled, LEFT))
    }
}

/// Whether two spellings of one number are one key.
async fn numeric_keys(wire: &Wire) -> Result<bool> {
    for spelled in ["1e3", "1000", "1000.0"] {
        let answer = patiently(&UNABLE, || wire.change("put into", wire.server.put_number(KEY, spelled))).await;
        if refused(answer, &UNABLE)? {
            return Ok(false);
        }
    }
    let thousand = "1000".parse().expect("a number");
    let (mut count, mut after) = (0, None);
    loop {
        let whole = Segment { index: 0, of: 1 };
        let page = match patiently(&UNABLE, || wire.scan(whole, after.as_ref(), true)).await {
            Ok(page) => page,
            Err(error) if UNABLE.contains(&error.kind()) => return Ok(false),
            Err(error) => return Err(error),
        };
        count += page.items.iter().filter(|item| item.get(KEY) == Some(&Value::Number(thousand))).count();
        after = page.next;
        if after.is_none() {
            return Ok(count == 1 && read(wire, 1000).await?.is_some());
        }
    }
}

/// Whether empty texts and binaries are held as they are.
async fn empty_values(wire: &Wire) -> Result<bool> {
    let mut written = item(3, "");
    written.insert("binary".to_owned(), Value::Binary(bytes::Bytes::new()));
    let inner = [(String::from("inner"), Value::List(vec![Value::Text(String::new())]))];
    written.insert("map".to_owned(), Value::Map(inner.into()));
    match put(wire, &written).await {
        Ok(()) => Ok(read(wire, 3).await? == Some(written)),
        Err(error) if UNABLE.contains(&error.kind()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the stream shows the key that was written first.
async fn shows_changes(wire: &Wire) -> Result<bool> {
    match Box::pin(reads_stream(wire)).await {
        Err(error) if UNABLE.contains(&error.kind()) || error.kind() == ErrorKind::NotFound => Ok(false),
        answer => answer,
    }
}

async fn reads_stream(wire: &Wire) -> Result<bool> {
    let Some((described, _)) = patiently(&[], || wire.describe()).await? else { return Ok(false) };
    let Some(name) = described.stream else { return Ok(false) };
    let stream = DynamoStream { wire: wire.clone() };
    let first = item(1, "")[KEY].clone();
    for _ in 0..READS_MAX {
        for shard in patiently(&[], || stream.shards(&name)).await? {
            let mut at = Some(patiently(&[], || stream.iterator(&name, &shard.id, &Position::Oldest)).await?);
            while let Some(iterator) = at {
                let changes = patiently(&[], || stream.read(iterator.clone())).await?;
                if changes.records.iter().any(|change| change.key.partition == first) {
                    return Ok(true);
                }
                at = changes.next.filter(|_| !changes.records.is_empty());
            }
        }
        tokio::time::sleep(READ_PAUSE).await;
    }
    Ok(false)
}

/// Whether items can be given an expiry.
async fn ttl(wire: &Wire) -> Result<bool> {
    let set = patiently(&UNABLE, || wire.change("set the TTL of", wire.server.set_ttl("expires", true))).await;
    if refused(set, &UNABLE)? {
        return Ok(false);
    }
    Ok(patiently(&[], || wire.read("look at the TTL of", wire.server.ttl())).await?.as_deref() == Some("expires"))
}
