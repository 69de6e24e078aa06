//! The requests about a table as a whole.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType as KeyRole, LocalSecondaryIndex,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, Projection as SdkProjection, ProjectionType,
    ProvisionedThroughput, ScalarAttributeType, SseSpecification, SseType, StreamSpecification, StreamViewType,
    TableClass as SdkTableClass, Tag, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::{
    connect::Sdk,
    described::described,
    failure::{garbled, told},
};
use crate::failed::Failed;
use migrate_core::table::{
    Billing, Encryption, Index, KeyType, Projection, StreamView, Structure, TableClass, Throughput,
};
use migrate_store::table::Described;

/// A complete part of a request: the SDK's builders ask for nothing that is not set here.
const COMPLETE: &str = "all that it needs is set";

impl Sdk {
    /// The table, without what other requests tell, and its ARN.
    pub(in crate::dynamodb) async fn describe(&self) -> Result<(Described, Option<String>), Failed> {
        let request = self.client.tables.describe_table().table_name(&self.table);
        let output = request.send().await.map_err(told)?;
        let mut table = output.table.ok_or_else(|| garbled("an answer comes without the table that it describes"))?;
        let arn = table.table_arn.take();
        Ok((described(table)?, arn))
    }

    /// The attribute by which items expire, if they do.
    pub(in crate::dynamodb) async fn ttl(&self) -> Result<Option<String>, Failed> {
        let request = self.client.tables.describe_time_to_live().table_name(&self.table);
        let output = request.send().await.map_err(told)?;
        let ttl = output.time_to_live_description.ok_or_else(|| garbled("an answer comes without the TTL"))?;
        let on = matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
        Ok(ttl.attribute_name.filter(|_| on))
    }

    /// Whether the table can be restored to any second.
    pub(in crate::dynamodb) async fn point_in_time_recovery(&self) -> Result<bool, Failed> {
        let request = self.client.tables.describe_continuous_backups().table_name(&self.table);
        let output = request.send().await.map_err(told)?;
        let backups = output.continuous_backups_description;
        let backups = backups.ok_or_else(|| garbled("an answer comes without the continuous backups"))?;
        let status = backups.point_in_time_recovery_description.and_then(|of| of.point_in_time_recovery_status);
        Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
    }

    /// The tags of the table with this ARN.
    pub(in crate::dynamodb) async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, Failed> {
        let (mut found, mut after) = (BTreeMap::new(), None);
        loop {
            let request = self.client.tables.list_tags_of_resource().resource_arn(arn).set_next_token(after.clone());
            let output = request.send().await.map_err(told)?;
            found.extend(output.tags.into_iter().flatten().map(|tag| (tag.key, tag.value)));
            match output.next_token {
                Some(next) if Some(&next) == after.as_ref() => return Err(garbled("a list of tags does not end")),
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Whether the table with this ARN has a resource policy.
    pub(in crate::dynamodb) async fn has_policy(&self, arn: &str) -> Result<bool, Failed> {
        let request = self.client.tables.get_resource_policy().resource_arn(arn);
        match request.send().await.map_err(told) {
            Ok(output) => Ok(output.policy.is_some()),
            Err(Failed::Refused(refused)) if refused.code == "PolicyNotFoundException" => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    /// Begins to make the table, without TTL and point-in-time recovery.
    pub(in crate::dynamodb) async fn create(&self, structure: &Structure) -> Result<(), Failed> {
        let keys = key_schema(&structure.partition_key, structure.sort_key.as_deref());
        let types = structure.key_types.iter().map(|(name, kind)| attribute(name, *kind)).collect();
        let local = structure.local_indexes.iter().map(|(name, index)| local_index(name, index)).collect();
        let global = structure.global_indexes.iter().map(|(name, index)| global_index(name, index)).collect();
        let tag = |(name, value): (&String, &String)| Tag::builder().key(name).value(value).build().expect(COMPLETE);
        let (billing, throughput) = match structure.billing {
            Billing::OnDemand => (BillingMode::PayPerRequest, None),
            Billing::Provisioned(of) => (BillingMode::Provisioned, Some(provisioned(of))),
        };
        let encryption = SseSpecification::builder().enabled(true).sse_type(SseType::Kms);
        let encryption = match &structure.encryption {
            Encryption::Owned => None,
            Encryption::Managed => Some(encryption.build()),
            Encryption::Customer(arn) => Some(encryption.kms_master_key_id(arn).build()),
        };
        let class = matches!(structure.class, TableClass::InfrequentAccess);
        let request = self
            .client
            .tables
            .create_table()
            .table_name(&self.table)
            .set_key_schema(Some(keys))
            .set_attribute_definitions(Some(types))
            .set_local_secondary_indexes(some(local))
            .set_global_secondary_indexes(some(global))
            .billing_mode(billing)
            .set_provisioned_throughput(throughput)
            .set_stream_specification(structure.stream.map(stream))
            .set_tags(some(structure.tags.iter().map(tag).collect()))
            .set_deletion_protection_enabled(structure.deletion_protection.then_some(true))
            .set_sse_specification(encryption)
            .set_table_class(class.then_some(SdkTableClass::StandardInfrequentAccess));
        request.send().await.map(drop).map_err(told)
    }

    /// Begins to delete the table.
    pub(in crate::dynamodb) async fn delete(&self) -> Result<(), Failed> {
        let request = self.client.tables.delete_table().table_name(&self.table);
        request.send().await.map(drop).map_err(told)
    }

    /// Switches the expiry of items by an attribute on or off.
    pub(in crate::dynamodb) async fn set_ttl(&self, attribute: &str, on: bool) -> Result<(), Failed> {
        let ttl = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(on).build().expect(COMPLETE);
        let request = self.client.tables.update_time_to_live().table_name(&self.table);
        request.time_to_live_specification(ttl).send().await.map(drop).map_err(told)
    }

    /// Switches the restoring to any second on.
    pub(in crate::dynamodb) async fn enable_point_in_time_recovery(&self) -> Result<(), Failed> {
        let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let request = self.client.tables.update_continuous_backups().table_name(&self.table);
        let request = request.point_in_time_recovery_specification(on.expect(COMPLETE));
        request.send().await.map(drop).map_err(told)
    }

    /// Begins to enable a stream, or to disable the one there.
    pub(in crate::dynamodb) async fn set_stream(&self, view: Option<StreamView>) -> Result<(), Failed> {
        let off = || StreamSpecification::builder().stream_enabled(false).build().expect(COMPLETE);
        let request = self.client.tables.update_table().table_name(&self.table);
        let request = request.stream_specification(view.map_or_else(off, stream));
        request.send().await.map(drop).map_err(told)
    }
}

/// A list, unless it is empty: servers refuse an empty one.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn key_schema(partition: &str, sort: Option<&str>) -> Vec<KeySchemaElement> {
    let part =
        |name: &str, role| KeySchemaElement::builder().attribute_name(name).key_type(role).build().expect(COMPLETE);
    std::iter::once(part(partition, KeyRole::Hash)).chain(sort.map(|sort| part(sort, KeyRole::Range))).collect()
}

fn attribute(name: &str, kind: KeyType) -> AttributeDefinition {
    let kind = match kind {
        KeyType::Text => ScalarAttributeType::S,
        KeyType::Number => ScalarAttributeType::N,
        KeyType::Binary => ScalarAttributeType::B,
    };
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect(COMPLETE)
}

fn local_index(name: &str, index: &Index) -> LocalSecondaryIndex {
    LocalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(key_schema(&index.partition_key, index.sort_key.as_deref())))
        .projection(projection(&index.projection))
        .build()
        .expect(COMPLETE)
}

fn global_index(name: &str, index: &Index) -> GlobalSecondaryIndex {
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(key_schema(&index.partition_key, index.sort_key.as_deref())))
        .projection(projection(&index.projection))
        .set_provisioned_throughput(index.throughput.map(provisioned))
        .build()
        .expect(COMPLETE)
}

fn projection(of: &Projection) -> SdkProjection {
    let (kind, attributes) = match of {
        Projection::All => (ProjectionType::All, None),
        Projection::Keys => (ProjectionType::KeysOnly, None),
        Projection::Include(attributes) => (ProjectionType::Include, Some(attributes.iter().cloned().collect())),
    };
    SdkProjection::builder().projection_type(kind).set_non_key_attributes(attributes).build()
}

fn provisioned(of: Throughput) -> ProvisionedThroughput {
    let signed = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
    let (read, write) = (signed(of.read), signed(of.write));
    ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write).build().expect(COMPLETE)
}

fn stream(view: StreamView) -> StreamSpecification {
    let view = match view {
        StreamView::Keys => StreamViewType::KeysOnly,
        StreamView::New => StreamViewType::NewImage,
        StreamView::Old => StreamViewType::OldImage,
        StreamView::NewAndOld => StreamViewType::NewAndOldImages,
    };
    StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build().expect(COMPLETE)
}
