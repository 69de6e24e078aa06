//! The least that a copy between two S3 servers can be: what `benches/compare` holds the program against.
//!
//! ```text
//! bare-copy FROM TO AT_ONCE     # the bucket `data` of http://HOST:PORT, with so many requests at once
//! ```
//!
//! It lists, reads, hashes (SHA-256, as a signed write needs) and writes, on `hyper`, and does nothing else: no retry,
//! no checksum of what was read, no condition, no look at the target, no limit, no record of what it has done. So it tells how
//! much of a copy's time is that of HTTP, the kernel and the servers. Objects above 16 MiB go in parts of that size. The
//! keys are taken from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.

mod signature;
mod wire;

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use hyper::Method;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
};

use signature::{Signer, encoded};
use wire::{Request, Wire};

const PART: u64 = 16 << 20;

/// An upload in parts, with the tag of each part that is there.
struct Upload {
    id: String,
    tags: Mutex<Vec<String>>,
    left: AtomicUsize,
}

/// One read and one write: an object, or a part of it.
struct Unit {
    path: String,
    start: u64,
    size: u64,
    part: Option<(usize, Arc<Upload>)>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [from, to, at_once] = &arguments[..] else { bail!("bare-copy FROM TO AT_ONCE") };
    let (from, to) = (Arc::new(Signer::new(from)?), Arc::new(Signer::new(to)?));
    let at_once: usize = at_once.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(copy(from, to, at_once))
}

async fn copy(from: Arc<Signer>, to: Arc<Signer>, at_once: usize) -> anyhow::Result<()> {
    let (units, next) = mpsc::channel(4 * at_once);
    let next = Arc::new(AsyncMutex::new(next));
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (from, to, next) = (Arc::clone(&from), Arc::clone(&to), Arc::clone(&next));
        tasks.spawn(async move {
            let (mut from, mut to) = (Wire::open(from).await?, Wire::open(to).await?);
            let mut memory = BytesMut::new();
            loop {
                // The next one waits for its own unit, not for this one's copy.
                let unit = next.lock().await.recv().await;
                let Some(unit) = unit else { return Ok(()) };
                memory = one(&unit, &mut from, &mut to, memory).await.with_context(|| unit.path.clone())?;
            }
        });
    }
    tasks.spawn(list(from, to, units));
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Sends on what is to be copied, page by page.
async fn list(from: Arc<Signer>, to: Arc<Signer>, units: mpsc::Sender<Unit>) -> anyhow::Result<()> {
    let (mut from, mut to) = (Wire::open(from).await?, Wire::open(to).await?);
    let mut after = String::new();
    loop {
        let query = format!("/data?{after}list-type=2");
        let page = from.ask(Request::of(Method::GET, &query), Bytes::new()).await?.1;
        let page = std::str::from_utf8(&page)?;
        for entry in page.split("<Contents>").skip(1) {
            let (key, size) = (within(entry, "Key")?, within(entry, "Size")?.parse()?);
            let path = format!("/data/{}", encoded(key, true));
            if size <= PART {
                units.send(Unit { path, start: 0, size, part: None }).await?;
                continue;
            }
            let begun = to.ask(Request::of(Method::POST, &format!("{path}?uploads=")), Bytes::new()).await?.1;
            let id = within(std::str::from_utf8(&begun)?, "UploadId")?.to_owned();
            let parts = usize::try_from(size.div_ceil(PART))?;
            let tags = Mutex::new(vec![String::new(); parts]);
            let upload = Arc::new(Upload { id, tags, left: AtomicUsize::new(parts) });
            for (part, start) in (0..size).step_by(usize::try_from(PART)?).enumerate() {
                let part = Some((part, Arc::clone(&upload)));
                units.send(Unit { path: path.clone(), start, size: PART.min(size - start), part }).await?;
            }
        }
        if within(page, "IsTruncated")? != "true" {
            return Ok(());
        }
        after = format!("continuation-token={}&", encoded(within(page, "NextContinuationToken")?, false));
    }
}

/// The text of the first element of a name. The server is one that writes no entities.
fn within<'a>(xml: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let found = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once('<'));
    found.map(|(text, _)| text).with_context(|| format!("no {name} in {xml:.200}"))
}

/// Copies one unit; gives back the memory that it took, to be used again.
async fn one(unit: &Unit, from: &mut Wire, to: &mut Wire, memory: BytesMut) -> anyhow::Result<BytesMut> {
    let read = Request::of(Method::GET, &unit.path);
    let read = if unit.part.is_some() { read.range(unit.start, unit.size) } else { read };
    let body = from.read(read, memory).await?.freeze();
    if body.len() as u64 != unit.size {
        bail!("{} bytes and not {}", body.len(), unit.size);
    }
    let digest = hex::encode(Sha256::digest(&body));
    match &unit.part {
        None => {
            to.ask(Request::of(Method::PUT, &unit.path).digest(digest), body.clone()).await?;
        }
        Some((part, upload)) => {
            let path = format!("{}?partNumber={}&uploadId={}", unit.path, part + 1, encoded(&upload.id, false));
            let head = to.ask(Request::of(Method::PUT, &path).digest(digest), body.clone()).await?.0;
            let tag = head.get("etag").context("no ETag")?.to_str()?.to_owned();
            upload.tags.lock().unwrap_or_else(PoisonError::into_inner)[*part] = tag;
            if upload.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                finish(&unit.path, upload, to).await?;
            }
        }
    }
    // Who still holds it keeps it.
    Ok(body.try_into_mut().unwrap_or_default())
}

async fn finish(path: &str, upload: &Upload, to: &mut Wire) -> anyhow::Result<()> {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (part, tag) in upload.tags.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
        let _ = write!(text, "<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", part + 1);
    }
    text += "</CompleteMultipartUpload>";
    let path = format!("{path}?uploadId={}", encoded(&upload.id, false));
    let digest = hex::encode(Sha256::digest(&text));
    let answer = to.ask(Request::of(Method::POST, &path).digest(digest), text.into()).await?.1;
    // A finish that fails is answered with 200 too.
    within(std::str::from_utf8(&answer)?, "ETag").map(drop)
}
