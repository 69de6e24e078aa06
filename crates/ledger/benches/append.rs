//! What a batch of records costs the ledger: `cargo bench -p migrate-ledger`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use migrate_core::model::{Aspects, DatasetName, Evidence, Key, Modified, PlaceIndex, PlanName, Sha256, Token};
use migrate_ledger::{Fact, Ledger, Pair, Record};

fn paired(dataset: &DatasetName, number: u64) -> Record {
    let key: Key = format!("catalogue/{number:010}").as_str().into();
    let token = Token { size: 4096, tag: format!("{number:032x}").into(), modified: Modified::At(1_700_000_000) };
    let evidence = Evidence { crc64nvme: number, parts: vec![(4096, Sha256([7; 32]))] };
    let (lead, follower) = (token.clone(), Token { modified: Modified::By(1_700_000_001), ..token });
    let pair = Pair { lead, follower, evidence: Some(evidence), waived: Aspects::NONE, written: true };
    Record::at(dataset, PlaceIndex(1), &key, Fact::Paired { lead: PlaceIndex::SOURCE, pair })
}

fn appends(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder for the ledger");
    let plan = PlanName::new("bench").expect("a name");
    let ledger = Ledger::open(&folder.path().join("ledger.sqlite"), &plan).expect("a new ledger");
    let dataset = DatasetName::new("bench").expect("a name");
    let begun = Record::DatasetBegun { dataset: dataset.clone(), meaning: "{}".into() };
    runtime.block_on(ledger.append(vec![begun])).expect("the first record");
    let mut group = criterion.benchmark_group("append");
    // Every batch is of new keys.
    let mut next = 0;
    for batch in [1, 64, 4096] {
        group.throughput(Throughput::Elements(batch)).sample_size(20);
        group.bench_function(format!("{batch} at once"), |bencher| {
            let records = || {
                next += batch;
                (next - batch..next).map(|number| paired(&dataset, number)).collect::<Vec<_>>()
            };
            let append = |records| runtime.block_on(ledger.append(records)).expect("the ledger takes them");
            bencher.iter_batched(records, append, BatchSize::PerIteration);
        });
    }
    group.finish();
    runtime.block_on(ledger.close()).expect("the ledger closes");
}

criterion_group!(micro, appends);
criterion_main!(micro);
