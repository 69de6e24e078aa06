//! One record that came late: whether both leads hold the same of it by now.

use crate::verify::{
    look::{Answer, Look},
    verifier::Verifier,
};
use migrate_core::model::{Key, TargetIndex};
use migrate_store::{StoreError, is_listed};

/// The old lead among the followers of the one that the lead has moved to: see [`Star`](crate::verify::star::Star).
pub(crate) const OLD_LEAD: TargetIndex = TargetIndex(0);

impl Verifier {
    /// Whether the lead and a follower hold equal records of a key, or neither holds one. What was recorded
    /// of it decides nothing.
    pub(crate) async fn are_equal(&self, target: TargetIndex, key: &Key) -> Result<bool, StoreError> {
        let (lead, follower) = (&self.star.lead, &self.star.followers[target.get()]);
        let (ours, theirs) = futures::join!(lead.head(key), follower.head(key));
        match (ours?, theirs?) {
            (Some(ours), Some(theirs)) => {
                let (source, shown) = (ours.token, theirs.token);
                let look = Look { target, key: key.clone(), source, shown, pair: None, as_listed: false };
                Ok(matches!(self.look(look).await.answer?, Answer::Equal(_)))
            }
            // That something is not there is believed only from a listing.
            (None, None) => Ok(!is_listed(&**lead, key).await? && !is_listed(&**follower, key).await?),
            _ => Ok(false),
        }
    }
}
