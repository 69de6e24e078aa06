//! Whether a verification that an earlier process left goes on.

use serde_json::{Value, json};

use crate::verify::verifier::Verifier;
use migrate_core::{
    model::{KeyRange, ShardId, Timestamp},
    shard::{self, Cursor},
};
use migrate_ledger::{PartFound, ShardRow, VerificationRow, VerifiedShard};

/// Where a verification begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) shards: Vec<VerifiedShard>,
    /// What an earlier process has found up to their cursors.
    pub(crate) found: Vec<PartFound>,
    /// When the verification that goes on began; `None` if this one begins anew.
    pub(crate) since: Option<Timestamp>,
    /// Why one that was under way does not go on.
    pub(crate) anew: Option<String>,
}

/// What a verification means: another process goes on with it only if all of this is the same.
///
/// `known` is the id of the ledger whose pairs are evidence, and how often the dataset was changed by it so far.
pub(crate) fn binds(verifier: &Verifier, meaning: &str, known: Option<(String, u64)>) -> Value {
    let star = &verifier.sides;
    let (ledger, changes) = known.unzip();
    json!({
        "meaning": meaning,
        "level": verifier.level.as_str(),
        "build": env!("CARGO_PKG_VERSION"),
        "ledger": ledger,
        "changes": changes,
        "lead": star.lead.location(),
        "followers": star.followers.iter().map(|follower| follower.location()).collect::<Vec<_>>(),
        "waive": star.waived.iter().map(|waived| waived.bits()).collect::<Vec<_>>(),
        "extra": format!("{:?}", verifier.extra),
        "policies": verifier.inputs.router.policies(),
    })
}

/// Names for people of what a verification is bound to.
const BOUND: [(&str, &str); 10] = [
    ("meaning", "what the dataset means has changed"),
    ("level", "it was by another level"),
    ("lead", "another site leads now"),
    ("followers", "it compared other followers"),
    ("waive", "the plan waives other properties now"),
    ("extra", "the plan says another `extra` now"),
    ("policies", "the policies for single records have changed"),
    ("build", "another version of migrate began it"),
    ("ledger", "another ledger says what was copied"),
    ("changes", "records were copied or deleted since, or the dataset was cut over or given up"),
];

/// Goes on with a verification under way if it means the same, else begins anew with the shards of the last pass.
pub(crate) fn begin(under_way: Option<VerificationRow>, binds: &Value, last_pass: &[ShardRow]) -> Beginning {
    let anew = match under_way {
        None => None,
        Some(row) => match changed(&row, binds) {
            None => {
                return Beginning { shards: row.shards, found: row.found, since: Some(row.at), anew: None };
            }
            Some(why) => Some(why.to_owned()),
        },
    };
    Beginning { shards: first_cut(last_pass), found: Vec::new(), since: None, anew }
}

/// What has changed since a verification began; `None` if nothing has.
fn changed(row: &VerificationRow, binds: &Value) -> Option<&'static str> {
    const OTHERWISE: &str = "it was bound otherwise";
    if !shard::tile(row.shards.iter().map(|shard| &shard.range)) {
        return Some("its key ranges leave keys out");
    }
    let Ok(then) = serde_json::from_str::<Value>(&row.binds) else { return Some(OTHERWISE) };
    let differs = BOUND.iter().find(|(name, _)| then[name] != binds[name]).map(|(_, why)| *why);
    differs.or((then != *binds).then_some(OTHERWISE))
}

/// The shards of the last pass, which have about the same number of records each; one shard if there was none.
pub(crate) fn first_cut(last_pass: &[ShardRow]) -> Vec<VerifiedShard> {
    let mut ranges: Vec<_> = last_pass.iter().map(|shard| shard.range.clone()).collect();
    if !shard::tile(&ranges) {
        ranges = vec![KeyRange::all()];
    }
    let numbered = (1..).map(ShardId).zip(ranges);
    numbered.map(|(id, range)| VerifiedShard { id, range, cursor: Cursor::Start }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Value {
        json!({ "meaning": "{}", "level": "listing", "lead": "a", "followers": ["b"], "waive": [0],
                "extra": "Keep", "policies": [], "build": "0", "ledger": "id", "changes": 1 })
    }

    fn under_way() -> VerificationRow {
        let shard = |id, after: Option<&str>, until: Option<&str>, cursor| VerifiedShard {
            id: ShardId(id),
            range: KeyRange { after: after.map(Into::into), until: until.map(Into::into) },
            cursor,
        };
        VerificationRow {
            binds: bound().to_string(),
            at: Timestamp(7),
            shards: vec![shard(1, None, Some("m"), Cursor::End), shard(2, Some("m"), None, Cursor::At("p".into()))],
            found: vec![PartFound::default()],
        }
    }

    #[test]
    fn a_verification_goes_on_only_if_all_that_it_means_is_the_same() {
        let goes_on = begin(Some(under_way()), &bound(), &[]);
        assert_eq!((goes_on.since, goes_on.anew, goes_on.shards.len()), (Some(Timestamp(7)), None, 2));
        for (name, why) in BOUND {
            let mut other = bound();
            other[name] = json!("another");
            let anew = begin(Some(under_way()), &other, &[]);
            assert_eq!((anew.since, anew.anew.as_deref()), (None, Some(why)), "{name}");
            assert_eq!(anew.shards, first_cut(&[]));
            assert!(anew.found.is_empty(), "what was found then does not count");
        }
        let mut gap = under_way();
        gap.shards.pop();
        assert_eq!(begin(Some(gap), &bound(), &[]).anew.as_deref(), Some("its key ranges leave keys out"));
        let unreadable = VerificationRow { binds: "?".into(), ..under_way() };
        assert_eq!(begin(Some(unreadable), &bound(), &[]).anew.as_deref(), Some("it was bound otherwise"));
        assert_eq!(begin(None, &bound(), &[]).anew, None);
    }

    #[test]
    fn the_first_cut_is_that_of_the_last_pass() {
        let row = |id, after: Option<&str>, until: Option<&str>| ShardRow {
            id: ShardId(id),
            range: KeyRange { after: after.map(Into::into), until: until.map(Into::into) },
            places: Vec::new(),
        };
        let cut = first_cut(&[row(8, None, Some("m")), row(9, Some("m"), None)]);
        assert_eq!(cut.iter().map(|shard| shard.range.until.is_some()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(first_cut(&[row(8, None, Some("m"))]).len(), 1, "a pass that leaves keys out is no cut");
    }
}
