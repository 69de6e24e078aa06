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

/// The places, by their numbers, that are asked one after the other: those at one server, whoever signs there. What one
/// probe asks must not be what another one's answers come from.
pub(crate) fn by_server<'a>(places: impl IntoIterator<Item = (usize, &'a EndpointId)>) -> Vec<Vec<usize>> {
    let is_one = |one: &EndpointId, other: &EndpointId| match (one, other) {
        (EndpointId::Server { at: one, .. }, EndpointId::Server { at: other, .. }) => one == other,
        (one, other) => one == other,
    };
    let mut servers: Vec<(&EndpointId, Vec<usize>)> = Vec::new();
    for (place, endpoint) in places {
        match servers.iter_mut().find(|(server, _)| is_one(server, endpoint)) {
            Some((_, places)) => places.push(place),
            None => servers.push((endpoint, vec![place])),
        }
    }
    servers.into_iter().map(|(_, places)| places).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_store::Identity;

    #[test]
    fn places_at_one_server_are_asked_one_after_the_other() {
        let server = |at: &str, key| EndpointId::Server { at: at.into(), identity: Identity::of("keys", [key]) };
        let (a, b, a_too) = (server("a", "one"), server("b", "one"), server("a", "two"));
        let places = [(1, &a), (2, &b), (4, &a_too), (5, &EndpointId::Files), (7, &EndpointId::Files)];
        assert_eq!(by_server(places), [vec![1, 4], vec![2], vec![5, 7]]);
    }
}
