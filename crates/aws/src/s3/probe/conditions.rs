//! Which conditions are kept, and in which form: a false one must be refused, a true one taken.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::ask::{Probe, plain};
use crate::patience::{REFUSALS_MIN, TRIES_MAX, afresh, patiently};
use crate::s3::wire::plain::Guard;
use migrate_store::{ErrorKind, IfMatch, Result, Retry};

/// An `ETag` that no object has.
const NO_TAG: &str = "00000000000000000000000000000000";

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Put,
    Finish,
    /// A delete that is answered as done and leaves the object counts as refused.
    Delete,
}

/// The answer of a server that keeps conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Refused,
    Taken,
}

impl Probe<'_> {
    /// Whether `If-None-Match: *` is kept; `false` where such a write cannot be made at all.
    pub(super) async fn absent(&self, act: Act) -> Result<bool> {
        let (can, prepared) = tokio::join!(self.can(act), self.prepare());
        let prepared = AtomicBool::new(prepared.is_ok());
        Ok(can? && afresh(|| self.keeps_absent(act, &prepared)).await?)
    }

    /// The form in which `If-Match` is kept.
    pub(super) async fn matches(&self, act: Act) -> Result<IfMatch> {
        let (can, prepared) = tokio::join!(self.can(act), self.prepare());
        let prepared = AtomicBool::new(prepared.is_ok());
        if can? { afresh(|| self.form(act, &prepared)).await } else { Ok(IfMatch::Ignored) }
    }

    async fn can(&self, act: Act) -> Result<bool> {
        if act == Act::Finish { self.takes_uploads().await } else { Ok(true) }
    }

    /// Whether `If-None-Match: *` is refused over an object, and taken without one.
    async fn keeps_absent(&self, act: Act, prepared: &AtomicBool) -> Result<bool> {
        self.prepare_unless(prepared).await?;
        if self.taken(act, absent(), Expected::Refused).await? {
            return Ok(false);
        }
        patiently(&[], || self.delete(Guard::default())).await?;
        self.taken(act, absent(), Expected::Taken).await
    }

    /// The form in which the right tag is taken and a wrong one refused.
    async fn form(&self, act: Act, prepared: &AtomicBool) -> Result<IfMatch> {
        self.prepare_unless(prepared).await?;
        for form in [IfMatch::Quoted, IfMatch::Bare] {
            let wrong = Guard::tag(NO_TAG, form);
            if self.taken(act, wrong, Expected::Refused).await? {
                return Ok(IfMatch::Ignored);
            }
            let Some(tag) = self.tag_now().await? else { return Ok(IfMatch::Ignored) };
            let right = Guard::tag(&tag, form);
            if self.taken(act, right, Expected::Taken).await? {
                return Ok(form);
            }
        }
        Ok(IfMatch::Ignored)
    }

    /// Writes the scratch object anew, unless it was `prepared` for this test.
    async fn prepare_unless(&self, prepared: &AtomicBool) -> Result<()> {
        if prepared.swap(false, Relaxed) { Ok(()) } else { self.prepare().await }
    }

    /// Writes the scratch object anew.
    async fn prepare(&self) -> Result<()> {
        self.write(&self.body, &plain(), Guard::default(), false, &[]).await.map(drop)
    }

    /// Whether a request under a condition is carried out. It is repeated if it fails in passing, and a refusal
    /// must come twice, because a single one may come from a proxy in between. A request whose condition holds,
    /// refused after a lost answer, may be refused because of its own success: then nothing is known, and the test
    /// begins again.
    async fn taken(&self, act: Act, guard: Guard, expected: Expected) -> Result<bool> {
        let (mut tries, mut lost, mut refusals) = (1, false, 0);
        loop {
            let error = match self.send(act, guard.clone()).await {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            // An endpoint that lacks the condition, or its form, says so in its own way.
            if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Unsupported | ErrorKind::Other) {
                if lost && expected == Expected::Taken {
                    return Err(error.of_kind(ErrorKind::Unavailable));
                }
                refusals += 1;
                if refusals == REFUSALS_MIN {
                    return Ok(false);
                }
                continue;
            }
            if error.kind().retry() == Retry::Permanent || tries == TRIES_MAX {
                return Err(error);
            }
            lost |= error.outcome_unknown();
            tries += 1;
        }
    }

    async fn send(&self, act: Act, guard: Guard) -> Result<bool> {
        match act {
            Act::Put => self.write_once(guard).await.map(|_| true),
            Act::Finish => self.finish(guard).await.map(|()| true),
            Act::Delete => {
                self.delete(guard).await?;
                // A 404 alone proves nothing.
                let gone = self.tag_now().await?.is_none();
                Ok(gone && !self.list("").await?.contains(&self.wire.full_key(&self.key)))
            }
        }
    }
}

fn absent() -> Guard {
    Guard { if_none_match: Some("*".to_owned()), ..Guard::default() }
}
