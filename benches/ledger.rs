//! How many records a second the ledger takes and gives, and how many bytes each needs on disk.
//!
//! `cargo bench --bench ledger -- [RECORDS] [TARGETS]`: 1,000,000 records at one target unless given.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::{error::Error, time::Instant};

use migrate::ledger::{Fact, Ledger, Pair, Record};
use migrate::model::{Aspects, DatasetName, Evidence, Key, KeyRange, Modified, PlaceIndex, PlanName, Sha256, Token};

const BATCH: u64 = 4096;
/// A size (3 bytes here) and a SHA-256.
const PART_LIST: u64 = 35;

fn key(number: u64) -> Key {
    format!("photos/2024/{number:08}.jpg").as_str().into()
}

fn token(side: u16, number: u64) -> Token {
    let tag = format!("{:016x}{number:016x}", u64::from(side) * 0x9e37_79b9_7f4a_7c15);
    Token { size: 200_000 + number % 100_000, tag: tag.into(), modified: Modified::At(1_700_000_000) }
}

fn paired(dataset: &DatasetName, target: u16, number: u64) -> Record {
    let digest = Sha256(std::array::from_fn(|at| number.to_le_bytes()[at % 8] ^ 0x5a));
    let lead = token(0, number);
    let evidence = Evidence { crc64nvme: number, parts: vec![(lead.size, digest)] };
    let follower = Token { modified: Modified::By(1_700_000_001), ..token(target, number) };
    let pair = Pair { lead, follower, evidence: Some(evidence), waived: Aspects::NONE, written: true };
    Record::at(dataset, PlaceIndex(target), &key(number), Fact::Paired { lead: PlaceIndex::SOURCE, pair })
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let records = numbers.first().copied().unwrap_or(1_000_000);
    let targets = u16::try_from(numbers.get(1).copied().unwrap_or(1))?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path, &PlanName::new("bench")?)?;
    let dataset = DatasetName::new("bench")?;
    ledger.append(vec![Record::DatasetBegun { dataset: dataset.clone(), meaning: "{}".into() }]).await?;

    let begun = Instant::now();
    for start in (0..records).step_by(usize::try_from(BATCH)?) {
        let numbers = start..records.min(start + BATCH);
        let batch = numbers.flat_map(|number| (1..=targets).map(move |target| (target, number)));
        ledger.append(batch.map(|(target, number)| paired(&dataset, target, number)).collect()).await?;
    }
    let written = records as f64 / begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let (mut range, mut read) = (KeyRange::all(), 0);
    loop {
        let page = ledger.held(&dataset, PlaceIndex::SOURCE, &range, 1000).await?;
        let Some(last) = page.last() else { break };
        range.after = Some(last.key.clone());
        read += page.len();
    }
    assert_eq!(read as u64, records * u64::from(targets), "every record is read back");
    let read = records as f64 / begun.elapsed().as_secs_f64();

    ledger.close().await?;
    let bytes = std::fs::metadata(&path)?.len() as f64 / records as f64 - key(0).as_str().len() as f64;
    println!("{records} records at {targets} targets: {written:.0} written and {read:.0} read a second");
    println!("{bytes:.0} bytes a record beside its key, of which the part list takes {PART_LIST}");
    Ok(())
}
