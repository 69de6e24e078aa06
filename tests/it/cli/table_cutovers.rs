//! Cutovers of tables over HTTP, as a shell sees them.

use std::time::Duration;

use migrate::{
    local_cloud::{DynamoFault, DynamoFaultRule, DynamoFaults, DynamoServer, When},
    store::table::{ItemWrite, TableStore as _},
};
use migrate_core::table::{KeyType, Structure};

use super::{
    tables::{Servers, all_but, fill, held, structure, table, user, write},
    *,
};
use crate::dynamodb::{ID, SECRET, client_of, items};

const RUN: [&str; 4] = ["run", "plan.toml", "--approve", "all"];

const DRY: [&str; 5] = ["cutover", "plan.toml", "--phase", "first", "--dry-run"];

/// The lead moves from `here` to `there`, and `other` follows. The route is an item of a table at `other`.
async fn moving(who: &str, users: u32) -> Servers {
    let servers = Servers::start(users).await;
    let routes = client_of(servers.other.endpoint(), ID, SECRET).await.table("routes");
    routes.create(&Structure::plain(("dataset", KeyType::Text), None)).await.unwrap();
    let targets = "targets = [\"dynamodb://there/users\", \"dynamodb://other/users\"]\nlead = \"there\"\n\
                   [phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"0s\"\nsettle = \"1s\"\n\
                   route_max_age = \"1s\"\nmax_lag = \"1m\"\nroute = \"dynamodb://other/routes\"";
    servers.plan(who, "live = true", targets);
    servers
}

async fn lead(servers: &Servers) -> Option<String> {
    let routes = items(&client_of(servers.other.endpoint(), ID, SECRET).await.table("routes")).await;
    let route = routes.into_values().next()?;
    Some(format!("{:?}", route["lead"]))
}

/// The run is killed again and again, with faults at each server, until the lead has moved; then the old one follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_lead_moves_under_kills_and_faults_loses_nothing() {
    let servers = moving("LOCAL", 400).await;
    let trouble = |on: bool| {
        let faults = [DynamoFault::ResetAfter, DynamoFault::Unprocessed, DynamoFault::InternalError];
        for (server, fault) in [&servers.here, &servers.there, &servers.other].into_iter().zip(faults) {
            let rules = on.then(|| DynamoFaultRule::new(fault, When::Every(50))).into_iter().collect();
            server.set_faults(DynamoFaults { seed: 7, rules });
        }
    };
    // Ever later: while it copies, proves, drains, looks, switches and watches.
    for half_seconds in 1..12 {
        trouble(true);
        let mut killed = Running::start(servers.command(&RUN).stdout(Stdio::null()).stderr(Stdio::null()));
        tokio::time::sleep(Duration::from_millis(500 * half_seconds)).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        trouble(false);
        if half_seconds == 5 {
            let at = if lead(&servers).await.is_some_and(|lead| lead.contains("there")) {
                &servers.there
            } else {
                &servers.here
            };
            write(&table(at).await, &[ItemWrite::Put(user(5, "between"))]).await;
        }
    }
    trouble(true);
    servers.expect(0, &RUN);
    trouble(false);
    assert!(lead(&servers).await.unwrap().contains("there"));
    // What is written at the new lead comes to both others.
    let new = table(&servers.there).await;
    fill(&new, 0..30, "second").await;
    let gone = structure().key_names().key_of(&user(40, "")).unwrap();
    write(&new, &[ItemWrite::Delete(gone)]).await;
    servers.expect(0, &RUN);
    let at_lead = held(&servers.there).await;
    assert_eq!(at_lead.len(), 399);
    assert_eq!(held(&servers.here).await, at_lead);
    assert_eq!(held(&servers.other).await, at_lead);
    servers.stop().await;
}

/// A write at the old lead is told with its key, stays until it is decided, and then follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_of_a_table_is_listed_and_resolved() {
    let servers = moving("LOCAL", 60).await;
    servers.expect(0, &RUN);
    let status = servers.expect(0, &["status", "plan.toml"]);
    assert!(status.out.contains("there"), "{}", status.out);
    write(&table(&servers.here).await, &[ItemWrite::Put(user(7, "too late"))]).await;
    fill(&table(&servers.there).await, 7..9, "second").await;

    let late = servers.expect(1, &RUN);
    assert!(late.out.contains("LATE") || late.err.contains("LATE"), "{}{}", late.out, late.err);
    let listed = servers.expect(1, &["resolve", "plan.toml"]);
    assert!(listed.out.contains("user-00007"), "{}{}", listed.out, listed.err);
    let value = async |server, n: u32| {
        let all = held(server).await;
        all.into_values().find(|item| item["id"] == user(n, "")["id"]).unwrap()["value"].clone()
    };
    assert_eq!(value(&servers.here, 7).await, user(7, "too late")["value"]);
    assert_eq!(value(&servers.here, 8).await, user(8, "second")["value"], "the others follow");

    servers.expect(0, &["resolve", "plan.toml", "--all", "--reason", "the new one counts"]);
    servers.expect(0, &RUN);
    assert_eq!(held(&servers.here).await, held(&servers.there).await);
    servers.stop().await;
}

/// An old lead that takes no write of ours stops the move at its gate: it could not follow.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_a_move_is_said_at_its_gate() {
    let servers = moving("APP", 20).await;
    let arn = DynamoServer::table_arn("users");
    servers.expect(0, &["run", "plan.toml"]);
    servers.here.set_policy(&arn, Some(&all_but("dynamodb:BatchWriteItem", &arn))).unwrap();
    let dry = servers.expect(1, &DRY);
    assert!(dry.out.contains("REFUSED: dynamodb://here/users takes no write of ours"), "{}", dry.out);
    let refused = servers.expect(1, &RUN);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(said.contains("takes no write of ours") && said.contains("follow_back = false"), "{said}");
    assert!(!lead(&servers).await.unwrap().contains("there"));
    servers.here.set_policy(&arn, None).unwrap();
    for action in ["dynamodb:DescribeStream", "dynamodb:GetRecords"] {
        let stream = table(&servers.here).await.changes().unwrap().enable().await.unwrap().0;
        servers.here.set_policy(&stream, Some(&all_but(action, &stream))).unwrap();
        let dry = servers.expect(1, &DRY);
        assert!(dry.out.contains("REFUSED") && dry.out.contains(action), "{}", dry.out);
        servers.here.set_policy(&stream, None).unwrap();
    }
    servers.expect(0, &DRY);
    servers.expect(0, &RUN);
    assert!(lead(&servers).await.unwrap().contains("there"));
    servers.stop().await;
}
