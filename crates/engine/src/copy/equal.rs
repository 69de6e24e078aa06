//! Looks whether a target holds a record already, before anything is read or written.

use crate::{
    compare::{Verdict, compare},
    copy::copier::{Copier, Follower, Job, Outcome, Outcomes, Want},
};
use migrate_core::model::{Key, Token};
use migrate_ledger::Pair;
use migrate_store::{
    Head,
    survive::{self, Scope},
};

impl Copier {
    /// Looks at a record at targets that have it without a pair, or with a pair that waived properties that must now
    /// be there: where it is equal, it is done; elsewhere it is to be replaced.
    pub(super) async fn settle_equal(&self, job: &mut Job, outcomes: &mut Outcomes) {
        if !job.wants.iter().any(|(_, want)| matches!(want, Want::Look(_) | Want::Review(_))) {
            return;
        }
        // If this look fails, the read that follows tells the error.
        let Ok(Some(source)) = self.look_at_source(&job.key).await else { return };
        job.source = source.token.clone();
        let mut wants = Vec::new();
        for (target, want) in std::mem::take(&mut job.wants) {
            let follower = self.follower(target);
            let settled = match want {
                Want::Look(shown) => self.compared(follower, &job.key, &source, shown, None).await,
                Want::Review(pair) => {
                    let held = pair.follower.clone();
                    match self.compared(follower, &job.key, &source, held.clone(), Some(pair)).await {
                        // Another writer came between the listing and this look.
                        Err(Want::Look(shown) | Want::Replace(shown))
                            if follower.has_led && !held.agrees_with(&shown) =>
                        {
                            outcomes.push((target, Outcome::Late(Some(shown))));
                            continue;
                        }
                        settled => settled,
                    }
                }
                want => Err(want),
            };
            match settled {
                Ok(pair) => outcomes.push((target, Outcome::Same(pair))),
                Err(want) => wants.push((target, want)),
            }
        }
        job.wants = wants;
    }

    /// The pair, if the record is equal at a target, or else what is wanted there. Paired versions hold the same bytes.
    async fn compared(
        &self,
        follower: &Follower,
        key: &Key,
        source: &Head,
        shown: Token,
        pair: Option<Pair>,
    ) -> Result<Pair, Want> {
        let scope = Scope::new(&self.source.capabilities(), &follower.store.capabilities(), follower.waived);
        let head = match survive::look(&*follower.store, key, scope.has_tags()).await {
            Ok(Some(head)) => head,
            Ok(None) => return Err(Want::Create),
            Err(_) => return Err(Want::Replace(shown)),
        };
        let pair = pair.filter(|pair| pair.lead.agrees_with(&source.token) && pair.follower.agrees_with(&head.token));
        let equal = match pair {
            Some(_) => scope.differs(source, &head).is_none(),
            None => compare(source, &head, scope) == Verdict::Equal,
        };
        if !equal {
            return Err(if pair.is_some() { Want::Replace(head.token) } else { Want::Look(head.token) });
        }
        let written = pair.as_ref().is_some_and(|pair| pair.written);
        let evidence = pair.and_then(|pair| pair.evidence);
        let (lead, waived) = (source.token.clone(), follower.waived);
        Ok(Pair { lead, follower: head.token, evidence, waived, written })
    }
}
