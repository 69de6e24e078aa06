//! Which conditions are kept, and in which form: what does not hold must be refused, and what holds taken.

use super::{Probe, afresh, plain};
use crate::store::{ErrorKind, Honoured, IfMatch, Result, s3::wire::Guard};

/// An `ETag` that no object has.
const NO_TAG: &str = "00000000000000000000000000000000";

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Put,
    Finish,
    /// One that is answered as done and leaves the object was refused.
    Delete,
}

impl Probe<'_> {
    /// Conditions of whole writes.
    pub(super) async fn on_put(&self) -> Result<Honoured> {
        self.honoured(Act::Put).await
    }

    /// Conditions of the finish of an upload.
    pub(super) async fn on_finish(&self) -> Result<Honoured> {
        if self.takes_uploads().await? {
            self.honoured(Act::Finish).await
        } else {
            Ok(Honoured { absent: false, matches: IfMatch::Ignored })
        }
    }

    /// `If-Match` of deletes.
    pub(super) async fn on_delete(&self) -> Result<IfMatch> {
        afresh(|| self.form(Act::Delete)).await
    }

    async fn honoured(&self, act: Act) -> Result<Honoured> {
        let absent = afresh(|| self.keeps_absent(act)).await?;
        Ok(Honoured { absent, matches: afresh(|| self.form(act)).await? })
    }

    /// Whether `If-None-Match: *` is refused over an object, and taken without one.
    async fn keeps_absent(&self, act: Act) -> Result<bool> {
        self.prepare().await?;
        if self.taken(act, absent()).await? {
            return Ok(false);
        }
        self.delete(Guard::default()).await?;
        self.taken(act, absent()).await
    }

    /// The form in which the right tag is taken and a wrong one refused.
    async fn form(&self, act: Act) -> Result<IfMatch> {
        self.prepare().await?;
        for form in [IfMatch::Quoted, IfMatch::Bare] {
            let wrong = Guard::tag(NO_TAG, form);
            if self.taken(act, wrong).await? {
                return Ok(IfMatch::Ignored);
            }
            let Some(tag) = self.tag_now().await? else { return Ok(IfMatch::Ignored) };
            let right = Guard::tag(&tag, form);
            if self.taken(act, right).await? {
                return Ok(form);
            }
        }
        Ok(IfMatch::Ignored)
    }

    /// Makes sure that the scratch object is there.
    async fn prepare(&self) -> Result<()> {
        self.write(&self.body, &plain(), Guard::default(), false, &[]).await.map(drop)
    }

    async fn taken(&self, act: Act, guard: Guard) -> Result<bool> {
        match act {
            Act::Put => taken(self.write_once(guard).await),
            Act::Finish => self.finish(guard).await,
            Act::Delete => Ok(taken(self.delete(guard).await)? && self.tag_now().await?.is_none()),
        }
    }
}

fn absent() -> Guard {
    Guard { if_none_match: Some("*".to_owned()), ..Guard::default() }
}

/// Whether a request under a condition was carried out. An endpoint that does not know the condition, or
/// its form, says so in its own way.
pub(super) fn taken<T>(answer: Result<T>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Unsupported | ErrorKind::Other) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
