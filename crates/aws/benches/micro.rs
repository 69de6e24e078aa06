//! What the hot S3 requests cost beside the sockets: `cargo bench -p migrate-aws`.

use std::{fmt::Write as _, hint::black_box};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use migrate_aws::s3::bench::{Unsigned, listed};
use migrate_core::digest::Body;

/// In a page, as S3 lists them.
const KEYS: usize = 1000;

/// A page as S3 writes it.
fn page() -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>data</Name><Prefix></Prefix><NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=\
         </NextContinuationToken><KeyCount>{KEYS}</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>\
         <IsTruncated>true</IsTruncated>"
    );
    for number in 0..KEYS {
        let _ = write!(
            text,
            "<Contents><Key>catalogue/{number:010}</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified>\
             <ETag>&quot;{number:032x}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>\
             <ChecksumType>FULL_OBJECT</ChecksumType><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    text + "</ListBucketResult>"
}

fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signing");
    let put = Unsigned::put(&Body::new(Bytes::from(vec![0x5a; 4 << 10])));
    for (name, unsigned) in [("a GET", Unsigned::get()), ("a PUT of 4 KiB, hashed before", put)] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(&unsigned).sign()));
    }
    group.finish();
}

fn listing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("listing");
    let page = page();
    group.throughput(Throughput::Elements(KEYS as u64));
    group.bench_function("a page of 1,000 keys, found whole and read", |bencher| {
        bencher.iter(|| assert_eq!(listed(black_box(page.as_bytes())), KEYS));
    });
    group.finish();
}

criterion_group!(micro, signing, listing);
criterion_main!(micro);
