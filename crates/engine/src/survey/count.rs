//! Joins both sides' listings with the ledger's pairs, in many shards at once, and counts what a run would do with
//! each record.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    control::Control,
    error::EngineError,
    layout,
    migration::Inspection,
    routed::Goes,
    rows::{Inputs, Row, Within},
    run::walks,
    seen::{Seen, is_whole},
    shutdown::Shutdown,
    sink::Sink,
    sites::opening::DatasetStores,
    survey::{
        listed::{Does, List, Listed},
        preview::{DatasetPreview, TargetPreview},
        surveyor::Surveyor,
    },
    verify::progress::first_cut,
    walk::{ShardsAt, Walk},
};
use migrate_core::{
    diff::{Change, Lead, decide},
    model::Key,
    plan::{Dataset, Extra},
    report::{EventKind, Redactor, records},
    routing::Destination,
};
use migrate_ledger::{Ledger, VerifiedShard};
use migrate_store::PartRules;

/// Keys that one request of a listing returns: S3 returns at most 1,000.
const KEYS_PER_PAGE: u64 = 1000;
/// Problems that are shown with their keys; the rest are counted.
const PROBLEMS_SHOWN: usize = 20;

impl Surveyor<'_> {
    /// Counts every record of a dataset, in the shards of the last pass, split while workers are idle. Stops early if
    /// the survey is to stop. What was counted is in `seen` after an error too.
    pub(super) async fn count(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores,
        known: Option<&Arc<Ledger>>,
        seen: &mut DatasetPreview,
    ) -> Result<(), EngineError> {
        let Inspection { plan, shutdown, sink, .. } = self.inspection;
        let inputs = Inputs::new(dataset, stores, known);
        let last_pass = match known {
            Some(ledger) => ledger.shards(&dataset.name).await?,
            None => Vec::new(),
        };
        let (source, followers) = (Arc::clone(inputs.lead()), inputs.star.followers.len());
        let counted = Mutex::new(Counted::of(std::mem::take(&mut seen.targets)));
        let count = Arc::new(Count {
            inputs,
            extra: dataset.extra,
            redactor: Redactor::new(plan.redact_keys),
            shutdown: shutdown.clone(),
            sink: sink.clone(),
            list: self.list.clone(),
            counted,
        });
        let shards = first_cut(&last_pass);
        let walked = walks::walk(&count, source, followers, shards, &self.options.limits, shutdown).await;
        let whole = walked.map(|ranges: Vec<Seen>| is_whole(&ranges, followers));
        let counted = std::mem::take(&mut *count.counted());
        counted.tell(matches!(whole, Ok(true)), seen);
        if !whole? && !shutdown.is_draining() {
            return Err(EngineError::Unfinished { dataset: dataset.name.clone() });
        }
        Ok(())
    }
}

/// The walk of a survey: shards add to the same counts, whose order does not matter.
#[derive(Debug)]
struct Count {
    inputs: Inputs,
    extra: Extra,
    redactor: Redactor,
    shutdown: Shutdown,
    sink: Sink,
    list: List,
    counted: Mutex<Counted>,
}

impl Count {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Walk for Count {
    async fn walk(&self, shard: VerifiedShard, control: Arc<Control>) -> Result<Option<Seen>, EngineError> {
        let mut rows = self.inputs.rows(&shard.range);
        loop {
            match rows.next_within(&control, &self.shutdown).await? {
                Within::Row(row) => {
                    let listed = self.counted().take(&row, self);
                    self.list.hand_on(listed).await;
                }
                Within::End => return Ok(Some(Seen::to_the_end(&control, self.inputs.star.followers.len()))),
                Within::Stop => return Ok(None),
            }
        }
    }

    fn tell(&self, shards: ShardsAt) {
        let (dataset, records) = (self.inputs.dataset.clone(), self.counted().records);
        self.sink.tell(EventKind::Surveying { dataset, records, fraction: shards.fraction });
    }
}

/// What was counted so far, over all shards.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counted {
    /// Whether any side showed a key.
    any: bool,
    /// Records that the source shows.
    records: u64,
    bytes: u64,
    /// Requests that read records from the source.
    reads: u64,
    targets: Vec<TargetPreview>,
    /// Records that the source shows and that cannot be copied.
    problems: u64,
    /// The first of them in key order, with the reason.
    first_problems: BTreeMap<Key, String>,
}

impl Counted {
    fn of(targets: Vec<TargetPreview>) -> Self {
        Self { targets, ..Self::default() }
    }

    /// Counts what a run would do with one record at each target. Returns it, too, if the records are to be listed.
    fn take(&mut self, row: &Row, count: &Count) -> Vec<Listed> {
        let mut listed = Vec::new();
        let Count { inputs, extra, redactor, .. } = count;
        self.any = true;
        // It was listed and is gone: what a run would find cannot be said.
        if row.goes == Goes::Vanished {
            return listed;
        }
        let entry = row.shown[inputs.star.lead.get()].as_ref();
        // What belongs to no target is no record of the dataset; a target may hold it all the same.
        let entry = entry.filter(|_| row.goes != Goes::To(Destination::Nowhere));
        self.records += u64::from(entry.is_some());
        self.bytes += entry.map_or(0, |entry| entry.token.size);
        let unrouted = match &row.goes {
            Goes::Unknown(failed) => Some(failed.reason.as_str()),
            Goes::Vanished | Goes::To(_) => None,
        };
        if let Some(problem) = entry.and_then(|entry| entry.problem.as_deref().or(unrouted)) {
            self.problems += 1;
            self.first_problems
                .insert(row.key.clone(), format!("{} {}", redactor.key(&row.key), redactor.text(problem, &row.key)));
            if self.first_problems.len() > PROBLEMS_SHOWN {
                self.first_problems.pop_last();
            }
            return listed;
        }
        let source = entry.map(|entry| &entry.token);
        let mut read = false;
        for (follower, target) in inputs.star.followers.iter().zip(&mut self.targets) {
            let place = follower.get();
            let lead = row.goes.shows(*follower, source);
            if matches!(lead, Lead::Version(_))
                && let Some(reason) = inputs.stores[place].refuses(&row.key)
            {
                target.unholdable += 1;
                if target.first_unholdable.as_ref().is_none_or(|(first, _)| row.key < *first) {
                    target.first_unholdable = Some((row.key.clone(), reason));
                }
                continue;
            }
            let shown = row.shown[place].as_ref().map(|entry| &entry.token);
            let pair = row.held[place].as_ref().map(|row| row.held.paired(inputs.waived[place]));
            let (change, size) = (decide(lead, shown, pair), source.map_or(0, |token| token.size));
            let written = add(target, change, size, *extra);
            read |= written;
            if let Some(does) = Does::about(change, *extra).filter(|_| count.list.0.is_some()) {
                let (dataset, key) = (inputs.dataset.clone(), redactor.key(&row.key));
                let (target, bytes) = (target.target.clone(), if written { size } else { 0 });
                listed.push(Listed { dataset, target, key, does, bytes });
            }
        }
        if read {
            self.reads += source.map_or(0, |token| parts_of(token.size));
        }
        listed
    }

    /// Puts what was counted into the preview; `complete` if every key was seen.
    fn tell(self, complete: bool, seen: &mut DatasetPreview) {
        if self.any || complete {
            (seen.records, seen.bytes) = (Some(self.records), Some(self.bytes));
        }
        (seen.complete, seen.targets) = (complete, self.targets);
        seen.source_requests += self.reads;
        let shown = self.first_problems.len() as u64;
        seen.blocks.extend(self.first_problems.into_values());
        if !complete {
            return;
        }
        if self.problems > shown {
            seen.blocks.push(format!("... and {} more that cannot be copied", records(self.problems - shown)));
        }
        let pages = |records: u64| records.div_ceil(KEYS_PER_PAGE).max(1);
        seen.source_requests += pages(self.records);
        for target in &mut seen.targets {
            target.requests += pages(target.skip + target.replace + target.compare + target.delete + target.extra);
        }
    }
}

/// Adds one record's change; returns whether the source must be read for it.
fn add(target: &mut TargetPreview, change: Change, size: u64, extra: Extra) -> bool {
    match change {
        Change::Create => target.create += 1,
        Change::Replace => target.replace += 1,
        Change::Look | Change::Review => {
            target.compare += 1;
            target.requests += 1;
        }
        Change::Same => target.skip += 1,
        Change::Delete => target.delete += 1,
        Change::Extra if extra == Extra::Delete => target.delete += 1,
        Change::Extra | Change::Stray => target.extra += 1,
        Change::Absent | Change::Gone => {}
    }
    let writes = matches!(change, Change::Create | Change::Replace | Change::Look);
    if writes {
        target.bytes += size;
        // An upload in parts takes three requests more: to look for it, to begin it, to finish it.
        let parts = parts_of(size);
        target.requests += if parts > 1 { parts + 3 } else { 1 };
    }
    if matches!(change, Change::Delete) {
        target.requests += 1;
    }
    writes
}

/// Requests that reading or writing an object takes if the source's part size is unknown.
fn parts_of(size: u64) -> u64 {
    layout::part_size(size, None, None, PartRules::S3).map_or(1, |part| size.div_ceil(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sites::{connect::Given, opening::Sites},
        star::Star,
    };
    use migrate_core::{
        capability::{Capabilities, KeyRules, KeyShape},
        model::{KeyRange, PlaceIndex, ShardId},
        plan,
        shard::Cursor,
    };
    use migrate_store::{ObjectStore, Properties, file::FileStore, memory::MemoryStore, retry::RetryPolicy};

    /// Files and links at a source, and a target that has some of them and others, and cannot hold all.
    async fn count_over(directory: &std::path::Path) -> Count {
        let source = FileStore::open(directory.to_owned(), "s3://a/data/".to_owned()).unwrap();
        let target = MemoryStore::new("s3://b/data/").with_page_size(3);
        for n in 0..30 {
            let name = directory.join(format!("{n:02}"));
            if n % 5 == 0 {
                std::fs::write(directory.join(format!("{n:02} spaced")), "no").unwrap();
            }
            if n < 25 {
                std::os::unix::fs::symlink("/etc/hostname", &name).unwrap();
            } else {
                std::fs::write(&name, "some").unwrap();
            }
            if n % 3 == 0 {
                target.put_raw(&format!("{n:02}"), "target", Properties::default());
                target.put_raw(&format!("{n:02} extra"), "target", Properties::default());
            }
        }
        let known = target.probe().await.unwrap();
        let mut keys = KeyRules::ALL;
        keys.refused[KeyShape::Space as usize] = true;
        target.adopt(Capabilities { keys, ..known });
        let text = "name = \"p\"\n[sites.a]\ns3 = { endpoint = \"https://a.example.com\", path_style = true }\n\
                    credentials = { env = \"UNUSED\" }\n[sites.b]\ns3 = { endpoint = \"https://b.example.com\", \
                    path_style = true }\ncredentials = { env = \"UNUSED\" }\n[[phase]]\nname = \"f\"\n\
                    [[phase.dataset]]\nname = \"d\"\nsource = \"s3://a/data/\"\ntargets = [\"s3://b/data/\"]\n";
        let plan = plan::parse(text, std::path::Path::new("plan.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(source), Arc::new(target)];
        let given = Given::new(move |at, _| Some(Arc::clone(&stores[usize::from(at.site.as_str() == "b")])));
        let (sites, dataset) = (Sites::new(Arc::new(given), RetryPolicy::default()), &plan.phases[0].datasets[0]);
        let stores = sites
            .open(&plan, dataset, Star::new(PlaceIndex::SOURCE, 1 + dataset.targets.len()), None, &Sink::none())
            .await
            .unwrap();
        Count {
            inputs: Inputs::new(dataset, &stores, None),
            extra: dataset.extra,
            redactor: Redactor::new(false),
            shutdown: Shutdown::new(),
            sink: Sink::none(),
            list: List::default(),
            counted: Mutex::default(),
        }
    }

    /// What is counted in shards that meet at these keys; the upper ones are walked first.
    async fn counted(count: &Count, cuts: &[Key]) -> Counted {
        *count.counted() = Counted::of(vec![TargetPreview::default()]);
        let mut until = None;
        for after in cuts.iter().rev().cloned().map(Some).chain([None]) {
            let range = KeyRange { after: after.clone(), until: until.take() };
            let control = Arc::new(Control::new(range.clone()));
            let shard = VerifiedShard { id: ShardId(1), range, cursor: Cursor::Start };
            count.walk(shard, control).await.unwrap().expect("nothing stops it");
            until = after;
        }
        count.counted().clone()
    }

    #[tokio::test]
    async fn every_record_that_is_counted_is_listed_and_the_list_waits_for_its_reader() {
        let directory = tempfile::tempdir().unwrap();
        let mut count = count_over(directory.path()).await;
        let (list, mut listed) = tokio::sync::mpsc::channel(1);
        count.list = List(Some(list));
        let reader = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(Listed { key, does, .. }) = listed.recv().await {
                seen.push((key.as_str().to_owned(), does));
            }
            seen
        });
        let whole = counted(&count, &[]).await;
        drop(count);
        let seen = reader.await.unwrap();
        let of = |does: Does| seen.iter().filter(|(_, is)| *is == does).count() as u64;
        let target = &whole.targets[0];
        let told = [target.create, target.replace, target.compare, target.delete];
        assert_eq!(Does::ALL.map(of), told, "{seen:?}");
        assert!(seen.contains(&("25".to_owned(), Does::Create)), "{seen:?}");
    }

    #[tokio::test]
    async fn the_counts_of_shards_add_up_wherever_they_are_cut() {
        let directory = tempfile::tempdir().unwrap();
        let count = count_over(directory.path()).await;
        let whole = counted(&count, &[]).await;
        let target = &whole.targets[0];
        assert_eq!((whole.records, whole.problems, whole.first_problems.len()), (36, 25, PROBLEMS_SHOWN));
        assert_eq!((target.unholdable, target.create, target.compare, target.extra), (6, 4, 1, 10));
        assert_eq!(target.first_unholdable.as_ref().unwrap().0, "00 spaced".into());
        let mut rows = count.inputs.rows(&KeyRange::all());
        let mut keys = Vec::new();
        while let Some(row) = rows.next().await.unwrap() {
            keys.push(row.key);
        }
        assert_eq!(keys.len(), 46);
        for key in &keys {
            assert_eq!(counted(&count, std::slice::from_ref(key)).await, whole, "cut at {key}");
        }
        assert_eq!(counted(&count, &keys).await, whole, "cut at every key");
    }
}
