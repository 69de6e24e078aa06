//! What a verification did not compare, and why; every proof tells it.

use crate::verify::{found::Found, sides::Sides, verifier::Verifier};
use migrate_core::{model::Aspects, plan::Level, report::count};
use migrate_store::survive;

impl Sides {
    /// The properties that are not compared at a follower, each with its reason: those that the plan waives there,
    /// that the lead cannot hold, and that the follower of a moved lead cannot hold.
    fn not_compared(&self, place: usize) -> impl Iterator<Item = (Aspects, &'static str)> {
        let follower = survive::held(&self.followers[place].capabilities());
        let waived = self.waived[place];
        let rest = Aspects::ALL.without(waived);
        let lead = rest.without(survive::held(&self.lead.capabilities()));
        [
            (waived.both(follower), "waived by the plan"),
            (waived.without(follower), "waived by the plan, and this target cannot hold them"),
            (lead, "the lead cannot hold them"),
            (self.cannot[place].without(waived).without(lead), "this follower cannot hold them"),
        ]
        .into_iter()
        .filter(|(kinds, _)| !kinds.is_empty())
    }
}

impl Verifier {
    /// What was not compared at one follower, as texts for people.
    pub(crate) fn blind_spots(&self, place: usize, found: &Found) -> Vec<String> {
        let mut spots = Vec::new();
        let (lead, follower) = (self.sides.lead.capabilities(), self.sides.followers[place].capabilities());
        let have_properties = lead.properties && follower.properties;
        if self.level == Level::Listing {
            spots.push("properties that change without a new version showing in the listing (tags, ACL)".to_owned());
            if have_properties {
                // Such stores show whole seconds, and of a write no more than the date of its answer: `Token::leaves_open`.
                spots.push(
                    "properties that another writer sets with the same bytes within the second that a version shows, or \
                     within a second of the answer to the copy"
                        .to_owned(),
                );
            }
        }
        if self.level < Level::Bytes && found.counts.decided.versions > 0 {
            let records = count(found.counts.decided.versions, "record was", "records were");
            spots.push(format!(
                "bytes that change without a new version: {records} taken for equal since both sides still show the \
                 recorded versions"
            ));
        }
        if self.level < Level::Bytes && found.counts.decided.digests > 0 {
            let records = count(found.counts.decided.digests, "record was", "records were");
            spots.push(format!(
                "damage below a stored digest: {records} taken for equal by what both sides say that they hold"
            ));
        }
        for (kinds, why) in self.sides.not_compared(place) {
            let kinds = if kinds == Aspects::ALL { "all properties".to_owned() } else { kinds.to_string() };
            spots.push(format!("{kinds}: {why}"));
        }
        if have_properties {
            spots.push("ACLs and encryption at rest: nothing looks at them yet".to_owned());
        }
        spots
    }
}
