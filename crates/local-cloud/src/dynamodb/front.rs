//! The front: takes a request off the wire, counts it, lets faults strike, checks who sends it and whether it may
//! pass, and hands it on.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming};
use migrate_fault::flip_bit;
use serde_json::{Value as Json, json};

use super::{
    access::Access,
    answers::Answer,
    config::DynamoServerConfig,
    engine::Engine,
    faults::{ActiveFaults, DynamoFault, DynamoFaults, Strike},
    iterators::Iterators,
    operation::DynamoOperation,
    own::Settings,
    pace::Pace,
    signature,
    stats::DynamoStats,
    tables::{needed, table_arn, table_of},
};

/// Why a connection is dropped without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Dropped {
    #[error("a fault closes the connection")]
    Fault,
    #[error("the request's body ended early")]
    Body(#[source] hyper::Error),
}

/// One server's front, shared by its connections.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) config: DynamoServerConfig,
    pub(super) access: Access,
    pub(super) iterators: Iterators,
    engine: Engine,
    settings: Settings,
    pace: Option<Pace>,
    faults: RwLock<Arc<ActiveFaults>>,
    stats: Mutex<DynamoStats>,
}

impl Front {
    pub(super) fn new(config: DynamoServerConfig, access: Access, engine: Engine) -> Self {
        let faults = RwLock::new(Arc::new(ActiveFaults::new(config.faults.clone())));
        let (settings, iterators, stats) = (Settings::default(), Iterators::default(), Mutex::default());
        let pace = config.writes_a_second.map(Pace::new);
        Self { config, access, iterators, engine, settings, pace, faults, stats }
    }

    pub(super) fn set_faults(&self, faults: DynamoFaults) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ActiveFaults::new(faults));
    }

    pub(super) fn stats(&self) -> DynamoStats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers one request; an error closes the connection.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (parts, body) = request.into_parts();
        let operation = operation_of(&parts.headers);
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner).clone();
        let strike = faults.next(operation);
        let body = body.collect().await.map_err(Dropped::Body)?.to_bytes();
        self.count(operation, strike);
        if let Some(latency) = self.config.latency {
            tokio::time::sleep(latency).await;
        }
        let asked = signature::caller(&self.access.identities, &parts.method, &parts.uri, &parts.headers, &body);
        let fault = strike.map(|strike| strike.fault);
        let answer = match asked {
            Err(refusal) => refusal,
            Ok(_) if fault == Some(DynamoFault::ResetBefore) => return Err(Dropped::Fault),
            Ok(caller) => match serde_json::from_slice(&body) {
                Err(_) => Answer::refusal("SerializationException", "the request is not JSON"),
                Ok(request) => match instead(fault, operation, &request) {
                    Some(answer) => answer,
                    None => match self.access.check(&caller, &needed(operation, &request)) {
                        Err(refusal) => refusal,
                        Ok(()) => self.carry_out(operation, request, fault, &caller).await,
                    },
                },
            },
        };
        spoil(answer, strike).await
    }

    fn count(&self, operation: DynamoOperation, strike: Option<Strike>) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        *stats.requests.entry(operation).or_default() += 1;
        if let Some(strike) = strike {
            *stats.faults_by_kind.entry(strike.fault.name()).or_default() += 1;
        }
    }

    async fn carry_out(
        &self,
        operation: DynamoOperation,
        mut request: Json,
        fault: Option<DynamoFault>,
        caller: &crate::caller::Caller,
    ) -> Answer {
        if operation == DynamoOperation::Unknown {
            return Answer::refusal("UnknownOperationException", "");
        }
        if operation.is_of_streams() {
            return match self.of_streams(operation, request, caller).await {
                Ok(answer) | Err(answer) => answer,
            };
        }
        if let Some(table) = of_own_table(operation, &request) {
            let described = self.describe(&table).await;
            if described.status != 200 {
                return described;
            }
        }
        if let Some(answer) = self.settings.answer(operation, &request, &self.access) {
            return answer;
        }
        match fault {
            Some(DynamoFault::DelayBefore(delay)) => tokio::time::sleep(delay).await,
            Some(DynamoFault::ConditionIgnored) => forget_condition(&mut request),
            Some(DynamoFault::Bent { from, to }) => {
                let bent = request.to_string().replace(from, to);
                request = serde_json::from_str(&bent).unwrap_or_default();
            }
            _ => {}
        }
        if let Some(pace) = &self.pace {
            pace.take(operation, &request).await;
        }
        let left = (fault == Some(DynamoFault::Unprocessed)).then(|| take_half(operation, &mut request)).flatten();
        let table = request.get("TableName").and_then(Json::as_str).unwrap_or_default().to_owned();
        let answer = self.engine.run(operation, request.to_string()).await;
        if operation == DynamoOperation::DeleteTable && answer.status == 200 {
            self.access.forget(&table_arn(&table));
            self.settings.forget(table_of(&table_arn(&table)));
        }
        match left {
            Some(left) if answer.status == 200 => with_left(operation, &answer, left),
            _ => answer,
        }
    }

    async fn describe(&self, table: &str) -> Answer {
        self.engine.run(DynamoOperation::DescribeTable, json!({ "TableName": table }).to_string()).await
    }

    /// Operations of streams: the engine answers for the name of any stream that a table ever had.
    async fn of_streams(
        &self,
        operation: DynamoOperation,
        mut request: Json,
        caller: &crate::caller::Caller,
    ) -> Result<Answer, Answer> {
        let named = |request: &Json| request.get("StreamArn").and_then(Json::as_str).unwrap_or_default().to_owned();
        let (stream, iterator) = match operation {
            DynamoOperation::ListStreams => return Ok(self.engine.run(operation, request.to_string()).await),
            DynamoOperation::GetRecords => {
                let stream = self.iterators.unwrap(&mut request)?;
                self.access.check(caller, &[("dynamodb:GetRecords".to_owned(), stream.clone())])?;
                (stream, Some("NextShardIterator"))
            }
            DynamoOperation::GetShardIterator => (named(&request), Some("ShardIterator")),
            _ => (named(&request), None),
        };
        let described = self.describe(table_of(&stream)).await;
        let table: Json = serde_json::from_slice(&described.body).unwrap_or_default();
        if table.pointer("/Table/LatestStreamArn").and_then(Json::as_str) != Some(&*stream) {
            let text = format!("Requested resource not found: Stream: {stream} not found");
            return Err(Answer::refusal("ResourceNotFoundException", &text));
        }
        let answer = self.engine.run(operation, request.to_string()).await;
        let wrapped = iterator.and_then(|member| self.iterators.wrap(&answer, member, &stream));
        Ok(wrapped.unwrap_or(answer))
    }
}

/// The operation of a request, by its target.
fn operation_of(headers: &HeaderMap) -> DynamoOperation {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (service, name) = target.split_once('.').unwrap_or_default();
    let operation = DynamoOperation::named(name);
    let expected = if operation.is_of_streams() { "DynamoDBStreams_20120810" } else { "DynamoDB_20120810" };
    if service == expected { operation } else { DynamoOperation::Unknown }
}

/// The table that must be there, for an operation that is carried out here.
fn of_own_table(operation: DynamoOperation, request: &Json) -> Option<String> {
    let text = |name: &str| request.get(name).and_then(Json::as_str).unwrap_or_default();
    match operation {
        DynamoOperation::PutResourcePolicy
        | DynamoOperation::GetResourcePolicy
        | DynamoOperation::DeleteResourcePolicy => Some(table_of(text("ResourceArn")).to_owned()),
        DynamoOperation::DescribeContinuousBackups | DynamoOperation::UpdateContinuousBackups => {
            Some(text("TableName").to_owned())
        }
        _ => None,
    }
}

/// The answer in place of carrying the request out.
fn instead(fault: Option<DynamoFault>, operation: DynamoOperation, request: &Json) -> Option<Answer> {
    Some(match fault? {
        DynamoFault::Throttle => throttled("Table", &resource(operation, request)),
        DynamoFault::ThrottleIndex(name) => {
            throttled("Index", &format!("{}/index/{name}", resource(operation, request)))
        }
        DynamoFault::InternalError => internal_error(),
        DynamoFault::ExpiredToken => {
            Answer::refusal("ExpiredTokenException", "The security token included in the request is expired")
        }
        DynamoFault::ConditionRefused if request.get("ConditionExpression").is_some() => {
            Answer::refusal("ConditionalCheckFailedException", "The conditional request failed")
        }
        DynamoFault::ExpiredIterator => Answer::refusal("ExpiredIteratorException", "Iterator expired."),
        DynamoFault::TrimmedData => {
            let text = "The operation attempted to read past the oldest stream record in a shard.";
            Answer::refusal("TrimmedDataAccessException", text)
        }
        _ => return None,
    })
}

/// The ARN of what a request is about.
fn resource(operation: DynamoOperation, request: &Json) -> String {
    needed(operation, request).pop().map(|(_, arn)| arn).unwrap_or_default()
}

/// A refusal for load, which names what is at its limit.
fn throttled(kind: &str, arn: &str) -> Answer {
    let level = "The level of configured provisioned throughput for";
    let reason = json!({ "reason": format!("{kind}WriteProvisionedThroughputExceeded"), "resource": arn });
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": format!("{level} the {} was exceeded.", kind.to_lowercase()),
        "ThrottlingReasons": [reason],
    });
    Answer { status: 400, body: body.to_string().into() }
}

fn internal_error() -> Answer {
    Answer::refusal("InternalServerError", "The request processing has failed because of an unknown error.")
}

/// Takes the condition out of the request, with the names and values in it.
fn forget_condition(request: &mut Json) {
    if let Some(request) = request.as_object_mut() {
        for member in ["ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"] {
            request.remove(member);
        }
    }
}

/// Takes the second half of a batch out of the request; `None` if there is only one thing in it.
fn take_half(operation: DynamoOperation, request: &mut Json) -> Option<Json> {
    let (table, of) = request.get_mut("RequestItems")?.as_object_mut()?.iter_mut().next()?;
    let table = table.clone();
    let list = if operation == DynamoOperation::BatchGetItem { of.get_mut("Keys")? } else { &mut *of };
    let all = list.as_array_mut()?;
    if all.len() < 2 {
        return None;
    }
    let half = Json::Array(all.split_off(all.len() / 2));
    if operation == DynamoOperation::BatchGetItem {
        let mut left = of.clone();
        left["Keys"] = half;
        return Some(json!({ table: left }));
    }
    Some(json!({ table: half }))
}

/// The answer, which names what was left.
fn with_left(operation: DynamoOperation, answer: &Answer, left: Json) -> Answer {
    let member = if operation == DynamoOperation::BatchGetItem { "UnprocessedKeys" } else { "UnprocessedItems" };
    let mut body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    body[member] = left;
    Answer::ok(body.to_string())
}

/// Changes an answer as a fault demands.
async fn spoil(answer: Answer, strike: Option<Strike>) -> Result<Response<Full<Bytes>>, Dropped> {
    let whole = answer.body.clone();
    let body = match strike {
        None => whole.clone(),
        Some(Strike { fault, draw }) => match fault {
            DynamoFault::ResetAfter => return Err(Dropped::Fault),
            DynamoFault::InternalErrorAfter => {
                let error = internal_error();
                let checked = error.body.clone();
                return Ok(error.send(&checked));
            }
            DynamoFault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                whole.clone()
            }
            DynamoFault::CutAnswer => whole.slice(..whole.len() / 2),
            DynamoFault::EmptyAnswer => Bytes::new(),
            DynamoFault::FlipBit => flip_bit(&whole, draw).into(),
            _ => whole.clone(),
        },
    };
    Ok(Answer { body, ..answer }.send(&whole))
}
