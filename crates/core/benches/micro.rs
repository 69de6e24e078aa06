//! What one row of a comparison and one byte of a digest cost: `cargo bench -p migrate-core`.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use migrate_core::{
    diff::{Input, Join, Keyed, KeyedHolding, Pull, decide},
    digest::{Body, Parts, md5, sha256},
    model::{Key, KeyRange, Modified, PlaceIndex, Token},
};

const KEYS: usize = 100_000;
/// As S3 lists them.
const PAGE: usize = 1000;

/// What a listing, or the ledger, shows of a key.
#[derive(Clone)]
struct Shown {
    key: Key,
    token: Token,
}

impl Keyed for Shown {
    fn key(&self) -> &Key {
        &self.key
    }
}

impl KeyedHolding for Shown {
    fn place(&self) -> PlaceIndex {
        PlaceIndex::SOURCE
    }
}

fn pages() -> Vec<Vec<Shown>> {
    let shown = |number: usize| Shown {
        key: format!("catalogue/{number:010}").as_str().into(),
        token: Token { size: 4096, tag: format!("{number:032x}").into(), modified: Modified::At(1_700_000_000) },
    };
    (0..KEYS).step_by(PAGE).map(|first| (first..first + PAGE).map(shown).collect()).collect()
}

/// Two listings and the ledger's holdings, joined and decided; returns how many rows are the same on both sides.
fn join(mut inputs: [std::vec::IntoIter<Vec<Shown>>; 3]) -> usize {
    let mut join = Join::<Shown, Shown>::new(KeyRange::all(), 2);
    let mut same = 0;
    loop {
        match join.next() {
            Pull::End => return same,
            Pull::Row(row) => {
                let (lead, follower) = (row.shown[0].as_ref(), row.shown[1].as_ref());
                let change = decide(lead.map(|lead| &lead.token), follower.map(|follower| &follower.token), None);
                black_box(change);
                same += usize::from(row.held[0].is_some());
            }
            Pull::Need(input) => {
                let index = match input {
                    Input::Place(place) => place.get(),
                    Input::Holdings => 2,
                };
                match (input, inputs[index].next()) {
                    (input, None) => join.end(input),
                    (Input::Place(place), Some(page)) => join.feed(place, page).expect("the pages ascend"),
                    (Input::Holdings, Some(page)) => join.feed_holdings(page).expect("the pages ascend"),
                }
            }
        }
    }
}

fn merge_join(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge-join");
    group.throughput(Throughput::Elements(KEYS as u64)).sample_size(20);
    let all = pages();
    group.bench_function("two listings and the holdings", |bencher| {
        let inputs = || [all.clone(), all.clone(), all.clone()].map(Vec::into_iter);
        bencher.iter_batched(inputs, |inputs| assert_eq!(join(inputs), KEYS), BatchSize::PerIteration);
    });
    group.finish();
}

fn digests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digests");
    for (name, size) in [("4 KiB", 4 << 10), ("8 MiB", 8 << 20)] {
        let bytes = Bytes::from(vec![0x5a; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("SHA-256 of {name}"), |bencher| bencher.iter(|| sha256(black_box(&bytes))));
        group.bench_function(format!("MD5 of {name}"), |bencher| bencher.iter(|| md5(black_box(&bytes))));
        group.bench_function(format!("body of {name}: SHA-256 and CRC-64"), |bencher| {
            bencher.iter(|| Body::new(black_box(bytes.clone())));
        });
    }
    group.finish();
    let digest = sha256(b"a part");
    criterion.bench_function("evidence of 1,000 parts", |bencher| {
        bencher.iter(|| {
            let mut parts = Parts::default();
            (0..1000).for_each(|number| parts.push(8 << 20, digest, number));
            parts.finish()
        });
    });
}

criterion_group!(micro, merge_join, digests);
criterion_main!(micro);
