//! The operations that the engine does not have: resource policies, and the settings of backups.

use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

use serde_json::{Value as Json, json};

use super::{access::Access, answers::Answer, operation::DynamoOperation};

/// What the engine does not hold of tables.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The names of the tables that can be restored to any second.
    recovery: RwLock<BTreeSet<String>>,
}

impl Settings {
    /// Carries an operation out, unless it is one of the engine. The table is there.
    pub(super) fn answer(&self, operation: DynamoOperation, request: &Json, access: &Access) -> Option<Answer> {
        let text = |name: &str| request.get(name).and_then(Json::as_str).unwrap_or_default();
        let arn = text("ResourceArn");
        Some(match operation {
            DynamoOperation::PutResourcePolicy => match access.set_policy(arn, text("Policy")) {
                Ok(()) => Answer::ok(json!({ "RevisionId": "1" }).to_string()),
                Err(reason) => Answer::refusal("ValidationException", &reason),
            },
            DynamoOperation::GetResourcePolicy => match access.policy(arn) {
                Some(policy) => Answer::ok(json!({ "Policy": policy, "RevisionId": "1" }).to_string()),
                None => Answer::refusal("PolicyNotFoundException", "Resource-based policy not found"),
            },
            DynamoOperation::DeleteResourcePolicy => {
                access.remove_policy(arn);
                Answer::ok("{}")
            }
            DynamoOperation::DescribeContinuousBackups => self.backups(text("TableName")),
            DynamoOperation::UpdateContinuousBackups => {
                let on = request.pointer("/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled");
                let mut recovery = self.recovery.write().unwrap_or_else(PoisonError::into_inner);
                if on == Some(&Json::Bool(true)) {
                    recovery.insert(text("TableName").to_owned());
                } else {
                    recovery.remove(text("TableName"));
                }
                drop(recovery);
                self.backups(text("TableName"))
            }
            _ => return None,
        })
    }

    fn backups(&self, table: &str) -> Answer {
        let on = self.recovery.read().unwrap_or_else(PoisonError::into_inner).contains(table);
        let status = if on { "ENABLED" } else { "DISABLED" };
        let recovery = json!({ "PointInTimeRecoveryStatus": status });
        let backups = json!({ "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery });
        Answer::ok(json!({ "ContinuousBackupsDescription": backups }).to_string())
    }

    /// Forgets a table that is gone.
    pub(super) fn forget(&self, table: &str) {
        self.recovery.write().unwrap_or_else(PoisonError::into_inner).remove(table);
    }
}
