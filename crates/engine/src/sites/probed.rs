//! What a probe has found of an endpoint, as the ledger keeps it and as people read it.

use serde::de::DeserializeOwned;

use crate::{clock::now, error::EngineError, meaning::place_of};
use migrate_core::plan::{Location, Plan};
use migrate_ledger::Ledger;
use migrate_store::{Capabilities, EndpointId, Honoured, KeyRules, MetadataForm, Proof, UploadTags};

/// Milliseconds for which the result of a probe counts.
const PROBE_HOLDS_MS: i64 = 24 * 60 * 60 * 1000;

/// The name under which the ledger keeps a probe of a place. It holds the place and the endpoint: another server under
/// the same site name, or another identity at the same server, may do otherwise.
pub(crate) fn probe_name(plan: &Plan, at: &Location, endpoint: &EndpointId) -> String {
    format!("{at} ({}; {})", place_of(plan, at).unwrap_or_default(), endpoint)
}

/// The capabilities in the ledger; `None` if they are old, since servers are upgraded, or if an older
/// build wrote them without a field that this build needs.
pub(crate) async fn known<T: DeserializeOwned>(ledger: &Ledger, name: &str) -> Result<Option<T>, EngineError> {
    let found = ledger.capabilities(name).await?;
    let fresh = found.filter(|(_, at)| now().0 - at.0 < PROBE_HOLDS_MS);
    Ok(fresh.and_then(|(known, _)| serde_json::from_str(&known).ok()))
}

/// What an endpoint lacks, as names for people.
pub(crate) fn lacks(found: &Capabilities) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    let all = |honoured: Honoured| honoured.absent && honoured.matches.is_honoured();
    if !all(found.on_put()) {
        lacks.push("conditional writes");
    }
    if !all(found.on_finish()) {
        lacks.push("conditional writes in parts");
    }
    if !found.delete_if_matches.is_honoured() {
        lacks.push("conditional deletes");
    }
    if !found.keeps_crc64nvme && !matches!(found.proof, Proof::Fsynced) {
        lacks.push("CRC-64/NVME checksums");
    }
    if !found.tags {
        lacks.push("tags");
    }
    if found.tags && found.upload_tags == UploadTags::Lost {
        lacks.push("tags of objects in parts");
    }
    if !found.properties {
        lacks.push("properties");
    }
    if found.properties && found.metadata == MetadataForm::Ascii {
        lacks.push("metadata that is not ASCII");
    }
    if found.keys != KeyRules::ALL {
        lacks.push("some shapes of keys");
    }
    lacks
}
