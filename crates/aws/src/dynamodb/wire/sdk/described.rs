//! What a description of a table says, in our words, and the other way round.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{
    BillingMode, IndexStatus, KeySchemaElement, KeyType as KeyRole, Projection as SdkProjection, ProjectionType,
    ProvisionedThroughputDescription, ScalarAttributeType, SseStatus, StreamViewType, TableClass as SdkTableClass,
    TableDescription, TableStatus,
};

use super::failure::{garbled, unheld};
use crate::failed::Failed;
use migrate_core::table::{
    Billing, Encryption, Index, KeyType, Projection, REPLICAS, StreamView, Structure, TableClass, Throughput,
};
use migrate_store::table::{Described, TableState};

/// A description, without what other requests tell: TTL, tags, point-in-time recovery, the resource policy.
pub(super) fn described(table: TableDescription) -> Result<Described, Failed> {
    let state = state(&table)?;
    let (partition_key, sort_key) = match keys(table.key_schema())? {
        Keys::Simple(partition, sort) => (partition, sort),
        Keys::Several => return Err(unheld("the key of the table has several attributes of one role")),
    };
    let mut reported = BTreeSet::new();
    if table.vector_indexes.as_ref().is_some_and(|all| !all.is_empty()) {
        reported.insert("vector indexes".to_owned());
    }
    if table.replicas.as_ref().is_some_and(|all| !all.is_empty()) {
        reported.insert(REPLICAS.to_owned());
    }
    let billing = billing(&table);
    let global_indexes = global_indexes(&table, billing, &mut reported)?;
    let local_indexes = local_indexes(&table)?;
    let stream = table.stream_specification.as_ref().filter(|of| of.stream_enabled);
    let key_types =
        table.attribute_definitions().iter().map(|of| Ok((of.attribute_name.clone(), kind(&of.attribute_type)?)));
    let structure = Structure {
        partition_key,
        sort_key,
        key_types: key_types.collect::<Result<_, Failed>>()?,
        local_indexes,
        global_indexes,
        billing,
        stream: stream.map(|of| view(of.stream_view_type.as_ref())).transpose()?,
        ttl: None,
        tags: BTreeMap::new(),
        point_in_time_recovery: false,
        deletion_protection: table.deletion_protection_enabled.unwrap_or(false),
        encryption: encryption(&table),
        class: match table.table_class_summary.as_ref().and_then(|of| of.table_class.as_ref()) {
            Some(SdkTableClass::StandardInfrequentAccess) => TableClass::InfrequentAccess,
            _ => TableClass::Standard,
        },
        reported,
    };
    let unsigned = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
    Ok(Described {
        arn: table.table_arn.clone(),
        state,
        items: unsigned(table.item_count),
        bytes: unsigned(table.table_size_bytes),
        stream: stream.and(table.latest_stream_arn),
        structure,
    })
}

fn state(table: &TableDescription) -> Result<TableState, Failed> {
    let indexes = table.global_secondary_indexes();
    Ok(match table.table_status.as_ref() {
        None => return Err(garbled("a description of a table does not say what is done with it")),
        Some(TableStatus::Active) => {
            let waits = |status: &Option<IndexStatus>| status.as_ref().is_some_and(|of| *of != IndexStatus::Active);
            let updating = indexes.iter().any(|index| waits(&index.index_status));
            if updating { TableState::Updating } else { TableState::Active }
        }
        Some(TableStatus::Creating) => TableState::Creating,
        Some(TableStatus::Deleting) => TableState::Deleting,
        Some(TableStatus::InaccessibleEncryptionCredentials | TableStatus::Archiving | TableStatus::Archived) => {
            TableState::Inaccessible
        }
        // `UPDATING`, and what is not known here: it is no state in which a table rests.
        Some(_) => TableState::Updating,
    })
}

/// The key of a table or index.
enum Keys {
    /// One partition key, at most one sort key.
    Simple(String, Option<String>),
    /// Global indexes can have several of each.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.DesignPattern.MultiAttributeKeys.html>
    Several,
}

fn keys(schema: &[KeySchemaElement]) -> Result<Keys, Failed> {
    let of = |role: KeyRole| schema.iter().filter(move |of| of.key_type == role).map(|of| of.attribute_name.clone());
    let (partition, sort): (Vec<_>, Vec<_>) = (of(KeyRole::Hash).collect(), of(KeyRole::Range).collect());
    match (&partition[..], &sort[..]) {
        ([partition], []) => Ok(Keys::Simple(partition.clone(), None)),
        ([partition], [sort]) => Ok(Keys::Simple(partition.clone(), Some(sort.clone()))),
        ([], _) => Err(garbled("a description of a table comes without its key")),
        _ => Ok(Keys::Several),
    }
}

fn billing(table: &TableDescription) -> Billing {
    let on_demand = table.billing_mode_summary.as_ref().and_then(|of| of.billing_mode.as_ref());
    // The summary is absent for a table that has never been on demand.
    // <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BillingModeSummary.html>
    match (on_demand, throughput(table.provisioned_throughput.as_ref())) {
        (Some(BillingMode::PayPerRequest), _) | (_, None) => Billing::OnDemand,
        (_, Some(throughput)) => Billing::Provisioned(throughput),
    }
}

/// Provisioned capacity; that of a table on demand is shown as zeros.
fn throughput(of: Option<&ProvisionedThroughputDescription>) -> Option<Throughput> {
    let unsigned = |units: Option<i64>| units.and_then(|units| u64::try_from(units).ok()).filter(|units| *units > 0);
    let of = of?;
    Some(Throughput { read: unsigned(of.read_capacity_units)?, write: unsigned(of.write_capacity_units)? })
}

fn global_indexes(
    table: &TableDescription,
    billing: Billing,
    reported: &mut BTreeSet<String>,
) -> Result<BTreeMap<String, Index>, Failed> {
    let mut found = BTreeMap::new();
    for index in table.global_secondary_indexes() {
        let name = index.index_name.clone().ok_or_else(|| garbled("an index comes without its name"))?;
        match keys(index.key_schema())? {
            Keys::Simple(partition_key, sort_key) => {
                let provisioned = matches!(billing, Billing::Provisioned(_));
                let throughput = throughput(index.provisioned_throughput.as_ref()).filter(|_| provisioned);
                let projection = projection(index.projection.as_ref())?;
                found.insert(name, Index { partition_key, sort_key, projection, throughput });
            }
            Keys::Several => {
                reported.insert(format!("the global index {name}, whose key has several attributes of one role"));
            }
        }
    }
    Ok(found)
}

fn local_indexes(table: &TableDescription) -> Result<BTreeMap<String, Index>, Failed> {
    let mut found = BTreeMap::new();
    for index in table.local_secondary_indexes() {
        let name = index.index_name.clone().ok_or_else(|| garbled("an index comes without its name"))?;
        let Keys::Simple(partition_key, sort_key) = keys(index.key_schema())? else {
            return Err(unheld(format!("the key of the local index {name} has several attributes of one role")));
        };
        let projection = projection(index.projection.as_ref())?;
        found.insert(name, Index { partition_key, sort_key, projection, throughput: None });
    }
    Ok(found)
}

fn projection(of: Option<&SdkProjection>) -> Result<Projection, Failed> {
    match of.and_then(|of| Some((of.projection_type.as_ref()?, of))) {
        Some((ProjectionType::All, _)) => Ok(Projection::All),
        Some((ProjectionType::KeysOnly, _)) => Ok(Projection::Keys),
        Some((ProjectionType::Include, of)) => {
            Ok(Projection::Include(of.non_key_attributes().iter().cloned().collect()))
        }
        Some((other, _)) => Err(unheld(format!("an index projects {other}, which is not known here"))),
        None => Err(garbled("an index does not say what it holds")),
    }
}

/// A key of the customer and the one that AWS keeps for the account are both shown by their ARN.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SSEDescription.html>
fn encryption(table: &TableDescription) -> Encryption {
    let described = table.sse_description.as_ref();
    let on = described.filter(|of| !matches!(of.status, None | Some(SseStatus::Disabled | SseStatus::Disabling)));
    match on.map(|of| of.kms_master_key_arn.clone()) {
        None => Encryption::Owned,
        Some(None) => Encryption::Managed,
        Some(Some(arn)) => Encryption::Customer(arn),
    }
}

fn kind(of: &ScalarAttributeType) -> Result<KeyType, Failed> {
    match of {
        ScalarAttributeType::S => Ok(KeyType::Text),
        ScalarAttributeType::N => Ok(KeyType::Number),
        ScalarAttributeType::B => Ok(KeyType::Binary),
        other => Err(unheld(format!("a key attribute has the type {other}, which is not known here"))),
    }
}

fn view(of: Option<&StreamViewType>) -> Result<StreamView, Failed> {
    match of {
        Some(StreamViewType::KeysOnly) => Ok(StreamView::Keys),
        Some(StreamViewType::NewImage) => Ok(StreamView::New),
        Some(StreamViewType::OldImage) => Ok(StreamView::Old),
        Some(StreamViewType::NewAndOldImages) => Ok(StreamView::NewAndOld),
        Some(other) => Err(unheld(format!("the stream shows {other}, which is not known here"))),
        None => Err(garbled("an enabled stream does not say what it shows")),
    }
}
