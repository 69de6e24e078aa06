//! A table as a whole: described, made, and its items given an expiry.

use super::wire::table::Wire;
use migrate_core::table::{Billing, Encryption, Structure};
use migrate_store::{
    ErrorKind, Result, StoreError,
    table::{Described, TableState},
};

const CREATE: &str = "create";

/// The table with all of its settings. A setting that a server does not know is left out.
pub(super) async fn describe(wire: &Wire) -> Result<Option<Described>> {
    let Some((mut described, arn)) = wire.describe().await? else { return Ok(None) };
    // What is not there yet, or no longer, has no settings to be asked for.
    if matches!(described.state, TableState::Creating | TableState::Deleting) {
        return Ok(Some(described));
    }
    let server = &wire.server;
    let tags = async {
        match &arn {
            Some(arn) => server.tags(arn).await,
            None => Ok(std::collections::BTreeMap::new()),
        }
    };
    let policy = async {
        match &arn {
            Some(arn) => server.has_policy(arn).await,
            None => Ok(false),
        }
    };
    let (ttl, recovery, tags, policy) = tokio::join!(
        Box::pin(wire.read("look at the TTL of", server.ttl())),
        Box::pin(wire.read("look at the backups of", server.point_in_time_recovery())),
        Box::pin(wire.read("look at the tags of", tags)),
        Box::pin(wire.read("look at the policy of", policy)),
    );
    let structure = &mut described.structure;
    structure.ttl = if_known(ttl)?;
    structure.point_in_time_recovery = if_known(recovery)?;
    structure.tags = if_known(tags)?;
    match policy {
        // It is only told, so it stops nobody who may not read it.
        Err(error) if error.kind() == ErrorKind::Denied => {
            structure.reported.insert("a resource policy, if there is one: it cannot be read".to_owned());
        }
        policy => {
            if if_known(policy)? {
                structure.reported.insert("a resource policy".to_owned());
            }
        }
    }
    Ok(Some(described))
}

/// Nothing, if the server does not know the operation.
fn if_known<T: Default>(answer: Result<T>) -> Result<T> {
    match answer {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(T::default()),
        answer => answer,
    }
}

/// Makes the table, and waits until it and its indexes can be used. Returns what is not there then, although it was
/// asked for: servers pass over what they do not know.
pub(super) async fn create(wire: &Wire, structure: &Structure) -> Result<Vec<&'static str>> {
    wire.change(CREATE, wire.server.create(structure)).await?;
    active(wire).await?;
    if structure.point_in_time_recovery {
        if_known(wire.change("enable the backups of", wire.server.enable_point_in_time_recovery()).await)
            .map_err(StoreError::with_unknown_outcome)?;
    }
    let made = describe(wire).await?.ok_or_else(|| wire.missing(CREATE))?.structure;
    if (&made.partition_key, &made.sort_key) != (&structure.partition_key, &structure.sort_key) {
        let detail = "the table has another key than it was made with";
        return Err(wire.writes(CREATE).error(ErrorKind::Other, detail));
    }
    Ok(lacking(structure, &made))
}

/// Waits until the table and its indexes can be used.
pub(super) async fn active(wire: &Wire) -> Result<()> {
    let look = || async {
        // A description may be a moment behind, and not know the table yet.
        Ok(wire.describe().await?.filter(|(now, _)| now.state == TableState::Active).map(drop))
    };
    wire.until(CREATE, look).await
}

/// Deletes the table, and waits until it is gone. A missing one is no error.
pub(super) async fn remove(wire: &Wire) -> Result<()> {
    const DELETE: &str = "delete";
    let look = || async {
        match wire.change(DELETE, wire.server.delete()).await {
            Err(error) if error.kind() == ErrorKind::NoContainer => Ok(Some(())),
            // It is being made, changed or deleted.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(wire.describe().await?.is_none().then_some(())),
        }
    };
    wire.until(DELETE, look).await
}

/// What was asked for and is not there, by the names that a plan waives. TTL is never asked for.
fn lacking(asked: &Structure, made: &Structure) -> Vec<&'static str> {
    let indexes = |asked: &std::collections::BTreeMap<String, _>, made: &std::collections::BTreeMap<String, _>| {
        asked.keys().any(|name| !made.contains_key(name))
    };
    let on_demand = |of: &Structure| of.billing == Billing::OnDemand;
    [
        ("local-indexes", indexes(&asked.local_indexes, &made.local_indexes)),
        ("global-indexes", indexes(&asked.global_indexes, &made.global_indexes)),
        ("billing", on_demand(asked) != on_demand(made)),
        ("stream", asked.stream.is_some() && made.stream != asked.stream),
        ("tags", asked.tags.iter().any(|(name, value)| made.tags.get(name) != Some(value))),
        ("point-in-time-recovery", asked.point_in_time_recovery && !made.point_in_time_recovery),
        ("deletion-protection", asked.deletion_protection && !made.deletion_protection),
        // Which key it is cannot be told: a customer's may be named in several ways.
        ("encryption", asked.encryption != Encryption::Owned && made.encryption == Encryption::Owned),
        ("table-class", made.class != asked.class),
    ]
    .into_iter()
    .filter_map(|(name, lacks)| lacks.then_some(name))
    .collect()
}

/// Sets the attribute by which items expire, or none. A setting that is there already is not sent again: `DynamoDB`
/// refuses it, and takes one change in an hour.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html>
pub(super) async fn set_ttl(wire: &Wire, attribute: Option<&str>) -> Result<()> {
    const SET: &str = "set the TTL of";
    let now = wire.read("look at the TTL of", wire.server.ttl()).await?;
    match (now.as_deref(), attribute) {
        (now, asked) if now == asked => Ok(()),
        (Some(now), None) => wire.change(SET, wire.server.set_ttl(now, false)).await,
        (Some(now), Some(asked)) => {
            wire.change(SET, wire.server.set_ttl(now, false)).await?;
            wire.change(SET, wire.server.set_ttl(asked, true)).await.map_err(StoreError::with_unknown_outcome)
        }
        (None, asked) => match asked {
            Some(asked) => wire.change(SET, wire.server.set_ttl(asked, true)).await,
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use migrate_core::table::{KeyType, StreamView, TableClass};

    use super::*;

    #[test]
    fn what_a_server_passes_over_is_told() {
        let plain = Structure::plain(("id", KeyType::Text), None);
        let full = Structure {
            stream: Some(StreamView::Keys),
            tags: [("a".to_owned(), "b".to_owned())].into(),
            point_in_time_recovery: true,
            deletion_protection: true,
            encryption: Encryption::Managed,
            class: TableClass::InfrequentAccess,
            ttl: Some("expires".to_owned()),
            ..plain.clone()
        };
        assert!(lacking(&plain, &plain).is_empty() && lacking(&full, &full).is_empty());
        assert!(lacking(&plain, &full).contains(&"table-class"));
        let names = ["stream", "tags", "point-in-time-recovery", "deletion-protection", "encryption", "table-class"];
        assert_eq!(lacking(&full, &plain), names);
    }
}
