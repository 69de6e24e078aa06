//! Brings a large record over in parts.
//!
//! Each part is read once, hashed once, and written to every target that lacks it. The ledger holds,
//! per target: the intent to upload, right before the request for an upload is sent; the
//! upload's id, before the first part; each part with its digests, soon after it was written. So a
//! later run goes on with the existing parts, and an upload can always be found again.
//!
//! # Tags that an upload does not keep
//!
//! If a server drops the tags that an upload began with, they are set once the object exists, and
//! only then does the record go to the ledger. A crash between the two leaves an object without a
//! pair: the next pass looks at it, finds it without its tags, and writes it again.
//!
//! [`unclaimed`](crate::copy::unclaimed) handles uploads whose id was never learned.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt as _, future::join_all, stream};

use crate::{
    copy::{
        copier::{Copier, Follower, Job, Outcome, Outcomes, Want, must_match},
        unclaimed::{self, Asking},
    },
    failed::Failed,
    journal::NotWritten,
    layout::{part_count, part_range},
};
use migrate_core::{
    digest::Parts,
    model::{Aspects, Evidence, PlaceIndex},
    report::EventKind,
};
use migrate_ledger::{Fact, Pair, Record, UploadIntent, UploadRow, WrittenPart};
use migrate_store::{ErrorKind, Head, Part, Result, Retry, StoreError, Upload, UploadTags, hashing, survive::Shape};

/// Parts of one record under way at once; the byte budget bounds them further.
const PARTS_IN_FLIGHT: usize = 4;
/// Requests for one upload if their answers are lost.
const BEGIN_TRIES_MAX: u32 = 3;

/// One target's upload while its parts are written.
#[derive(Debug)]
struct Lane<'a> {
    target: PlaceIndex,
    want: &'a Want,
    upload: Upload,
    /// The properties that the upload may lack: all of them if an earlier run began it, since what that run
    /// waived is not known here.
    waived: Aspects,
    state: Mutex<LaneState>,
}

#[derive(Debug, Default)]
struct LaneState {
    /// Parts that the target holds.
    parts: BTreeMap<u32, WrittenPart>,
    /// The first error at the target, after which no more parts are sent to it.
    failed: Option<StoreError>,
}

/// Why the parts of a record stopped.
enum Stopped {
    /// The source could not be read at the pinned version.
    Source(StoreError),
    /// The run is to end.
    Interrupted,
}

impl From<NotWritten> for Stopped {
    fn from(_: NotWritten) -> Self {
        Self::Interrupted
    }
}

/// Brings the record to all targets of the job. It returns errors of the source; an error of a target is an outcome.
pub(crate) async fn bring(
    copier: &Copier,
    job: &Job,
    head: &Head,
    part_size: u64,
    outcomes: &mut Outcomes,
) -> Result<()> {
    let opened = join_all(job.wants.iter().map(|(target, want)| async move {
        let follower = copier.follower(*target);
        (*target, want, open(copier, follower, job, head, part_size).await)
    }));
    let mut lanes = Vec::new();
    for (target, want, opened) in opened.await {
        match opened {
            Ok(Opened { upload, parts, waived }) => {
                let state = Mutex::new(LaneState { parts, failed: None });
                lanes.push(Lane { target, want, upload, waived, state });
            }
            Err(Opening::Unfit(failed)) => outcomes.push((target, Outcome::Failed(failed))),
            Err(Opening::Interrupted) => outcomes.push((target, Outcome::Interrupted)),
            Err(Opening::Failed(error)) => {
                outcomes.push((target, copier.outcome(copier.follower(target), job.last_chance, Err(error))));
            }
        }
    }
    match parts(copier, job, &lanes, part_size).await {
        Ok(()) => {}
        Err(Stopped::Source(error)) => return Err(error),
        Err(Stopped::Interrupted) => {
            outcomes.extend(lanes.iter().map(|lane| (lane.target, Outcome::Interrupted)));
            return Ok(());
        }
    }
    let ended = join_all(lanes.into_iter().map(|lane| async { (lane.target, finish(copier, job, head, lane).await) }));
    outcomes.extend(ended.await);
    Ok(())
}

/// Brings all parts, a few at once. Once one stops, no other begins, but those under way end: a dropped part
/// could be at the target but not in the ledger, and would be written again.
async fn parts(copier: &Copier, job: &Job, lanes: &[Lane<'_>], part_size: u64) -> Result<(), Stopped> {
    let stopping = AtomicBool::new(false);
    let numbers = (1..=part_count(job.source.size, part_size)).take_while(|_| !stopping.load(Ordering::Relaxed));
    let mut parts = stream::iter(numbers.map(|number| part(copier, job, lanes, part_size, number)))
        .buffer_unordered(PARTS_IN_FLIGHT);
    let mut outcome = Ok(());
    while let Some(done) = parts.next().await {
        stopping.fetch_or(done.is_err(), Ordering::Relaxed);
        outcome = outcome.and(done);
    }
    outcome
}

/// Reads one part and writes it to every lane that lacks it.
async fn part(copier: &Copier, job: &Job, lanes: &[Lane<'_>], part_size: u64, number: u32) -> Result<(), Stopped> {
    let wanted: Vec<_> = lanes.iter().filter(|lane| lane.lacks(number)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // Parts are durable, so a large record may be left unfinished.
    if copier.shutdown.is_draining() {
        return Err(Stopped::Interrupted);
    }
    let range = part_range(job.source.size, part_size, number);
    let _room = copier.budget.bytes(range.end - range.start).await;
    let read = copier.source.read(&job.key, Some(range), Some(&job.source)).await.map_err(Stopped::Source)?;
    let body = hashing::body(read.bytes).await;
    let written = join_all(wanted.into_iter().map(|lane| {
        let body = &body;
        async move {
            let follower = copier.follower(lane.target);
            let write = follower.store.put_part(&lane.upload, number, range.start, body);
            (lane, follower.counted(write).await)
        }
    }));
    for (lane, part) in written.await {
        match part {
            Ok(part) => {
                let part = WrittenPart {
                    number,
                    size: part.size,
                    tag: part.tag,
                    sha256: body.sha256(),
                    crc64nvme: body.crc64nvme(),
                };
                lane.state().parts.insert(number, part.clone());
                let written = Record::at(&copier.dataset, lane.target, &job.key, Fact::PartWritten(part));
                copier.journal.note(vec![written]).await?;
            }
            Err(error) => {
                lane.state().failed.get_or_insert(error);
            }
        }
    }
    Ok(())
}

/// Makes the object from its parts.
async fn finish(copier: &Copier, job: &Job, head: &Head, lane: Lane<'_>) -> Outcome {
    let follower = copier.follower(lane.target);
    let state = lane.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let finished = if let Some(error) = state.failed {
        Err(error)
    } else {
        let assembled = assemble(follower, job, head, &lane.upload, lane.want, &state.parts).await;
        assembled.map(|pair| Pair { waived: lane.waived, ..pair })
    };
    let ended = Record::at(&copier.dataset, lane.target, &job.key, Fact::UploadEnded);
    match finished {
        Ok(pair) => match copier.journal.note(vec![ended]).await {
            Ok(()) => copier.outcome(follower, job.last_chance, Ok((lane.want, pair))),
            Err(NotWritten) => Outcome::Interrupted,
        },
        Err(error) => {
            let kind = error.kind();
            let outcome = copier.outcome(follower, job.last_chance, Err(error));
            // After a passing failure the parts stay for the next try; after a permanent one of this record they
            // are dropped. So they are after damage: one part is not the source's, and it is unknown which.
            let has_failed = matches!(outcome, Outcome::Failed(_)) && kind.retry() == Retry::Permanent;
            if has_failed || kind == ErrorKind::Corrupt {
                if let Err(abort) = follower.store.abort_upload(&lane.upload).await {
                    tell_left(copier, &abort);
                } else if copier.journal.note(vec![ended]).await.is_err() {
                    return Outcome::Interrupted;
                }
            }
            outcome
        }
    }
}

async fn assemble(
    follower: &Follower,
    job: &Job,
    head: &Head,
    upload: &Upload,
    want: &Want,
    written: &BTreeMap<u32, WrittenPart>,
) -> Result<Pair> {
    let mut digests = Parts::default();
    for part in written.values() {
        digests.push(part.size, part.sha256, part.crc64nvme);
    }
    let evidence: Evidence = digests.finish();
    must_match(head, &evidence, &job.key)?;
    let unfit = |failed: Failed| {
        StoreError::new(ErrorKind::Unsupported, "finish upload of", follower.store.location(), failed.reason)
    };
    let mut properties = follower.given(head, Shape::Parts).map_err(unfit)?;
    let tags = match follower.store.capabilities().upload_tags {
        UploadTags::Afterwards => std::mem::take(&mut properties.tags),
        UploadTags::AtBegin | UploadTags::Lost => BTreeMap::new(),
    };
    let parts: Vec<_> =
        written.values().map(|part| Part { number: part.number, size: part.size, tag: part.tag.clone() }).collect();
    let target = follower.store.finish_upload(upload, &parts, &evidence, &properties, &want.condition()).await?;
    if !tags.is_empty() {
        follower.store.set_tags(&job.key, &tags, &target).await?;
    }
    let (lead, waived) = (job.source.clone(), follower.waived);
    Ok(Pair { lead, follower: target, evidence: Some(evidence), waived, written: true })
}

/// An upload that parts can be written to.
struct Opened {
    upload: Upload,
    /// The parts that it already has.
    parts: BTreeMap<u32, WrittenPart>,
    waived: Aspects,
}

/// Why an upload could not be opened.
enum Opening {
    Unfit(Failed),
    Failed(StoreError),
    Interrupted,
}

impl From<StoreError> for Opening {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<NotWritten> for Opening {
    fn from(_: NotWritten) -> Self {
        Self::Interrupted
    }
}

/// Goes on with the upload in the ledger, if it is of this version and layout and still exists; else begins one.
async fn open(copier: &Copier, follower: &Follower, job: &Job, head: &Head, part_size: u64) -> Result<Opened, Opening> {
    let properties = follower.given(head, Shape::Parts).map_err(Opening::Unfit)?;
    let known = copier.journal.ledger.upload(&copier.dataset, follower.place, &job.key).await.map_err(|error| {
        copier.journal.fatal(error);
        Opening::Interrupted
    })?;
    if let Some(row) = known {
        let same = row.intent.source == job.source && row.intent.part_size == part_size;
        if let Some(upload) = named(&row).filter(|_| same) {
            match follower.store.list_parts(&upload).await {
                Ok(parts) => return Ok(Opened { upload, parts: still_there(row, &parts), waived: Aspects::ALL }),
                Err(error) if error.kind() == ErrorKind::NoUpload => {}
                // It is unknown which parts exist, and stays so: begin anew. Seen on a server
                // that calls the list of parts by another name.
                Err(error) if error.kind() == ErrorKind::Garbled => drop_upload(copier, follower, &row).await?,
                Err(error) => return Err(error.into()),
            }
        } else {
            drop_upload(copier, follower, &row).await?;
        }
    }
    begin(copier, follower, job, &properties, part_size).await
}

async fn begin(
    copier: &Copier,
    follower: &Follower,
    job: &Job,
    properties: &migrate_store::Properties,
    part_size: u64,
) -> Result<Opened, Opening> {
    let record = |fact| vec![Record::at(&copier.dataset, follower.place, &job.key, fact)];
    let mut tries = 1;
    let upload = loop {
        let (source, at) = (job.source.clone(), crate::clock::now());
        let intent = UploadIntent { source, part_size, at, before: None };
        let asking = Asking::new(copier, follower, &job.key, intent).await;
        match follower.store.begin_upload(&job.key, properties, &asking).await {
            Ok(upload) => break upload,
            Err(_) if asking.was_unwritten() => return Err(Opening::Interrupted),
            Err(error) if error.outcome_unknown() && tries < BEGIN_TRIES_MAX => {
                tries += 1;
                unclaimed::lost(copier, follower, &job.key, asking.intent()).await?;
            }
            // No upload began, so there is none to look for.
            Err(error) if !error.outcome_unknown() && asking.was_sent() => {
                copier.journal.note(record(Fact::UploadEnded)).await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
    };
    copier.journal.commit(record(Fact::UploadBegun { id: upload.id.clone() })).await?;
    Ok(Opened { upload, parts: BTreeMap::new(), waived: follower.waived })
}

/// The parts that the ledger and the store hold alike.
fn still_there(row: UploadRow, listed: &[Part]) -> BTreeMap<u32, WrittenPart> {
    let listed: BTreeMap<_, _> = listed.iter().map(|part| (part.number, part)).collect();
    let alike = |part: &WrittenPart| {
        listed.get(&part.number).is_some_and(|found| found.size == part.size && found.tag == part.tag)
    };
    row.parts.into_iter().filter(alike).map(|part| (part.number, part)).collect()
}

/// Drops an upload that is no longer of use, with its parts, at the target and in the ledger.
pub(crate) async fn drop_upload(copier: &Copier, follower: &Follower, row: &UploadRow) -> Result<(), StoreError> {
    match named(row) {
        Some(upload) => follower.store.abort_upload(&upload).await?,
        None => unclaimed::drop_nameless(copier, follower, &row.key, row.intent.clone()).await?,
    }
    let ended = Record::at(&copier.dataset, row.place, &row.key, Fact::UploadEnded);
    // If the ledger cannot be written, the next run drops the upload again, which is no error.
    let _ = copier.journal.note(vec![ended]).await;
    Ok(())
}

/// Tells of an upload that could not be aborted.
pub(crate) fn tell_left(copier: &Copier, error: &StoreError) {
    let message = format!("an unfinished upload stays behind until the next run: {}", error.detail());
    copier.sink.tell(EventKind::Warning { dataset: Some(copier.dataset.clone()), key: error.key().cloned(), message });
}

/// The upload of a row; `None` if its id was never learned.
fn named(row: &UploadRow) -> Option<Upload> {
    Some(Upload { key: row.key.clone(), id: row.id.clone()? })
}

impl Lane<'_> {
    fn state(&self) -> std::sync::MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lacks(&self, number: u32) -> bool {
        let state = self.state();
        state.failed.is_none() && !state.parts.contains_key(&number)
    }
}
