//! What a listing proves of a copy: the version is the one that was written if it is no later than the answer was.

use std::{sync::Arc, time::Duration};

use migrate::{
    aws::s3::S3Wire,
    lifecycle::Goal,
    local_cloud::{NewObject, Operation, Quirks, S3Server},
    plan::Level,
    store::ObjectStore,
};
use tempfile::{TempDir, tempdir};

use super::{
    Rig, found, one_dataset,
    s3::{SECRET, client_by, server, stores},
};

const OBJECTS: u64 = 20;

struct Copied {
    from: S3Server,
    to: S3Server,
    rig: Rig,
    _directory: TempDir,
}

impl Copied {
    /// Copies, and does not verify.
    async fn new(wire: S3Wire, clock: impl FnOnce(&mut Quirks)) -> Self {
        let (from, to) = (server(|_| {}).await, server(|config| clock(&mut config.quirks)).await);
        for number in 0..OBJECTS {
            from.state().put("data", &format!("{number:02}"), format!("body {number}"));
        }
        let mut stores = stores(&from, &[]).await;
        let target: Arc<dyn ObjectStore> = Arc::new(client_by(&to, "to", SECRET, wire).await.store("data", ""));
        stores.insert("to".to_owned(), target);
        let directory = tempdir().unwrap();
        let rig = Rig::new(&one_dataset(&["to"], "verify = \"listing\""), stores, directory.path());
        rig.try_run(Goal::Copied).await.unwrap();
        Self { from, to, rig, _directory: directory }
    }

    /// At how many objects of the target it looks until they are proved.
    async fn looks(&self) -> u64 {
        let before = self.to.stats().of(Operation::HeadObject);
        self.rig.run().await;
        self.to.stats().of(Operation::HeadObject) - before
    }

    /// What listings alone find.
    async fn listed(&self) -> Vec<String> {
        found(&self.rig.verify(Level::Listing).await)
    }

    async fn stop(self) {
        for server in [self.from, self.to] {
            server.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_alone_prove_a_copy_whose_answers_were_dated() {
    let copied = Copied::new(S3Wire::Own, |_| {}).await;
    let listed = copied.rig.verify(Level::Listing).await;
    assert!(found(&listed).is_empty());
    let unseen = |spot: &String| spot.contains("another writer sets with the same bytes");
    assert!(listed.targets[0].blind_spots.iter().any(unseen), "{:?}", listed.targets[0].blind_spots);
    assert_eq!(copied.looks().await, 0);
    // The times are known in full by now: one that is not that of the listing is another version.
    assert!(copied.to.state().postdate("data", "07", Duration::from_secs(30)));
    assert_eq!(copied.listed().await, ["different 07"]);
    copied.stop().await;
}

/// A `Date` of the second before is that of the write all the same: no other writer is taken to have been there.
#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_a_server_has_kept_for_a_second_bounds_the_time_too() {
    let copied = Copied::new(S3Wire::Own, |quirks| quirks.date_behind = true).await;
    copied.from.state().delete("data", "07");
    copied.rig.try_run(Goal::Copied).await.unwrap();
    assert_eq!(copied.to.state().get("data", "07"), None, "it is what was copied, so it goes with the source's");
    assert!(copied.listed().await.is_empty());
    assert_eq!(copied.looks().await, 0);
    copied.stop().await;
}

/// The SDK shows no `Date`, and a clock that is ahead of the objects' times would hide what was written meanwhile: a look
/// right after each write shows the time.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_date_that_is_the_objects_time_each_is_looked_at_once() {
    for (wire, is_ahead) in [(S3Wire::Sdk, false), (S3Wire::Own, true)] {
        let copied = Copied::new(wire, |quirks| quirks.clock_ahead = is_ahead).await;
        assert!(copied.to.stats().of(Operation::HeadObject) >= OBJECTS, "{wire:?}");
        assert!(copied.listed().await.is_empty(), "{wire:?}");
        assert_eq!(copied.looks().await, 0, "{wire:?}");
        copied.stop().await;
    }
}

/// Whatever told the time of what was written, what another writer writes later is not deleted as ours: neither with the
/// source's, nor after a verification has found it equal.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_a_copy_later_is_never_deleted_as_ours() {
    for (wire, is_ahead) in [(S3Wire::Own, false), (S3Wire::Own, true), (S3Wire::Sdk, false)] {
        let copied = Copied::new(wire, |quirks| quirks.clock_ahead = is_ahead).await;
        for key in ["03", "07"] {
            let data = copied.from.state().get("data", key).unwrap();
            copied.to.state().put_object("data", key, NewObject { data, ..NewObject::default() });
            assert!(copied.to.state().postdate("data", key, Duration::from_secs(30)));
        }
        copied.from.state().delete("data", "03");
        copied.from.state().delete("data", "05");
        copied.rig.try_run(Goal::Copied).await.unwrap();
        assert!(copied.to.state().get("data", "03").is_some(), "{wire:?}");
        assert_eq!(copied.to.state().get("data", "05"), None, "{wire:?}: it is what was copied");
        // A time that is known in full shows the other one, and the pass has written over it. Else it is found equal, which
        // makes it nobody's own.
        let is_bound = wire == S3Wire::Own && !is_ahead;
        assert_eq!(copied.rig.repair(Level::Checksum).await.1, 0, "{wire:?}");
        let aborted = copied.rig.discard().await.remove(0);
        assert_eq!(copied.to.state().get("data", "07").is_some(), is_bound, "{wire:?}");
        let kept = 1 + u64::from(is_bound);
        assert_eq!((aborted.kept, aborted.discarded), (kept, OBJECTS - 1 - kept), "{wire:?}");
        copied.stop().await;
    }
}

/// The same bytes under the same tag, so that only the time of the listing shows the other version.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_over_a_copy_later_is_looked_at() {
    let copied = Copied::new(S3Wire::Own, |_| {}).await;
    for key in ["03", "07"] {
        let mut other = NewObject { data: copied.from.state().get("data", key).unwrap(), ..NewObject::default() };
        if key == "07" {
            other.metadata.insert("owner".to_owned(), "somebody".to_owned());
        }
        copied.to.state().put_object("data", key, other);
        assert!(copied.to.state().postdate("data", key, Duration::from_secs(30)));
    }
    assert_eq!(copied.listed().await, ["undecided 03", "undecided 07"]);
    let (mended, count) = copied.rig.repair(Level::Listing).await;
    assert_eq!((mended.verified.is_some(), count), (true, 1));
    assert!(copied.to.state().get_object("data", "07").unwrap().metadata.is_empty());
    assert!(copied.listed().await.is_empty());
    copied.stop().await;
}
