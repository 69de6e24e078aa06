//! The rules of a dataset that a saved plan and an approval bind: if one changes, a person decides anew.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use migrate_core::plan::Dataset;

/// The rules beside the meaning about what a run writes, deletes or waives. Settings that only decide how fast,
/// how thoroughly or when (limits, waits, hooks, `verify`, sizes of parts, credentials) are left out.
pub(crate) fn rules_of(dataset: &Dataset) -> BTreeMap<String, Value> {
    let mut rules: BTreeMap<String, Value> = [
        ("class", json!(dataset.class)),
        ("part_of", json!(dataset.part_of)),
        ("extra", json!(dataset.extra)),
        ("waive", json!(dataset.waive)),
        ("delete_share_permille", json!(dataset.delete_share_permille)),
        ("accept_empty", json!(dataset.accept_empty)),
        ("retire", json!(dataset.retire)),
        ("live", json!(dataset.live)),
        ("follow_back", json!(dataset.follow_back)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for target in &dataset.targets {
        for (name, value) in [("kms_key", &target.kms_key), ("storage_class", &target.storage_class)] {
            if let Some(value) = value {
                rules.insert(format!("{name} at {}", target.at), value.as_str().into());
            }
        }
        if !target.waive.is_empty() {
            rules.insert(format!("waive at {}", target.at), json!(target.waive));
        }
    }
    rules
}
