//! What a request touches: the actions that it needs, each on a table or stream.

use serde_json::Value as Json;

use super::operation::DynamoOperation;

/// The ARN of a table, as the engine names it.
pub(super) fn table_arn(table: &str) -> String {
    // A request may name the table by its ARN.
    if table.starts_with("arn:") { table.to_owned() } else { dynoxide::streams::table_arn(table) }
}

/// The name in the ARN of a table or of something of it.
pub(super) fn table_of(arn: &str) -> &str {
    arn.split('/').nth(1).unwrap_or(arn)
}

/// The actions that a request needs, each with the ARN of the table or stream that it acts on.
pub(super) fn needed(operation: DynamoOperation, request: &Json) -> Vec<(String, String)> {
    let text = |name: &str| request.get(name).and_then(Json::as_str).unwrap_or_default();
    let action = |name: &str| format!("dynamodb:{name}");
    let own = || action(operation.name());
    match operation {
        DynamoOperation::BatchGetItem | DynamoOperation::BatchWriteItem => {
            let tables = request.get("RequestItems").and_then(Json::as_object).into_iter().flatten();
            tables.map(|(table, _)| (own(), table_arn(table))).collect()
        }
        DynamoOperation::TransactGetItems | DynamoOperation::TransactWriteItems => {
            let items = request.get("TransactItems").and_then(Json::as_array).into_iter().flatten();
            let parts = items.filter_map(Json::as_object).flatten();
            let part = |(kind, of): (&String, &Json)| {
                let kind = match &**kind {
                    "ConditionCheck" => "ConditionCheckItem".to_owned(),
                    kind => format!("{kind}Item"),
                };
                (action(&kind), table_arn(of.get("TableName").and_then(Json::as_str).unwrap_or_default()))
            };
            parts.map(part).collect()
        }
        DynamoOperation::DescribeStream | DynamoOperation::GetShardIterator => {
            vec![(own(), text("StreamArn").to_owned())]
        }
        DynamoOperation::ListTagsOfResource
        | DynamoOperation::TagResource
        | DynamoOperation::UntagResource
        | DynamoOperation::GetResourcePolicy
        | DynamoOperation::PutResourcePolicy
        | DynamoOperation::DeleteResourcePolicy => vec![(own(), text("ResourceArn").to_owned())],
        // An iterator says of which stream it is; the lists show names alone.
        DynamoOperation::GetRecords | DynamoOperation::ListStreams | DynamoOperation::ListTables => Vec::new(),
        _ => vec![(own(), table_arn(text("TableName")))],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_table_of_a_request_is_named_with_its_action() {
        let of = |operation, request: Json| {
            let needed = needed(operation, &request).into_iter();
            needed.map(|(action, arn)| format!("{action} {}", table_of(&arn))).collect::<Vec<_>>()
        };
        let one = |operation| of(operation, json!({ "TableName": "one" }));
        assert_eq!(one(DynamoOperation::PutItem), ["dynamodb:PutItem one"]);
        let batch = json!({ "RequestItems": { "one": [], "two": [] } });
        assert_eq!(
            of(DynamoOperation::BatchWriteItem, batch),
            ["dynamodb:BatchWriteItem one", "dynamodb:BatchWriteItem two"]
        );
        let several = json!({ "TransactItems": [
            { "Put": { "TableName": "one" } },
            { "ConditionCheck": { "TableName": "two" } },
        ] });
        assert_eq!(
            of(DynamoOperation::TransactWriteItems, several),
            ["dynamodb:PutItem one", "dynamodb:ConditionCheckItem two"]
        );
        let arn = table_arn("one");
        assert_eq!(of(DynamoOperation::TagResource, json!({ "ResourceArn": arn })), ["dynamodb:TagResource one"]);
        assert_eq!(of(DynamoOperation::Scan, json!({ "TableName": arn })), ["dynamodb:Scan one"]);
    }
}
