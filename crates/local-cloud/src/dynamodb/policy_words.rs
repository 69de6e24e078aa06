//! What the policy of a table or stream may name.

use crate::policy::{Words, matches_action};

/// The actions that a policy may name.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_dynamodb.html>
const ACTIONS: [&str; 30] = [
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:CreateTable",
    "dynamodb:DeleteItem",
    "dynamodb:DeleteResourcePolicy",
    "dynamodb:DeleteTable",
    "dynamodb:DescribeContinuousBackups",
    "dynamodb:DescribeStream",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:GetRecords",
    "dynamodb:GetResourcePolicy",
    "dynamodb:GetShardIterator",
    "dynamodb:ListTagsOfResource",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLSelect",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:PutResourcePolicy",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:TagResource",
    "dynamodb:UntagResource",
    "dynamodb:UpdateContinuousBackups",
    "dynamodb:UpdateItem",
    "dynamodb:UpdateTable",
    "dynamodb:UpdateTimeToLive",
];

/// The words of the policy of the table or stream with this ARN.
pub(super) struct ArnWords<'a>(pub(super) &'a str);

impl Words for ArnWords<'_> {
    /// A policy speaks of what it is put on, and of its indexes. `*` stands for that, too.
    fn resource(&self, resource: &str) -> Result<(), String> {
        let inside = resource.strip_prefix(self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with("/index/"));
        if inside || resource == "*" { Ok(()) } else { Err(format!("Policy has invalid resource: {resource}")) }
    }

    fn actions(&self, actions: &[String], _resources: &[String]) -> Result<(), String> {
        let is_unknown = |action: &&String| !ACTIONS.iter().any(|known| matches_action(action, known));
        match actions.iter().find(is_unknown) {
            Some(unknown) => Err(format!("Policy has invalid action: {unknown}")),
            None => Ok(()),
        }
    }
}
