//! One late write: whether both leads hold the record alike by now.

use crate::verify::{
    look::{Answer, Look},
    verifier::Verifier,
};
use migrate_core::model::{Key, PlaceIndex};
use migrate_store::{StoreError, is_listed};

impl Verifier {
    /// Whether the lead and another place hold equal records under a key, or neither holds one. What the ledger knows
    /// does not count.
    pub(crate) async fn are_equal(&self, place: PlaceIndex, key: &Key) -> Result<bool, StoreError> {
        let position = self.sides.star.position(place);
        let (lead, follower) = (&self.sides.lead, &self.sides.followers[position]);
        let (ours, theirs) = futures::join!(lead.head(key), follower.head(key));
        match (ours?, theirs?) {
            (Some(ours), Some(theirs)) => {
                let (source, shown) = (ours.token, theirs.token);
                let look = Look { follower: position, key: key.clone(), source, shown, held: None, as_listed: false };
                Ok(matches!(self.look(look).await.answer?, Answer::Equal(_)))
            }
            // Only a listing proves that a record is missing.
            (None, None) => Ok(!is_listed(&**lead, key).await? && !is_listed(&**follower, key).await?),
            _ => Ok(false),
        }
    }
}
