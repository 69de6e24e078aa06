//! A record that changes while it is copied: its new version may belong to other places.

use crate::{
    copy::copier::{Copier, Job, Outcome, Outcomes},
    failed::Failed,
    routed::Goes,
};
use migrate_core::model::Token;

impl Copier {
    /// Goes on with the version that the source shows now, only at the places to which it belongs. What is wanted at
    /// others, or cannot be told, is left for another look.
    pub(super) async fn follow(&self, job: &mut Job, now: Token, outcomes: &mut Outcomes) {
        let is_same = job.source.agrees_with(&now);
        job.source = now;
        if is_same || self.router.follows_key() || job.wants.is_empty() {
            return;
        }
        let looked = self.router.look(&job.key).await;
        let goes = match looked {
            Ok(Some((token, goes))) if token.agrees_with(&job.source) => goes,
            // It changes again. The look that the leftovers take tells a lasting error.
            Ok(_) | Err(_) => Goes::Vanished,
        };
        for (target, want) in std::mem::take(&mut job.wants) {
            match &goes {
                Goes::To(to) if to.holds(target) => job.wants.push((target, want)),
                Goes::Unknown(failed) => outcomes.push((target, Outcome::Failed(failed.clone()))),
                Goes::To(_) | Goes::Vanished if job.last_chance => {
                    let reason = "it changed while it was copied, and may belong elsewhere now".to_owned();
                    outcomes.push((target, Outcome::Failed(Failed::changed(reason))));
                }
                Goes::To(_) | Goes::Vanished => outcomes.push((target, Outcome::Deferred)),
            }
        }
    }
}
