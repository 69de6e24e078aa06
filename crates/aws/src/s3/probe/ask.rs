//! Asks for every ability in turn, and removes what was written.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::s3::{
    convert::{bare_tag, head_of, md5_of_tag, percent_decode, tagging_header},
    wire::{
        bucket::{How, Wire},
        plain::{Got, Guard, Shown},
    },
};
use crate::{
    deadline::within,
    patience::{REFUSALS_MIN, patiently, refused},
};
use migrate_core::{
    digest::{Body, md5},
    model::Key,
};
use migrate_store::{Capabilities, ErrorKind, Header, MetadataForm, PartRules, Proof, Properties, Result, Upload};

pub(super) const CONTENT: &[u8] =
    b"A scratch object of `migrate`, which asks what this endpoint can do. Safe to delete.\n";

/// A tag that needs encoding.
pub(super) const TAG: (&str, &str) = ("migrate-probe", "a b");

/// Tests everything, then removes what it has written, whatever the outcome.
///
/// It runs in a task of its own, because its futures are deep and stand below a whole run.
pub(in crate::s3) async fn probe(wire: &Wire, key: &Key) -> Result<Capabilities> {
    let (wire, key) = (wire.clone(), key.clone());
    let mut task = JoinSet::new();
    task.spawn(async move {
        let probe = Probe {
            wire: &wire,
            key: key.clone(),
            body: Body::new(Bytes::from_static(CONTENT)),
            uploads: Mutex::default(),
            written: Mutex::new([(wire.full_key(&key), true)].into()),
            versioned: AtomicBool::new(false),
        };
        let found = probe.ask().await;
        let removed = probe.remove().await;
        let found = found?;
        removed?;
        Ok(found)
    });
    match task.join_next().await.expect("one task was spawned") {
        Ok(found) => found,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

pub(super) struct Probe<'a> {
    pub(super) wire: &'a Wire,
    pub(super) key: Key,
    pub(super) body: Body,
    /// Uploads that were begun and not finished.
    pub(super) uploads: Mutex<Vec<Upload>>,
    /// Full keys that may hold an object, since a listing may be a moment behind, and whether a write there was
    /// accepted.
    pub(super) written: Mutex<BTreeMap<String, bool>>,
    /// Whether the bucket keeps old versions.
    pub(super) versioned: AtomicBool,
}

/// The properties of the scratch object, to see which of them survive.
pub(super) fn plain() -> Properties {
    Properties {
        headers: [(Header::ContentType, "text/x-migrate-probe".to_owned())].into(),
        metadata: [("migrate-probe".to_owned(), "1".to_owned())].into(),
        tags: [].into(),
    }
}

impl Probe<'_> {
    async fn ask(&self) -> Result<Capabilities> {
        // The first write needs no special ability: if it fails, the target cannot be written at all.
        let plain = plain();
        let tag = self.write(&self.body, &plain, Guard::default(), false, &[]).await?;
        // Before any other write, which may carry less.
        let head = self.head().await?;
        let tags = self.keeps_tags().await?;
        let (crc_kept, wrong_crc_refused) = self.checksums(&plain).await?;
        let tag_is_md5 = tag.as_deref().and_then(|tag| md5_of_tag(tag.trim_matches('"'))) == Some(md5(CONTENT));
        let proof = if self.refuses_wrong_body().await? {
            Proof::SignedPayload
        } else if wrong_crc_refused {
            Proof::Checksum
        } else if tag_is_md5 {
            Proof::Md5Tag
        } else {
            Proof::ReadBack
        };
        let metadata = Box::pin(self.metadata()).await?;
        let (on_put, on_finish) = (Box::pin(self.on_put()).await?, Box::pin(self.on_finish()).await?);
        let upload = Box::pin(self.what_an_upload_keeps(tags.is_some())).await?;
        Ok(Capabilities {
            proof,
            put_if_absent: on_put.absent,
            put_if_matches: on_put.matches,
            finish_if_absent: on_finish.absent,
            finish_if_matches: on_finish.matches,
            delete_if_matches: Box::pin(self.on_delete()).await?,
            keeps_crc64nvme: crc_kept,
            properties: head == plain && upload.properties,
            tags: tags.is_some(),
            tag_count: tags.unwrap_or(false),
            upload_tags: upload.tags,
            metadata,
            keys: Box::pin(self.keys()).await?,
            parts: PartRules::S3,
        })
    }

    /// Writes the scratch object; returns its tag.
    pub(super) async fn write(
        &self,
        body: &Body,
        properties: &Properties,
        guard: Guard,
        with_crc: bool,
        refusals: &[ErrorKind],
    ) -> Result<Option<String>> {
        let how = How { with_crc, metadata: MetadataForm::Raw };
        let request = || self.wire.put(&self.key, body, properties, guard.clone(), how);
        Ok(patiently(refusals, request).await?.tag)
    }

    /// How metadata that is not ASCII is shown: as raw UTF-8 and as an encoded word.
    async fn metadata(&self) -> Result<MetadataForm> {
        const RAW: &str = "caf\u{e9}";
        // Not the word that an encoder would make of it: if it comes back, it was kept, not made again.
        const WORD: &str = "=?utf-8?Q?ca=66=C3=A9?=";
        let refusals =
            [ErrorKind::Other, ErrorKind::Unsupported, ErrorKind::Credentials, ErrorKind::Denied, ErrorKind::Corrupt];
        let carrying = |metadata: &[(&str, &str)]| Properties {
            metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Properties::default()
        };
        let both = carrying(&[("migrate-raw", RAW), ("migrate-word", WORD)]);
        if self.refuses_each_time(&self.body, &both, false, &refusals).await? {
            let word = carrying(&[("migrate-word", WORD)]);
            if self.refuses_each_time(&self.body, &word, false, &refusals).await? {
                return Ok(MetadataForm::Ascii);
            }
        }
        let metadata = self.read().await?.shown.metadata;
        let shown = |name| metadata.get(name).map(String::as_str);
        let (raw, word) = (shown("migrate-raw"), shown("migrate-word"));
        let means = |shown: Option<&str>| shown.is_some_and(|shown| MetadataForm::Words.reads_alike(shown, RAW));
        Ok(if raw == Some(RAW) && word == Some(WORD) {
            MetadataForm::Raw
        } else if means(word) && (word != Some(WORD) || means(raw)) {
            MetadataForm::Words
        } else {
            MetadataForm::Ascii
        })
    }

    /// The endpoint must refuse a body that is not the signed one.
    async fn refuses_wrong_body(&self) -> Result<bool> {
        let wrong = self.body.with_bytes_damaged();
        // Credentials that expire just now look like a wrong signature.
        let refusals = [ErrorKind::Corrupt, ErrorKind::Credentials, ErrorKind::Other];
        self.refuses_each_time(&wrong, &Properties::default(), false, &refusals).await
    }

    /// Whether a write is refused each time. Damage on the way is refused too, but not every time. One accepted
    /// write settles it.
    async fn refuses_each_time(
        &self,
        body: &Body,
        properties: &Properties,
        with_crc: bool,
        refusals: &[ErrorKind],
    ) -> Result<bool> {
        for _ in 0..REFUSALS_MIN {
            let answer = self.write(body, properties, Guard::default(), with_crc, refusals).await;
            if !refused(answer.map(drop), refusals)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a CRC-64/NVME is shown again, and whether a wrong one is refused.
    async fn checksums(&self, properties: &Properties) -> Result<(bool, bool)> {
        let refusals = [ErrorKind::Corrupt, ErrorKind::Other, ErrorKind::Unsupported];
        if self.refuses_each_time(&self.body, properties, true, &refusals).await? {
            return Ok((false, false));
        }
        let shown = self.looked_at().await?;
        let size = shown.length;
        let kept = size.and_then(|size| head_of(shown, size).checksums.crc64nvme) == Some(self.body.crc64nvme());
        let wrong = self.body.with_crc_damaged();
        let wrong_refused =
            self.refuses_each_time(&wrong, properties, true, &[ErrorKind::Corrupt, ErrorKind::Other]).await?;
        Ok((kept && wrong_refused, wrong_refused))
    }

    /// Whether tags come back; if so, whether HEAD and GET show their number.
    async fn keeps_tags(&self) -> Result<Option<bool>> {
        let tagged = Properties { tags: [(TAG.0.to_owned(), TAG.1.to_owned())].into(), ..Default::default() };
        debug_assert!(tagging_header(&tagged.tags).is_some());
        // The identity may lack the right to tag, which has the same effect.
        let unable = [ErrorKind::Unsupported, ErrorKind::Other, ErrorKind::Denied];
        let answer = self.write(&self.body, &tagged, Guard::default(), false, &unable).await;
        if refused(answer.map(drop), &unable)? {
            return Ok(None);
        }
        if !self.shows_tags(&unable).await? {
            return Ok(None);
        }
        let read = self.read().await?;
        // Some servers count on GET alone.
        Ok(Some(read.shown.tag_count == Some(1) && self.looked_at().await?.tag_count == Some(1)))
    }

    /// Whether the scratch object has its tag.
    pub(super) async fn shows_tags(&self, unable: &[ErrorKind]) -> Result<bool> {
        let tags = || self.wire.server.cold().tags(self.wire.full_key(&self.key));
        match patiently(unable, || within(self.wire.reads("read tags of"), 0, tags())).await {
            Ok(tags) => Ok(tags.get(TAG.0).is_some_and(|value| value == TAG.1)),
            Err(error) if unable.contains(&error.kind()) || error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn looked_at(&self) -> Result<Shown> {
        let look = || self.wire.server.head(self.wire.full_key(&self.key), None, true);
        patiently(&[], || within(self.wire.reads("look at"), 0, look())).await
    }

    pub(super) async fn head(&self) -> Result<Properties> {
        let mut properties = head_of(self.read().await?.shown, CONTENT.len() as u64).properties;
        // Some servers add headers of their own; only ours must have survived.
        properties.headers.retain(|header, _| *header == Header::ContentType);
        Ok(properties)
    }

    async fn read(&self) -> Result<Got<Bytes>> {
        patiently(&[], || self.wire.get(&self.key, None, None)).await
    }

    /// The current tag of the scratch object, without its quotes; `None` if there is no object.
    pub(super) async fn tag_now(&self) -> Result<Option<Box<str>>> {
        match self.read().await {
            Ok(read) => Ok(Some(bare_tag(read.shown.tag.as_deref()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes one full key, once.
    async fn delete_at(&self, full_key: &str, version: Option<String>, guard: Guard) -> Result<()> {
        let request = self.wire.server.cold().delete(full_key.to_owned(), version, guard.if_match);
        match within(self.wire.writes("delete"), 0, request).await {
            Ok(version) => {
                self.versioned.fetch_or(version.is_some(), Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.on(&self.key)),
        }
    }

    pub(super) async fn delete(&self, guard: Guard) -> Result<()> {
        self.delete_at(&self.wire.full_key(&self.key), None, guard).await
    }

    /// The existing full keys under the scratch name, past a slash or not.
    pub(super) async fn list(&self, slash: &str) -> Result<Vec<String>> {
        let prefix = format!("{}{slash}{}", self.wire.prefix, self.key.as_str());
        let page = || within(self.wire.reads("list"), 0, self.wire.server.list(&prefix, None, None));
        let page = patiently(&[], page).await?;
        let keys = page.entries.into_iter().filter_map(|object| object.key);
        Ok(keys.filter_map(|key| decoded(key, page.is_encoded)).collect())
    }

    /// Removes everything that was written, including objects that a server put under another name and leftovers of
    /// an earlier probe; in a versioned bucket each version and marker. After a failed removal it still tries the
    /// others.
    async fn remove(&self) -> Result<()> {
        let mut failed = self.abort_uploads().await.err();
        let written = held(&self.written).clone();
        for (key, accepted) in written {
            let deleted = patiently(&[], || self.delete_at(&key, None, Guard::default())).await;
            // An endpoint that accepts no write under a key may refuse the delete too. The listing shows what exists.
            failed = failed.or(deleted.err().filter(|_| accepted));
        }
        for slash in ["", "/"] {
            failed = failed.or(self.remove_listed(slash).await.err());
            if self.versioned.load(Ordering::Relaxed) {
                failed = failed.or(self.remove_versions(slash).await.err());
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn remove_listed(&self, slash: &str) -> Result<()> {
        for key in self.list(slash).await? {
            patiently(&[], || self.delete_at(&key, None, Guard::default())).await?;
        }
        Ok(())
    }

    async fn remove_versions(&self, slash: &str) -> Result<()> {
        let prefix = format!("{}{slash}{}", self.wire.prefix, self.key.as_str());
        loop {
            let page =
                || within(self.wire.reads("list versions of"), 0, self.wire.server.cold().list_versions(&prefix));
            let page = patiently(&[], page).await?;
            let named = page.entries.into_iter();
            let named = named.filter_map(|one| Some((decoded(one.key?, page.is_encoded)?, one.version?)));
            for (key, version) in named {
                patiently(&[], || self.delete_at(&key, Some(version.clone()), Guard::default())).await?;
            }
            if page.follows != Some(true) {
                return Ok(());
            }
        }
    }
}

/// A listed key; `None` if it cannot be decoded.
fn decoded(key: String, is_encoded: bool) -> Option<String> {
    if is_encoded { percent_decode(&key) } else { Some(key) }
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
