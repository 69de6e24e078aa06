//! Looks whether a target holds a record already, before anything is read or written.

use crate::{
    compare::{Verdict, compare},
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want},
    error::is_fatal,
};
use migrate_core::model::Token;
use migrate_ledger::Pair;
use migrate_store::{
    Head, Retry,
    survive::{self, Scope},
};

/// What a look at a target leaves to do.
enum Unsettled {
    /// This is wanted there.
    Wants(Want),
    /// Nothing: the look failed.
    Ended(Outcome),
}

impl Copier {
    /// Looks at a record at targets that have it without a pair, or with a pair that waived properties that must now
    /// be there: where it is equal, it is done; elsewhere it is to be replaced.
    pub(super) async fn settle_equal(&self, job: &mut Job, outcomes: &mut Outcomes) {
        // If this look fails, the read that follows tells the error.
        let Ok(Some(source)) = self.look_at_source(&job.key).await else { return };
        self.follow(job, source.token.clone(), outcomes).await;
        let mut wants = Vec::new();
        for (target, want) in std::mem::take(&mut job.wants) {
            let follower = self.follower(target);
            let settled = match want {
                Want::Look(shown) => self.compared(follower, job, &source, shown, None).await,
                Want::Review(pair) => {
                    let held = pair.follower.clone();
                    match self.compared(follower, job, &source, held.clone(), Some(pair)).await {
                        // Another writer came between the listing and this look.
                        Err(Unsettled::Wants(Want::Look(shown) | Want::Replace(shown)))
                            if follower.has_led && !held.covers(&shown) =>
                        {
                            Err(Unsettled::Ended(Outcome::Late(Some(shown))))
                        }
                        settled => settled,
                    }
                }
                want => Err(Unsettled::Wants(want)),
            };
            match settled {
                Ok(pair) => outcomes.push((target, Outcome::Same(pair))),
                Err(Unsettled::Wants(want)) => wants.push((target, want)),
                Err(Unsettled::Ended(outcome)) => outcomes.push((target, outcome)),
            }
        }
        job.wants = wants;
    }

    /// The pair, if the record is equal at a target, or else what is wanted there. Paired versions hold the same bytes.
    async fn compared(
        &self,
        follower: &Follower,
        job: &Job,
        source: &Head,
        shown: Token,
        pair: Option<Pair>,
    ) -> Result<Pair, Unsettled> {
        let scope = Scope::new(&self.source.capabilities(), &follower.store.capabilities(), follower.waived);
        let head = match survive::look(&*follower.store, &job.key, scope.has_tags()).await {
            Ok(Some(head)) => head,
            Ok(None) => return Err(Unsettled::Wants(Want::Create)),
            // A target that refuses looks may take writes.
            Err(error) if error.kind().retry() == Retry::Permanent && !is_fatal(&error) => {
                return Err(Unsettled::Wants(Want::Replace(shown)));
            }
            Err(error) => return Err(Unsettled::Ended(self.unwritten(follower, job.last_chance, error))),
        };
        let pair = pair.filter(|pair| pair.lead.agrees_with(&source.token) && pair.follower.agrees_with(&head.token));
        let equal = match pair {
            Some(_) => scope.differs(source, &head).is_none(),
            None => compare(source, &head, scope) == Verdict::Equal,
        };
        if !equal {
            let want = if pair.is_some() { Want::Replace(head.token) } else { Want::Look(head.token) };
            return Err(Unsettled::Wants(want));
        }
        let written = pair.as_ref().is_some_and(|pair| pair.has_written(&head.token));
        let evidence = pair.and_then(|pair| pair.evidence);
        let (lead, waived) = (source.token.clone(), follower.waived);
        Ok(Pair { lead, follower: head.token, evidence, waived, written })
    }
}
