//! Records that differ, as a run, a verification and a repair report them, and how little a repair reads again.

use migrate::local_cloud::Operation;

use super::uploads::Uploads;

const RECORDS: usize = 40;

/// A copied dataset with two records that rotted on the server's disk.
async fn rotten() -> Uploads {
    let uploads = Uploads::start("", "verify = \"bytes\"").await;
    for n in 1..RECORDS {
        uploads.bench.write(&format!("source/data/{n:02}"), &format!("body {n}"));
    }
    uploads.expect(0, &["run", "plan.toml"]);
    for key in ["07", "small"] {
        assert!(uploads.server.state().corrupt("data", key, 1));
    }
    uploads
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_different_names_the_first_records_and_the_next_command() {
    let uploads = rotten().await;
    let ran = uploads.expect(1, &["run", "plan.toml"]);
    for key in ["07", "small"] {
        let line = format!("\n  files: different {key} at s3://there/data: the bytes differ from offset 1 on");
        assert!(ran.out.contains(&line), "{key}: {}", ran.out);
    }
    assert!(!ran.out.contains("more: "), "{}", ran.out);
    assert_eq!(ran.next_commands(), ["migrate verify plan.toml --repair"]);

    for n in 1..RECORDS {
        assert!(uploads.server.state().corrupt("data", &format!("{n:02}"), 2));
    }
    let ran = uploads.expect(1, &["run", "plan.toml"]);
    assert_eq!(ran.out.matches("files: different ").count(), 10, "{}", ran.out);
    assert!(ran.out.contains("  ... and 30 more: migrate verify plan.toml --dataset files\n"), "{}", ran.out);
    uploads.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_looks_again_at_what_it_has_written_and_at_nothing_else() {
    let uploads = rotten().await;
    let before = uploads.server.stats().of(Operation::GetObject);
    let repaired = uploads.expect(0, &["verify", "plan.toml", "--repair"]);
    assert!(repaired.out.contains("2 records repaired"), "{}", repaired.out);
    let whole = format!("equal by bytes; {RECORDS} records compared, 0 missing, 0 extra, 0 different, 0 unreadable");
    assert!(repaired.out.contains(&whole), "{}", repaired.out);
    let read = uploads.server.stats().of(Operation::GetObject) - before;
    // Each record once, what differs a second time before it is believed, and once more after the repair.
    assert_eq!(read, RECORDS as u64 + 2 + 2);
    uploads.expect(0, &["verify", "plan.toml"]);

    // A repair proves nothing about what it could not write.
    for key in ["07", "small"] {
        assert!(uploads.server.state().corrupt("data", key, 1));
    }
    let denied = r#"{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::data/small"}]}"#;
    uploads.client().put_bucket_policy().bucket("data").policy(denied).send().await.unwrap();
    let repaired = uploads.expect(1, &["verify", "plan.toml", "--repair"]);
    assert!(repaired.out.contains("1 record repaired"), "{}", repaired.out);
    assert!(repaired.out.contains("different small at s3://there/data"), "{}", repaired.out);
    assert!(!repaired.out.contains("different 07"), "{}", repaired.out);
    uploads.server.stop().await;
}
