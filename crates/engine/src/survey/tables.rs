//! Looks at the tables of a dataset: what a run would make, what differs, and what the first copy takes.

use std::{fmt::Write as _, sync::Arc};

use crate::{
    error::EngineError,
    migration::Inspection,
    sites::{
        opening::DatasetStores,
        tables::{TablesOf, capacity},
    },
    star::Star,
    survey::{
        preview::DatasetPreview,
        surveyor::Surveyor,
        table_preview::{StreamPreview, StructureDifference, TablePreview, TableTargetPreview},
    },
    tables::{bulk::segments_for, structure},
};
use migrate_core::{
    item::{Item, read_units, write_units},
    model::{Key, PlaceIndex},
    plan::Dataset,
    report::{Redactor, count},
    table::{Billing, Moment, Structure, Throughput, differences},
};
use migrate_ledger::{Ledger, SegmentRow};
use migrate_store::{
    limit::Capacity,
    table::{Described, Scanned, Segment, TableStore},
};

/// Bytes that one page of a scan holds at most.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html>
const SCAN_PAGE_BYTES: u64 = 1 << 20;
/// Items that one request writes at most.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const ITEMS_PER_WRITE: u64 = 25;

/// What the first copy of a table takes, by the estimate of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Estimate {
    items: u64,
    bytes: u64,
}

impl Estimate {
    fn of(described: &Described) -> Option<Self> {
        Some(Self { items: described.items?, bytes: described.bytes? })
    }

    /// The units of strong scans: a page is rounded, not each item.
    fn read_units(self) -> u64 {
        if self.items == 0 { 0 } else { read_units(usize::try_from(self.bytes).unwrap_or(usize::MAX)) }
    }

    /// The units of writes, each rounded as an item of the mean size is.
    fn write_units(self) -> u64 {
        let mean = self.bytes.checked_div(self.items).unwrap_or(0);
        self.items.saturating_mul(write_units(usize::try_from(mean).unwrap_or(usize::MAX)))
    }
}

/// How much of a first copy is left, in segments of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    segments: u32,
    of: u32,
}

impl Left {
    fn at(rows: &[SegmentRow], of: u32, is_meant: impl Fn(PlaceIndex) -> bool) -> Self {
        if rows.is_empty() {
            return Self { segments: of, of };
        }
        let is_open = |index: &u32| rows.iter().any(|row| row.segment == *index && !row.done && is_meant(row.place));
        Self { segments: u32::try_from((0..of).filter(is_open).count()).unwrap_or(u32::MAX), of }
    }

    /// The share of a number that is left, rounded up.
    fn of(self, all: u64) -> u64 {
        let left = u128::from(all) * u128::from(self.segments);
        u64::try_from(left.div_ceil(u128::from(self.of.max(1)))).unwrap_or(u64::MAX)
    }
}

/// What the ledger knows of a table.
#[derive(Debug, Default)]
struct Known {
    segments: Vec<SegmentRow>,
    /// Whether its stream is read, and whether changes were lost.
    stream: Option<StreamPreview>,
    /// Keys that some target owes.
    owed: u64,
}

impl Known {
    async fn of(ledger: Option<&Arc<Ledger>>, dataset: &Dataset, star: &Star) -> Result<Self, EngineError> {
        let Some(ledger) = ledger else { return Ok(Self::default()) };
        let capture = ledger.capture(&dataset.name, star.lead).await?;
        let mut owed = ledger.owed(&dataset.name).await?;
        owed.retain(|owed| star.find(owed.place).is_some());
        Ok(Self {
            segments: ledger.segments(&dataset.name).await?,
            stream: capture.map(|capture| match capture.broken {
                None => StreamPreview::Read,
                Some(_) => StreamPreview::Broken,
            }),
            owed: owed.iter().map(|owed| owed.keys).max().unwrap_or(0),
        })
    }
}

impl Surveyor<'_> {
    /// Describes the lead and its followers, makes nothing, and scans no table but for its first item.
    pub(super) async fn look_at_tables(
        &self,
        dataset: &Dataset,
        star: Star,
        seen: &mut DatasetPreview,
    ) -> Result<(), EngineError> {
        let Inspection { plan, sites, .. } = self.inspection;
        let ledger = self.inspection.begun(dataset).await?;
        let stores = sites.open_tables(TablesOf { plan, dataset, writes: None }, star).await?;
        let known = Known::of(ledger, dataset, &stores.star).await?;
        if stores.lead().describe().await?.is_none() && !self.fills(dataset).await?.is_empty() {
            // The datasets that come first make it.
            return Ok(());
        }
        let mut lead = structure::of_lead(dataset, &**stores.lead()).await?;
        if dataset.live {
            // Its stream is there for the copy, and is no part of what the followers are to have before they lead.
            lead.stream = None;
        }
        let described = stores.lead().describe().await?;
        let is_empty = first_item(&**stores.lead()).await?.is_none();
        // A server that counts seldom shows none of the items that came since.
        let estimate = described.as_ref().and_then(Estimate::of).filter(|estimate| is_empty || estimate.items > 0);
        let of = known.segments.iter().map(|row| row.segment + 1).max();
        let of = of.unwrap_or_else(|| segments_for(estimate.map_or(0, |estimate| estimate.bytes)));
        let left = Left::at(&known.segments, of, |_| true);
        let mut table = TablePreview {
            items_estimated: described.as_ref().and_then(|described| described.items),
            bytes_estimated: described.as_ref().and_then(|described| described.bytes),
            segments: of,
            segments_done: of - left.segments,
            stream: known.stream.unwrap_or_else(|| stream_of(dataset, &**stores.lead(), described.as_ref())),
            read_units: estimate.map(|estimate| left.of(estimate.read_units())),
            where_beyond_key: beyond_key(&stores, &lead),
            targets: Vec::new(),
        };
        let mut written = Vec::new();
        for place in stores.star.followers.iter().copied() {
            let left = Left::at(&known.segments, of, |at| at == place);
            let (mut target, theirs) = self.look_at_table(dataset, &stores, (place, &known), &lead, seen).await;
            target.write_units = estimate.map(|estimate| left.of(estimate.write_units()));
            written.push((place, theirs, left));
            table.targets.push(target);
        }
        if !known.segments.is_empty() && left.segments == 0 {
            let owed = count(known.owed, "changed key is", "changed keys are");
            seen.notes.push(format!("all segments are copied; {owed} known and not brought yet"));
        }
        tell_table(dataset, &table, &lead, seen);
        seen.seconds_min = self.least_seconds(dataset, &stores, (&lead, estimate, left), &written)?;
        if is_empty {
            (seen.records, seen.bytes) = (Some(0), Some(0));
        }
        seen.complete = true;
        seen.table = Some(table);
        Ok(())
    }

    /// Looks at one target. What blocks a run goes to `seen`. Also returns the structure of the table that is there.
    async fn look_at_table(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores<dyn TableStore>,
        (place, known): (PlaceIndex, &Known),
        lead: &Structure,
        seen: &mut DatasetPreview,
    ) -> (TableTargetPreview, Option<Structure>) {
        let store = &**stores.at(place);
        let mut target = TableTargetPreview { target: store.location().to_owned(), ..TableTargetPreview::default() };
        let found = match store.describe().await {
            Ok(Some(found)) => found,
            Ok(None) if place == PlaceIndex::SOURCE => {
                let gone = format!("there is no table {} any more, and it is to follow the new lead", store.location());
                seen.blocks.push(format!("{gone}: bring it back, or set follow_back = false"));
                return (target, None);
            }
            Ok(None) => {
                target.creates = Some(shown(lead));
                return (target, None);
            }
            Err(error) => {
                seen.blocks.push(self.with_mend(&error.into()));
                return (target, None);
            }
        };
        if let Err(why) = structure::is_usable(dataset, store, found.state) {
            seen.blocks.push(self.with_mend(&why));
            return (target, Some(found.structure));
        }
        if place == PlaceIndex::SOURCE {
            // The old lead was there before this migration, and is as it was.
            return (target, Some(found.structure));
        }
        let waived = structure::waived_at(dataset, place);
        for one in differences(lead, &found.structure, Moment::BeforeSwitch) {
            let (blocks, waive) = (one.blocks(&waived), one.waive());
            if blocks {
                let mend = structure::mend(waive);
                seen.blocks.push(format!("{} differs from {}: {}; {mend}", target.target, dataset.source, one.what));
            }
            target.differs.push(StructureDifference { what: one.what, blocks, waive });
        }
        // Once a copy has begun, what it holds is what that has written.
        if known.segments.is_empty() && found.structure.key_names() == lead.key_names() {
            match first_item(store).await {
                Ok(None) => {}
                Ok(Some(item)) => {
                    let key = lead.key_names().key_of(&item).map(|key| lead.key_names().text(&key));
                    let key = Redactor::new(self.inspection.plan.redact_keys).key(&key.unwrap_or(Key::from("")));
                    let of_its_own = format!("{} holds items of its own, {key} for one", target.target);
                    seen.blocks.push(format!("{of_its_own}: empty it, or choose another table"));
                }
                Err(error) => seen.blocks.push(self.with_mend(&error)),
            }
        }
        (target, Some(found.structure))
    }

    /// Least seconds of the rest of the first copy: by the limits of the plan, and by the capacity that is provisioned.
    fn least_seconds(
        &self,
        dataset: &Dataset,
        stores: &DatasetStores<dyn TableStore>,
        (lead, estimate, left): (&Structure, Option<Estimate>, Left),
        followers: &[(PlaceIndex, Option<Structure>, Left)],
    ) -> Result<Option<u64>, EngineError> {
        let Some(estimate) = estimate else { return Ok(None) };
        let Capacity { read, write } = capacity(dataset, Some(lead))?;
        let bytes = left.of(estimate.bytes);
        let at = |place: PlaceIndex| &dataset.location(place).site;
        let reads = read.or_else(|| provisioned(lead, |throughput| throughput.read));
        let mut least = self
            .seconds(at(stores.star.lead), bytes, bytes.div_ceil(SCAN_PAGE_BYTES))
            .max(seconds(left.of(estimate.read_units()), reads));
        for (place, theirs, left) in followers {
            let writes = write.or_else(|| provisioned(theirs.as_ref().unwrap_or(lead), |throughput| throughput.write));
            let requests = left.of(estimate.items).div_ceil(ITEMS_PER_WRITE);
            least = least.max(self.seconds(at(*place), left.of(estimate.bytes), requests));
            least = least.max(seconds(left.of(estimate.write_units()), writes));
        }
        Ok(least)
    }
}

/// Says what an operator should know.
fn tell_table(dataset: &Dataset, table: &TablePreview, lead: &Structure, seen: &mut DatasetPreview) {
    if table.targets.iter().any(|target| target.creates.is_some()) {
        let indexes = lead.global_indexes.len();
        if indexes > 0 {
            seen.notes.push(format!("each of its {indexes} global indexes takes write units of its own"));
        }
        if let Some(ttl) = &lead.ttl {
            seen.notes.push(format!(
                "items of the source expire by {ttl}; at a target they expire once it leads, so that none vanishes \
                 there before"
            ));
        }
        for setting in &lead.reported {
            seen.notes.push(format!("the source has a setting that is not made again: {setting}"));
        }
    }
    if !table.where_beyond_key.is_empty() {
        seen.notes.push(format!(
            "an application that knows only a key cannot tell which target has an item: the where of the targets \
             also asks for {}",
            table.where_beyond_key.join(" and ")
        ));
    }
    if !dataset.live && table.stream == StreamPreview::NotAsked {
        seen.notes.push(
            "what changes during the copy is found by the next comparison: with `live = true` it is followed by the \
             table's stream"
                .to_owned(),
        );
    }
}

fn provisioned(structure: &Structure, of: fn(&Throughput) -> u64) -> Option<f64> {
    match &structure.billing {
        #[expect(clippy::cast_precision_loss, reason = "capacities are far below 2^53")]
        Billing::Provisioned(throughput) => Some(of(throughput) as f64),
        Billing::OnDemand => None,
    }
}

/// The seconds that units take at a rate.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a rate is positive"
)]
fn seconds(units: u64, rate: Option<f64>) -> Option<u64> {
    rate.filter(|rate| *rate > 0.0).map(|rate| (units as f64 / rate).ceil() as u64)
}

fn beyond_key(stores: &DatasetStores<dyn TableStore>, lead: &Structure) -> Vec<String> {
    let names = lead.key_names();
    let key: Vec<&str> = std::iter::once(names.partition.as_str()).chain(names.sort.as_deref()).collect();
    stores.routing.beyond_key(&key).into_iter().map(str::to_owned).collect()
}

/// How a run that has not begun would learn what changes.
fn stream_of(dataset: &Dataset, lead: &dyn TableStore, described: Option<&Described>) -> StreamPreview {
    match (dataset.live, lead.changes(), described.and_then(|described| described.stream.as_ref())) {
        (false, ..) => StreamPreview::NotAsked,
        (true, None, _) => StreamPreview::None,
        (true, Some(_), None) => StreamPreview::WouldBeEnabled,
        (true, Some(_), Some(_)) => StreamPreview::Reused,
    }
}

/// Some item of a table; `None` if it is empty. A page without items is not the end.
async fn first_item(store: &dyn TableStore) -> Result<Option<Item>, EngineError> {
    let (whole, mut after) = (Segment { index: 0, of: 1 }, None);
    loop {
        let Scanned { items, next, .. } = store.scan(whole, after.as_ref(), true).await?;
        if let Some(item) = items.into_iter().next() {
            return Ok(Some(item));
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(None),
        }
    }
}

/// A table that would be made, for people.
fn shown(structure: &Structure) -> String {
    let sort = structure.sort_key.as_ref().map(|sort| format!(", {sort}")).unwrap_or_default();
    let billing = match structure.billing {
        Billing::OnDemand => "on demand".to_owned(),
        Billing::Provisioned(throughput) => throughput.to_string(),
    };
    let mut text = format!("a table with the key ({}{sort}), {billing}", structure.partition_key);
    for (kind, indexes) in [("local", &structure.local_indexes), ("global", &structure.global_indexes)] {
        if !indexes.is_empty() {
            let names: Vec<_> = indexes.keys().map(String::as_str).collect();
            let _ = write!(text, ", {kind} indexes {}", names.join(" and "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        asked::InFlightMax,
        shutdown::Shutdown,
        sink::Sink,
        survey::surveyor::SurveyOptions,
        tables::test_rig::{Rig, item, put, structure},
    };
    use migrate_core::{
        item::Value,
        table::{Index, KeyType, Projection},
    };
    use migrate_store::table::ItemWrite;

    fn inspection(rig: &Rig) -> Inspection<'_> {
        Inspection {
            plan: &rig.plan,
            sites: &rig.sites,
            ledger: Some(Arc::clone(&rig.ledger)),
            sink: Sink::none(),
            shutdown: Shutdown::new(),
        }
    }

    /// What a survey shows of the one dataset.
    async fn surveyed(rig: &Rig) -> DatasetPreview {
        let options = SurveyOptions { datasets: Vec::new(), probe: true, limits: InFlightMax::default() };
        inspection(rig).survey(&options).await.unwrap().phases.remove(0).datasets.remove(0)
    }

    fn indexed() -> Structure {
        let projection = Projection::All;
        let index = Index { partition_key: "country".into(), sort_key: None, projection, throughput: None };
        let mut structure = structure();
        structure.key_types.insert("country".into(), KeyType::Text);
        structure.global_indexes.insert("by_country".into(), index);
        structure.ttl = Some("until".to_owned());
        structure
    }

    #[tokio::test]
    async fn a_survey_shows_what_a_run_would_make_and_makes_nothing() {
        let rig = Rig::with(indexed(), &["a", "b"], "live = true");
        rig.fill(0..30);
        rig.table("src").count_items();
        let seen = surveyed(&rig).await;
        assert!(seen.blocks.is_empty() && seen.complete, "{seen:?}");
        assert_eq!((seen.records, seen.state), (None, "pending"), "an estimate is no count");
        let table = seen.table.unwrap();
        assert_eq!((table.items_estimated, table.segments, table.segments_done), (Some(30), 16, 0));
        assert_eq!((table.stream, table.read_units), (StreamPreview::WouldBeEnabled, Some(1)));
        for target in &table.targets {
            let creates = target.creates.as_deref();
            assert_eq!(creates, Some("a table with the key (id, n), on demand, global indexes by_country"));
            assert_eq!(target.write_units, Some(30));
        }
        for told in ["global indexes takes write units", "expire once it leads"] {
            assert!(seen.notes.iter().any(|note| note.contains(told)), "{:?}", seen.notes);
        }
        for site in ["a", "b"] {
            assert!(rig.table(site).describe().await.unwrap().is_none(), "nothing was made at {site}");
        }
        assert_eq!(rig.table("src").describe().await.unwrap().unwrap().stream, None);
    }

    #[tokio::test]
    async fn a_survey_goes_on_where_the_copy_is() {
        let rig = Rig::new(&["a"], "live = true");
        rig.fill(0..30);
        rig.proves(30).await;
        let seen = surveyed(&rig).await;
        assert_eq!(seen.table.unwrap().read_units, None, "an old estimate of 0 says nothing of a table with items");
        rig.table("src").count_items();
        let seen = surveyed(&rig).await;
        assert!(seen.blocks.is_empty(), "what the copy has written blocks nothing: {:?}", seen.blocks);
        let table = seen.table.unwrap();
        assert_eq!((table.segments_done, table.stream, table.read_units), (16, StreamPreview::Read, Some(0)));
        assert_eq!((&table.targets[0].creates, table.targets[0].write_units), (&None, Some(0)));
        assert!(table.targets[0].differs.is_empty(), "the stream that the copy enabled is no difference");
    }

    #[tokio::test]
    async fn a_survey_shows_all_that_blocks_each_with_its_mend() {
        let rig = Rig::with(indexed(), &["a", "b"], "");
        rig.fill(0..3);
        rig.table("a").create(&structure()).await.unwrap();
        rig.table("a").apply(&put(77, "its own")).unwrap();
        rig.table("b").create(&Structure::plain(("id", KeyType::Number), None)).await.unwrap();
        let seen = surveyed(&rig).await;
        let blocks = |words: [&str; 2]| seen.blocks.iter().any(|block| words.iter().all(|word| block.contains(word)));
        assert!(
            blocks([
                "a/users differs",
                "by_country is missing at the target; change the table, or accept it with waive = [\"indexes\"]"
            ]),
            "{:?}",
            seen.blocks
        );
        assert!(blocks(["a/users holds items of its own", "empty it, or choose another table"]), "{:?}", seen.blocks);
        assert!(blocks(["b/users differs", "choose another table"]), "{:?}", seen.blocks);
        // The waiver that it names accepts it.
        let rig = Rig::with(indexed(), &["a"], "waive = [\"indexes\"]");
        rig.fill(0..3);
        rig.table("a").create(&structure()).await.unwrap();
        let seen = surveyed(&rig).await;
        assert!(seen.blocks.is_empty(), "{:?}", seen.blocks);
        let differs = &seen.table.unwrap().targets[0].differs;
        assert!(differs.iter().any(|one| !one.blocks && one.waive == Some("indexes")), "{differs:?}");
    }

    #[tokio::test]
    async fn a_missing_source_blocks_and_an_empty_one_is_told() {
        let mut rig = Rig::new(&["a"], "");
        let seen = surveyed(&rig).await;
        assert_eq!((seen.records, seen.blocks.len()), (Some(0), 0));
        rig.replace("src", migrate_store::memory_table::MemoryTable::new("dynamodb://src/users"));
        let seen = surveyed(&rig).await;
        let mended =
            |block: &String| block.contains("there is no table dynamodb://src/users") && block.contains("create it");
        assert!(seen.blocks.iter().any(mended), "{:?}", seen.blocks);
    }

    #[tokio::test]
    async fn a_saved_plan_is_bound_to_the_tables_that_are_there() {
        let rig = Rig::new(&["a"], "");
        let bindings = inspection(&rig).bindings(&[]).await.unwrap();
        let there = |bindings: &crate::survey::bindings::Bindings| {
            bindings.datasets[0].places.iter().map(|place| (place.location.clone(), place.is_there)).collect::<Vec<_>>()
        };
        let of = |a| vec![("dynamodb://src/users".to_owned(), true), ("dynamodb://a/users".to_owned(), a)];
        assert_eq!(there(&bindings), of(false));
        rig.table("a").create(&structure()).await.unwrap();
        assert_eq!(there(&inspection(&rig).bindings(&[]).await.unwrap()), of(true));
    }

    #[tokio::test]
    async fn what_the_plan_limits_is_the_least_time() {
        let rig = Rig::new(&["a"], "limits = { read_capacity = 2, write_capacity = 10 }");
        for id in 0..100 {
            let mut large: Item = item(id, &"x".repeat(2000));
            large.insert("more".to_owned(), Value::Null);
            rig.table("src").apply(&ItemWrite::Put(large)).unwrap();
        }
        rig.table("src").count_items();
        let seen = surveyed(&rig).await;
        // 100 items of about 2,040 bytes: 50 read units at 2 a second, 200 write units at 10 a second.
        let table = seen.table.unwrap();
        assert_eq!((table.read_units, table.targets[0].write_units), (Some(50), Some(200)));
        assert_eq!(seen.seconds_min, Some(25));
    }

    #[tokio::test]
    async fn what_where_needs_beside_the_key_is_told() {
        for (rule, beyond) in [("item.id.startsWith(\"user-0\")", vec![]), ("item.value == \"x\"", vec!["value"])] {
            let rig = Rig::new(&[&format!("a {rule}"), "b otherwise"], "");
            rig.fill(0..3);
            assert_eq!(surveyed(&rig).await.table.unwrap().where_beyond_key, beyond);
        }
    }

    #[test]
    fn estimates_round_as_the_server_charges() {
        let of = |items, bytes| Estimate { items, bytes };
        assert_eq!((of(0, 0).read_units(), of(0, 0).write_units()), (0, 0));
        assert_eq!((of(1, 1).read_units(), of(1, 1).write_units()), (1, 1));
        // A million items of 1,100 bytes: a scan reads their bytes, a write rounds each item up to two units.
        assert_eq!(of(1_000_000, 1_100_000_000).read_units(), 268_555);
        assert_eq!(of(1_000_000, 1_100_000_000).write_units(), 2_000_000);
        assert_eq!((seconds(100, Some(33.0)), seconds(100, None), seconds(1, Some(0.0))), (Some(4), None, None));
        let left = Left { segments: 1, of: 3 };
        assert_eq!((left.of(0), left.of(10), left.of(u64::MAX)), (0, 4, u64::MAX / 3));
    }
}
