//! Uploads that were requested and whose id was never learned.
//!
//! A crash or a lost answer between the request for an upload and its id leaves an upload without a known id.
//! Before the request leaves, the ledger holds the ids of the key's uploads that were there already,
//! and the time of sending, after every wait for a limit. So a look at the key's uploads can decide:
//!
//! - the only new upload that began at the time of our request is ours, and is aborted;
//! - if no upload is new, ours is gone, or never was;
//! - otherwise it is unknown which is ours, also if the store cannot list uploads. Then ours stays in the ledger,
//!   *unclaimed*, for the operator to see, and every later pass looks again until it is known to be gone.
//!
//! A request whose answer was lost may still be on its way, so a look right afterwards that finds no new upload
//! proves nothing: the end of the pass looks once more.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;

use crate::{
    clock::now,
    copy::copier::{Copier, Follower},
    error::EngineError,
    journal::NotWritten,
};
use migrate_core::{
    model::{Key, PlaceIndex, Timestamp},
    report::EventKind,
};
use migrate_ledger::{Fact, Record, Unclaimed, UploadIntent};
use migrate_store::{BeforeSending, ErrorKind, ObjectStore, Result, StoreError, Upload};

/// Milliseconds between the beginning of an upload, by the store's clock, and our request, by ours, at most. S3
/// refuses requests that are further off:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html> (`RequestTimeTooSkewed`).
const BEGUN_MS_MAX: i64 = 15 * 60 * 1000;
/// Earlier uploads of one key that are remembered; if there are more, new ones cannot be told apart.
const BEFORE_MAX: usize = 1000;

/// One request for an upload, which records its intent right before it is sent.
pub(crate) struct Asking<'a> {
    copier: &'a Copier,
    target: PlaceIndex,
    key: &'a Key,
    intent: Mutex<UploadIntent>,
    sent: AtomicBool,
    unwritten: AtomicBool,
}

impl<'a> Asking<'a> {
    /// Lists the existing uploads of the key, so that a new one can be told from them.
    pub(crate) async fn new(copier: &'a Copier, follower: &Follower, key: &'a Key, intent: UploadIntent) -> Self {
        // An upload may begin even if we may not list uploads.
        let listed = follower.store.list_uploads(key).await.ok();
        let before = listed.filter(|listed| listed.len() <= BEFORE_MAX);
        let before = before.map(|listed| listed.into_iter().map(|(upload, _)| upload.id).collect());
        Self {
            copier,
            target: follower.place,
            key,
            intent: Mutex::new(UploadIntent { before, ..intent }),
            sent: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
        }
    }

    /// The intent as it was last recorded.
    pub(crate) fn intent(&self) -> UploadIntent {
        self.intent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an intent was recorded, so that the request may have been sent.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the ledger could not be written, so that the last request was not sent.
    pub(crate) fn was_unwritten(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl BeforeSending for Asking<'_> {
    async fn sending(&self) -> Result<()> {
        self.intent.lock().unwrap_or_else(PoisonError::into_inner).at = now();
        let intended = Fact::UploadIntended(self.intent());
        let record = Record::at(&self.copier.dataset, self.target, self.key, intended);
        let written = self.copier.journal.commit(vec![record]).await;
        self.unwritten.store(written.is_err(), Ordering::Relaxed);
        self.sent.fetch_or(written.is_ok(), Ordering::Relaxed);
        written.map_err(|NotWritten| {
            let location = self.copier.follower(self.target).store.location();
            StoreError::new(ErrorKind::Other, "begin upload of", location, "the ledger is not written").on(self.key)
        })
    }
}

/// What a look at a key's uploads shows of the requested one.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It existed, and is aborted.
    Aborted,
    /// No upload is new.
    Nothing,
    /// Any of these may be it, or none. Empty if the store does not list uploads.
    Doubtful(Vec<String>),
}

/// Looks for an upload, and aborts it if it can only be ours and `may_abort` allows it. It does not once the
/// lead has moved: applications upload at the new one, and perhaps still at the old one.
async fn look(store: &dyn ObjectStore, key: &Key, asked: &Unclaimed, may_abort: bool) -> Result<Seen> {
    let listed = match store.list_uploads(key).await {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported) => {
            return Ok(Seen::Doubtful(Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let new = new_since(asked, listed);
    if new.is_empty() {
        return Ok(Seen::Nothing);
    }
    if let Some(upload) = ours(asked, &new).filter(|_| may_abort) {
        store.abort_upload(upload).await?;
        return Ok(Seen::Aborted);
    }
    Ok(Seen::Doubtful(new.into_iter().map(|(upload, _)| upload.id).collect()))
}

/// A listed upload, with its beginning by the store's clock if the store tells it.
type Listed = (Upload, Option<Timestamp>);

/// The uploads that were not there before, as far as that is known.
fn new_since(asked: &Unclaimed, listed: Vec<Listed>) -> Vec<Listed> {
    let known = |upload: &Upload| asked.before.as_ref().is_some_and(|before| before.contains(&upload.id));
    listed.into_iter().filter(|(upload, _)| !known(upload)).collect()
}

/// The upload that began at the time of our request, if the earlier uploads are known and no other began then.
fn ours<'a>(asked: &Unclaimed, new: &'a [Listed]) -> Option<&'a Upload> {
    asked.before.as_ref()?;
    let then = |begun: &Option<Timestamp>| begun.is_none_or(|begun| (begun.0 - asked.at.0).abs() <= BEGUN_MS_MAX);
    let mut began_then = new.iter().filter(|(_, begun)| then(begun)).map(|(upload, _)| upload);
    let one = began_then.next()?;
    began_then.next().is_none().then_some(one)
}

/// Settles a request whose answer was just lost, as far as possible.
pub(crate) async fn lost(copier: &Copier, follower: &Follower, key: &Key, intent: UploadIntent) -> Result<()> {
    let asked = asked(intent);
    let ids = match look(&*follower.store, key, &asked, !follower.has_led).await? {
        Seen::Aborted => return Ok(()),
        Seen::Nothing => Vec::new(),
        Seen::Doubtful(ids) => {
            tell(copier, follower, key, &ids, asked.at);
            ids
        }
    };
    keep(copier, follower, key, Unclaimed { ids, ..asked }).await
}

/// Settles a request of an earlier process, or one that is given up; a doubtful one stays unclaimed.
pub(crate) async fn drop_nameless(copier: &Copier, follower: &Follower, key: &Key, intent: UploadIntent) -> Result<()> {
    let asked = asked(intent);
    if let Seen::Doubtful(ids) = look(&*follower.store, key, &asked, !follower.has_led).await? {
        tell(copier, follower, key, &ids, asked.at);
        keep(copier, follower, key, Unclaimed { ids, ..asked }).await?;
    }
    Ok(())
}

/// Looks again for every unclaimed upload of a dataset, at one target or at all. Returns how many
/// were aborted. If a look fails, the next run repeats it.
pub(crate) async fn look_again(
    copier: &Copier,
    target: Option<PlaceIndex>,
    may_abort: bool,
) -> std::result::Result<u64, EngineError> {
    let mut aborted = 0;
    for row in copier.journal.ledger.unclaimed(&copier.dataset).await? {
        let follower = copier.followers.iter().find(|follower| follower.place == row.place);
        let Some(follower) = follower.filter(|_| target.is_none_or(|target| target == row.place)) else { continue };
        let (key, asked) = (&row.key, row.upload);
        match look(&*follower.store, key, &asked, may_abort && !follower.has_led).await {
            Ok(seen @ (Seen::Aborted | Seen::Nothing)) => {
                aborted += u64::from(seen == Seen::Aborted);
                let gone = Record::at(&copier.dataset, row.place, key, Fact::UploadGone { at: asked.at });
                copier.journal.note(vec![gone]).await?;
            }
            Ok(Seen::Doubtful(ids)) => {
                tell(copier, follower, key, &ids, asked.at);
                if ids != asked.ids && !ids.is_empty() {
                    let kept = keep(copier, follower, key, Unclaimed { ids, ..asked }).await;
                    kept.map_err(|_unwritten| EngineError::LedgerClosed)?;
                }
            }
            Err(error) => {
                let message = format!("an upload without a name was not looked at: {}", error.detail());
                let dataset = Some(copier.dataset.clone());
                copier.sink.tell(EventKind::Warning { dataset, key: Some(row.key), message });
            }
        }
    }
    Ok(aborted)
}

fn asked(intent: UploadIntent) -> Unclaimed {
    Unclaimed { at: intent.at, before: intent.before, ids: Vec::new() }
}

async fn keep(copier: &Copier, follower: &Follower, key: &Key, upload: Unclaimed) -> Result<()> {
    let record = Record::at(&copier.dataset, follower.place, key, Fact::UploadUnclaimed(upload));
    let written = copier.journal.commit(vec![record]).await;
    written.map_err(|NotWritten| {
        let location = follower.store.location();
        StoreError::new(ErrorKind::Other, "look for upload of", location, "the ledger is not written").on(key)
    })
}

fn tell(copier: &Copier, follower: &Follower, key: &Key, ids: &[String], at: Timestamp) {
    copier.sink.tell(EventKind::UploadUnclaimed {
        dataset: copier.dataset.clone(),
        target: follower.store.location().to_owned(),
        key: key.clone(),
        ids: ids.to_vec(),
        asked_for: at,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_store::{Properties, memory::MemoryStore};

    fn asked_at(at: i64, before: Option<&[&str]>) -> Unclaimed {
        let before = before.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        Unclaimed { at: Timestamp(at), before, ids: Vec::new() }
    }

    async fn begin(store: &MemoryStore) -> String {
        store.begin_upload(&"k".into(), &Properties::default(), &()).await.unwrap().id
    }

    fn listed(id: &str, begun: Option<i64>) -> Listed {
        (Upload { key: "k".into(), id: id.to_owned() }, begun.map(Timestamp))
    }

    #[test]
    fn only_what_is_new_and_alone_began_then_is_ours() {
        let asked = asked_at(BEGUN_MS_MAX * 10, Some(&["old"]));
        let at = |ms: i64| Some(asked.at.0 + ms);
        let claim = |asked: &Unclaimed, all: &[Listed]| ours(asked, &new_since(asked, all.to_vec())).cloned();
        let old = listed("old", at(0));
        for near in [at(0), at(BEGUN_MS_MAX), at(-BEGUN_MS_MAX), None] {
            let all = [old.clone(), listed("new", near), listed("later", at(BEGUN_MS_MAX + 1))];
            assert_eq!(claim(&asked, &all).map(|upload| upload.id).as_deref(), Some("new"), "{near:?}");
        }
        assert_eq!(claim(&asked, &[old.clone(), listed("new", at(-BEGUN_MS_MAX - 1))]), None, "it began long before");
        assert_eq!(claim(&asked, &[listed("a", at(1)), listed("b", at(2))]), None, "either may be ours");
        assert_eq!(claim(&asked_at(0, None), &[listed("new", Some(0))]), None, "it may have been there before");
        assert!(new_since(&asked, vec![old]).is_empty());
    }

    #[tokio::test]
    async fn what_is_ours_is_aborted_where_the_lead_has_not_moved() {
        let store = MemoryStore::new("memory");
        let old = begin(&store).await;
        let asked = asked_at(0, Some(&[&old]));
        let seen = async |may_abort| look(&store, &"k".into(), &asked, may_abort).await.unwrap();
        assert_eq!(seen(true).await, Seen::Nothing);
        let new = begin(&store).await;
        assert_eq!(seen(false).await, Seen::Doubtful(vec![new]), "applications upload there");
        assert_eq!(store.unfinished_uploads(), 2);
        assert_eq!(seen(true).await, Seen::Aborted);
        assert_eq!(store.list_uploads(&"k".into()).await.unwrap()[0].0.id, old, "the other one is not ours");
    }
}
