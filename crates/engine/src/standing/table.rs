//! The standing of the copy of a table: values, and reading them from the ledger.

use serde::Serialize;

use crate::{error::EngineError, star::Star};
use migrate_core::{
    model::{PlaceIndex, Timestamp},
    plan::Dataset,
};
use migrate_ledger::{CaptureRow, Ledger, Owed, SegmentRow};

/// How far the copy of a table is.
#[derive(Debug, Serialize)]
pub struct TableStanding {
    /// The parts in which the table is scanned for its first copy; 0 before that has begun.
    pub segments: u32,
    /// Items in the table when the last pass began, as its server estimates them; `None` if it does not, or if not every
    /// target is to have all of them.
    pub items_estimated: Option<u64>,
    /// The stream from which changes are learned; `None` if none was read yet.
    pub stream: Option<StreamStanding>,
    /// The places that follow, by their numbers.
    pub targets: Vec<TableTargetStanding>,
}

impl TableStanding {
    /// What the target has that is least far with its first copy, items and bytes; `None` if all have ended it.
    pub fn least_copied(&self) -> Option<(u64, u64)> {
        let open = self.targets.iter().filter(|target| target.segments_done < self.segments);
        open.map(|target| (target.items_copied, target.bytes_copied)).min()
    }
}

/// A stream of changes that is read.
#[derive(Debug, Serialize)]
pub struct StreamStanding {
    /// Whether this migration has enabled it.
    pub ours: bool,
    /// When a process last read it, in RFC 3339.
    pub read_at: String,
    /// Why changes were lost, if they were: the next run compares all items.
    pub broken: Option<String>,
}

/// How far one target of a table is.
#[derive(Debug, Serialize)]
pub struct TableTargetStanding {
    /// Its location.
    pub target: String,
    /// Segments of which it has all items.
    pub segments_done: u32,
    /// Items that the first copy has written there.
    pub items_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Keys that are known to have changed and that it has not got yet.
    pub keys_owed: u64,
    /// Seconds since the oldest of them was learned of; `None` if it owes none.
    pub owed_seconds: Option<u64>,
}

/// Reads how far a table is, and the seconds by which its targets lag behind, if a stream that is read measures it.
pub(super) async fn of_table(
    ledger: &Ledger,
    dataset: &Dataset,
    star: &Star,
    now: Timestamp,
) -> Result<(TableStanding, Option<u64>), EngineError> {
    let segments = ledger.segments(&dataset.name).await?;
    let capture = ledger.capture(&dataset.name, star.lead).await?;
    let mut owed = ledger.owed(&dataset.name).await?;
    // During a cutover and after it, marks of a lead tell what was written elsewhere.
    owed.retain(|owed| star.find(owed.place).is_some());
    let followers = star.followers.iter().copied();
    let targets = followers.map(|place| of_target(dataset, place, &segments, &owed, now)).collect();
    let lag = lag_seconds(capture.as_ref(), &owed, now);
    let stream =
        capture.map(|CaptureRow { ours, at, broken, .. }| StreamStanding { ours, read_at: at.to_string(), broken });
    let segments = segments.iter().map(|row| row.segment + 1).max().unwrap_or(0);
    let counted = ledger.counted(&dataset.name).await?.filter(|_| is_whole(dataset));
    let items_estimated = counted.map(|(items, _)| items);
    Ok((TableStanding { segments, items_estimated, stream, targets }, lag))
}

/// Whether every target is to have all items.
fn is_whole(dataset: &Dataset) -> bool {
    dataset.filter.is_none() && !dataset.is_partitioned()
}

fn of_target(
    dataset: &Dataset,
    place: PlaceIndex,
    segments: &[SegmentRow],
    owed: &[Owed],
    now: Timestamp,
) -> TableTargetStanding {
    let rows = || segments.iter().filter(|row| row.place == place);
    let owed = owed.iter().find(|owed| owed.place == place);
    TableTargetStanding {
        target: dataset.location(place).to_string(),
        segments_done: u32::try_from(rows().filter(|row| row.done).count()).unwrap_or(u32::MAX),
        items_copied: rows().map(|row| row.items).sum(),
        bytes_copied: rows().map(|row| row.bytes).sum(),
        keys_owed: owed.map_or(0, |owed| owed.keys),
        owed_seconds: owed.map(|owed| seconds_since(owed.since, now)),
    }
}

/// Since when changes may be missing somewhere: since the oldest key that is owed, or since the stream was last read,
/// because what has changed after that is not known. A stream that lost changes measures nothing.
fn lag_seconds(capture: Option<&CaptureRow>, owed: &[Owed], now: Timestamp) -> Option<u64> {
    let read = capture.filter(|capture| capture.broken.is_none())?.at;
    owed.iter().map(|owed| owed.since).chain([read]).map(|since| seconds_since(since, now)).max()
}

fn seconds_since(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from((now.0 - then.0) / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::test_rig::{Rig, put};
    use migrate_ledger::{Record, TableRecord, TableStep};

    const A: PlaceIndex = PlaceIndex(1);

    #[test]
    fn the_lag_counts_what_is_not_known_and_a_broken_stream_measures_none() {
        let at = |at, broken: Option<&str>| CaptureRow {
            place: PlaceIndex::SOURCE,
            stream: "s".to_owned(),
            ours: true,
            at: Timestamp(at),
            broken: broken.map(str::to_owned),
        };
        let owed = |since| [Owed { place: A, keys: 3, since: Timestamp(since) }];
        let now = Timestamp(60_000);
        assert_eq!(lag_seconds(None, &owed(1), now), None);
        assert_eq!(lag_seconds(Some(&at(50_000, None)), &[], now), Some(10), "nothing has read it since");
        assert_eq!(lag_seconds(Some(&at(50_000, None)), &owed(20_000), now), Some(40));
        assert_eq!(lag_seconds(Some(&at(50_000, None)), &owed(59_999), now), Some(10));
        assert_eq!(lag_seconds(Some(&at(50_000, Some("trimmed"))), &owed(20_000), now), None);
        assert_eq!(seconds_since(Timestamp(70_000), now), 0, "the clock was set back");
    }

    #[tokio::test]
    async fn a_table_stands_where_its_copy_is() {
        let rig = Rig::new(&["a", "b"], "live = true");
        let dataset = &rig.plan.phases[0].datasets[0];
        let star = Star::new(PlaceIndex::SOURCE, 3);
        let of = || of_table(&rig.ledger, dataset, &star, crate::clock::now());
        let (table, lag) = of().await.unwrap();
        assert_eq!((table.segments, table.stream.is_none(), lag), (0, true, None));
        rig.fill(0..50);
        rig.proves(100).await;
        let (table, lag) = of().await.unwrap();
        assert!(table.segments == 16 && lag.is_some_and(|lag| lag < 60), "{lag:?} {table:?}");
        for target in &table.targets {
            assert_eq!((target.segments_done, target.items_copied), (16, 50), "{target:?}");
            assert_eq!((target.keys_owed, target.owed_seconds), (0, None));
        }
        assert_eq!(
            (table.items_estimated, table.least_copied()),
            (None, None),
            "nobody has kept it, and all is copied"
        );
        let counted = Record::Counted { dataset: dataset.name.clone(), records: 60, bytes: None };
        rig.ledger.append(vec![counted]).await.unwrap();
        assert_eq!(of().await.unwrap().0.items_estimated, Some(60));
        let mut under_way = table;
        under_way.targets[1].segments_done = 3;
        (under_way.targets[1].items_copied, under_way.targets[1].bytes_copied) = (20, 200);
        assert_eq!(under_way.least_copied(), Some((20, 200)));
        rig.table("src").apply(&put(3, "later")).unwrap();
        let record = |step| Record::Table(TableRecord { dataset: dataset.name.clone(), step });
        let dirtied = TableStep::Dirtied { keys: vec!["k".into()], owed: vec![A], at: Timestamp(5000) };
        let broke = TableStep::CaptureBroke { place: PlaceIndex::SOURCE, reason: "it was trimmed".to_owned() };
        rig.ledger.append(vec![record(dirtied), record(broke)]).await.unwrap();
        let (table, lag) = of_table(&rig.ledger, dataset, &star, Timestamp(9000)).await.unwrap();
        assert_eq!((table.targets[0].keys_owed, table.targets[0].owed_seconds), (1, Some(4)));
        assert_eq!((table.targets[1].keys_owed, lag), (0, None));
        assert_eq!(table.stream.unwrap().broken.as_deref(), Some("it was trimmed"));
    }
}
