//! One late write: whether both leads hold the record alike by now.

use crate::verify::{
    look::{Answer, Look},
    verifier::Verifier,
};
use migrate_core::model::{Key, TargetIndex};
use migrate_store::{StoreError, is_listed};

/// The old lead among the followers of a moved lead: see [`Star`](crate::verify::star::Star).
pub(crate) const OLD_LEAD: TargetIndex = TargetIndex(0);

impl Verifier {
    /// Whether the lead and a follower hold equal records under a key, or neither holds one. The ledger's
    /// pair does not count.
    pub(crate) async fn are_equal(&self, target: TargetIndex, key: &Key) -> Result<bool, StoreError> {
        let (lead, follower) = (&self.star.lead, &self.star.followers[target.get()]);
        let (ours, theirs) = futures::join!(lead.head(key), follower.head(key));
        match (ours?, theirs?) {
            (Some(ours), Some(theirs)) => {
                let (source, shown) = (ours.token, theirs.token);
                let look = Look { target, key: key.clone(), source, shown, pair: None, as_listed: false };
                Ok(matches!(self.look(look).await.answer?, Answer::Equal(_)))
            }
            // Only a listing proves that a record is missing.
            (None, None) => Ok(!is_listed(&**lead, key).await? && !is_listed(&**follower, key).await?),
            _ => Ok(false),
        }
    }
}
