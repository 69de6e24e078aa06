//! The requests that read and write items.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity,
    WriteRequest,
};

use super::{
    connect::Sdk,
    failure::{garbled, told},
    values::{Attributes, item, key, sent, sent_key, sent_value},
};
use crate::failed::Failed;
use migrate_core::item::{Item, ItemKey, KeyNames};
use migrate_store::table::{ItemWrite, Scanned, Segment};

/// The answer to a get of several keys.
#[derive(Debug)]
pub(in crate::dynamodb) struct Answered {
    /// The items that came.
    pub(in crate::dynamodb) items: Vec<Item>,
    /// Whether the answer speaks of the table at all.
    pub(in crate::dynamodb) names_table: bool,
    /// The keys that were not looked at.
    pub(in crate::dynamodb) left: Vec<ItemKey>,
    pub(in crate::dynamodb) consumed: Option<f64>,
}

/// The answer to several writes.
#[derive(Debug)]
pub(in crate::dynamodb) struct Unwritten {
    /// The keys of the writes that were not carried out.
    pub(in crate::dynamodb) left: Vec<ItemKey>,
    pub(in crate::dynamodb) consumed: Option<f64>,
}

/// What an item of a conditional put must hold.
#[derive(Debug, Default)]
struct Expected {
    terms: Vec<String>,
    names: HashMap<String, String>,
    values: Attributes,
}

impl Sdk {
    /// One page of a segment. Fails if the page does not move on.
    pub(in crate::dynamodb) async fn scan(
        &self,
        names: &KeyNames,
        segment: Segment,
        after: Option<&ItemKey>,
        strong: bool,
    ) -> Result<Scanned, Failed> {
        let mut request = self
            .client
            .tables
            .scan()
            .table_name(&self.table)
            .consistent_read(strong)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(after.map(|key| sent_key(names, key)));
        if segment.of > 1 {
            request = request.segment(signed(segment.index)?).total_segments(signed(segment.of)?);
        }
        let output = request.send().await.map_err(told)?;
        let items = output.items.ok_or_else(|| garbled("a page of a scan comes without items"))?;
        // An empty key is the end, too: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html>
        let last = output.last_evaluated_key.filter(|last| !last.is_empty());
        let next = last.map(|mut last| key(names, &mut last)).transpose()?;
        if next.is_some() && next.as_ref() == after {
            return Err(garbled("a page of a scan ends where it began"));
        }
        Ok(Scanned {
            items: items.into_iter().map(item).collect::<Result<_, _>>()?,
            next,
            consumed: output.consumed_capacity.and_then(|of| of.capacity_units),
        })
    }

    /// The items of these keys, by strong reads.
    pub(in crate::dynamodb) async fn get(&self, names: &KeyNames, keys: &[ItemKey]) -> Result<Answered, Failed> {
        let keys = keys.iter().map(|key| sent_key(names, key)).collect();
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let request = self
            .client
            .tables
            .batch_get_item()
            .request_items(&self.table, keys.expect("keys are complete"))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = request.send().await.map_err(told)?;
        let mut responses = output.responses.ok_or_else(|| garbled("a get comes without answers"))?;
        let items = responses.remove(&self.table);
        if !responses.is_empty() {
            return Err(garbled("a get is answered for another table"));
        }
        let left = output.unprocessed_keys.into_iter().flatten().flat_map(|(_, of)| of.keys);
        Ok(Answered {
            names_table: items.is_some(),
            items: items.into_iter().flatten().map(item).collect::<Result<_, _>>()?,
            left: left.map(|mut of| key(names, &mut of)).collect::<Result<_, _>>()?,
            consumed: total(output.consumed_capacity),
        })
    }

    /// Puts and deletes.
    pub(in crate::dynamodb) async fn write(
        &self,
        names: &KeyNames,
        writes: &[&ItemWrite],
    ) -> Result<Unwritten, Failed> {
        let request = |write: &&ItemWrite| match write {
            ItemWrite::Put(item) => {
                let put = PutRequest::builder().set_item(Some(sent(item))).build().expect("a put is complete");
                WriteRequest::builder().put_request(put).build()
            }
            ItemWrite::Delete(key) => {
                let delete = DeleteRequest::builder().set_key(Some(sent_key(names, key))).build();
                WriteRequest::builder().delete_request(delete.expect("a delete is complete")).build()
            }
        };
        let request = self
            .client
            .tables
            .batch_write_item()
            .request_items(&self.table, writes.iter().map(request).collect())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = request.send().await.map_err(told)?;
        let left = output.unprocessed_items.ok_or_else(|| garbled("a write does not say what is left of it"))?;
        let left = left.into_values().flatten().map(|left| match (left.put_request, left.delete_request) {
            (Some(mut put), None) => key(names, &mut put.item),
            (None, Some(mut delete)) => key(names, &mut delete.key),
            _ => Err(garbled("what is left of a write is neither a put nor a delete")),
        });
        Ok(Unwritten { left: left.collect::<Result<_, _>>()?, consumed: total(output.consumed_capacity) })
    }

    /// Puts an item if no item has its key, or if the item there holds what `expected` holds, and nothing of what
    /// `item` alone holds. No condition can speak of attributes that neither names.
    pub(in crate::dynamodb) async fn put_if(
        &self,
        names: &KeyNames,
        item: &Item,
        expected: Option<&Item>,
    ) -> Result<(), Failed> {
        let expected = Expected::of(names, item, expected);
        let request = self
            .client
            .tables
            .put_item()
            .table_name(&self.table)
            .set_item(Some(sent(item)))
            .condition_expression(expected.terms.join(" AND "))
            .set_expression_attribute_names(Some(expected.names))
            .set_expression_attribute_values(Some(expected.values).filter(|values| !values.is_empty()));
        request.send().await.map(drop).map_err(told)
    }

    /// Puts an item of a numeric key alone, spelled like this.
    pub(in crate::dynamodb) async fn put_number(&self, name: &str, spelled: &str) -> Result<(), Failed> {
        let value = AttributeValue::N(spelled.to_owned());
        let request = self.client.tables.put_item().table_name(&self.table).item(name, value);
        request.send().await.map(drop).map_err(told)
    }
}

impl Expected {
    /// Attributes go by `#0`, because many of their names are reserved words.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html>
    fn of(names: &KeyNames, item: &Item, expected: Option<&Item>) -> Self {
        let mut found = Self::default();
        let Some(expected) = expected else {
            found.absent(&names.partition);
            return found;
        };
        let all: BTreeSet<&String> = expected.keys().chain(item.keys()).collect();
        for name in all {
            match expected.get(name) {
                Some(value) => {
                    let number = found.names.len();
                    found.terms.push(format!("#{number} = :{number}"));
                    found.names.insert(format!("#{number}"), name.clone());
                    found.values.insert(format!(":{number}"), sent_value(value));
                }
                None => found.absent(name),
            }
        }
        found
    }

    fn absent(&mut self, name: &str) {
        let number = self.names.len();
        self.terms.push(format!("attribute_not_exists(#{number})"));
        self.names.insert(format!("#{number}"), name.to_owned());
    }
}

fn total(consumed: Option<Vec<ConsumedCapacity>>) -> Option<f64> {
    consumed?.into_iter().map(|of| of.capacity_units).sum()
}

fn signed(number: u32) -> Result<i32, Failed> {
    i32::try_from(number).map_err(|error| Failed::NotMade(error.into()))
}
