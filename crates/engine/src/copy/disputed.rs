//! Records that another writer has written, or deleted, at a place that led before.
//!
//! Nothing fences such a place, so a client that has not read its route again may have written there, and nobody else
//! has what it wrote. It is never written over, unless somebody has settled just this version (`migrate resolve`): it
//! is a *late write*, which the ledger keeps, and the record stays different there until then. A record that is gone from
//! there was deleted by somebody, so it is one as well: a place that is cleared is not filled again by itself.

use crate::{
    compare::{Verdict, compare},
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want},
    failed::Failed,
};
use migrate_core::model::{Key, Token};
use migrate_ledger::{Held, Late, Pair};
use migrate_store::{
    Head, StoreError,
    survive::{self, Scope},
};

/// What is to be done about a disputed record.
enum Settled {
    /// It is as wanted, or to be left alone.
    Ends(Outcome),
    /// It may be written.
    Wants(Want),
}

impl Follower {
    /// Whether the place shows of a record what neither this migration nor an application wrote while it led.
    pub(crate) fn is_disputed(&self, shown: Option<&Token>, held: Option<&Held>) -> bool {
        self.has_led
            && match (shown, held) {
                (None, None) => false,
                // A later one under the same tag is another writer's too.
                (Some(shown), Some(held)) => !held.here.covers(shown),
                (Some(_), None) | (None, Some(_)) => true,
            }
    }
}

impl Copier {
    /// Decides about the disputed places of a record: it is equal there, may be written there, or stays.
    pub(super) async fn settle_disputed(&self, job: &mut Job, outcomes: &mut Outcomes) {
        for (place, shown) in std::mem::take(&mut job.disputed) {
            let follower = self.follower(place);
            // If the ledger cannot be read, the run ends; nothing is decided.
            let Ok(late) = self.journal.ledger.late_at(&self.dataset, &job.key).await else {
                outcomes.push((place, Outcome::Interrupted));
                continue;
            };
            match self.settled(follower, &job.key, shown, late, job.last_chance).await {
                Ok(Settled::Ends(outcome)) => outcomes.push((place, outcome)),
                Ok(Settled::Wants(want)) => job.wants.push((place, want)),
                Err(error) => outcomes.push((place, self.outcome(follower, job.last_chance, Err(error)))),
            }
        }
    }

    /// What an old lead shows of a record that has other properties there than at the lead, under a version that was
    /// held: tags change no version, so somebody may have set them. `None` if it may be written.
    pub(crate) async fn foreign_properties(
        &self,
        follower: &Follower,
        key: &Key,
        lead: &Head,
        late: Option<Late>,
    ) -> Result<Option<Token>, StoreError> {
        let scope = Scope::new(&self.source.capabilities(), &follower.store.capabilities(), follower.waived);
        let here = survive::look(&*follower.store, key, scope.has_tags()).await?;
        let Some(here) = here.filter(|here| scope.differs(lead, here).is_some()) else { return Ok(None) };
        let seen = late.filter(|late| !late.is_open).and_then(|late| late.shown);
        Ok((!seen.is_some_and(|seen| seen.agrees_with(&here.token))).then_some(here.token))
    }

    async fn settled(
        &self,
        follower: &Follower,
        key: &Key,
        shown: Option<Token>,
        late: Option<Late>,
        last_chance: bool,
    ) -> Result<Settled, StoreError> {
        let is_as_seen = |late: &Late| match (&late.shown, &shown) {
            (Some(seen), Some(shown)) => seen.agrees_with(shown),
            (seen, shown) => seen.is_none() && shown.is_none(),
        };
        let decided = late.as_ref().is_some_and(|late| !late.is_open && is_as_seen(late));
        match (shown, decided) {
            (None, true) => return Ok(Settled::Wants(Want::Create)),
            (Some(shown), true) => return Ok(Settled::Wants(Want::Replace(shown))),
            (None, false) => return Ok(Settled::Ends(Outcome::Late(None))),
            (Some(_), false) => {}
        }
        let scope = Scope::new(&self.source.capabilities(), &follower.store.capabilities(), follower.waived);
        let lead = match self.look_at_source(key).await {
            Ok(Some(lead)) => lead,
            Ok(None) => return Ok(Settled::Ends(Outcome::Gone)),
            // The follower has not failed; its record is looked at again.
            Err(_) if !last_chance => return Ok(Settled::Ends(Outcome::Deferred)),
            Err(error) => return Ok(Settled::Ends(Outcome::Failed(Failed::by(&error, "")))),
        };
        let Some(head) = survive::look(&*follower.store, key, scope.has_tags()).await? else {
            return Ok(Settled::Ends(Outcome::Late(None)));
        };
        if compare(&lead, &head, scope) != Verdict::Equal {
            return Ok(Settled::Ends(Outcome::Late(Some(head.token))));
        }
        let (lead, waived) = (lead.token, follower.waived);
        let pair = Pair { lead, follower: head.token, evidence: None, waived, written: false };
        Ok(Settled::Ends(Outcome::Same(pair)))
    }
}
