//! Starts S3 servers in memory on loopback, to try plans against: nothing is kept when they stop.
//!
//! ```text
//! cargo run --release --bin local_s3 -- origin california singapore
//! ```
//!
//! prints one line a name, `NAME ENDPOINT`, each server with an empty bucket `data`, and serves until
//! its standard input ends. The keys are `local` and `local-secret`. With `NAME=LIKE` a server behaves like
//! one that is not AWS: `rgw`, `garage` or `strict`; and with `NAME=dynamodb` it is one for tables, and has none.
//!
//! Lines on standard input change objects behind a tool's back, to see what a verification finds:
//! `flip NAME KEY`, `delete NAME KEY`, `put NAME KEY TEXT`, and `dress NAME KEY`, which gives an object
//! tags and metadata that are not ASCII. The answer to each is `done` or `no such object`; that to `count
//! NAME` is a number. `show NAME PREFIX` answers with one line of JSON: all that the objects under a prefix
//! hold and carry, by their keys without it.

use std::{collections::BTreeMap, io::BufRead as _};

use migrate::{
    digest::sha256,
    local_cloud::{
        DynamoServer, DynamoServerConfig, IfMatchQuirk, MetadataQuirk, Quirks, S3Server, S3ServerConfig, Untyped,
    },
};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever starts it must learn the endpoints")]
async fn main() -> anyhow::Result<()> {
    let (mut servers, mut tables) = (BTreeMap::new(), Vec::new());
    for argument in std::env::args().skip(1) {
        let (name, like) = argument.split_once('=').unwrap_or((&argument, "aws"));
        let name = name.to_owned();
        if like == "dynamodb" {
            let server = DynamoServer::start(DynamoServerConfig::new("local", "local-secret")).await?;
            println!("{name} {}", server.endpoint());
            tables.push(server);
            continue;
        }
        let quirks = quirks(like).ok_or_else(|| anyhow::anyhow!("no server is like {like:?}"))?;
        let config = S3ServerConfig { quirks, ..S3ServerConfig::new("local", "local-secret") };
        let server = S3Server::start(config).await?;
        server.state().create_bucket("data");
        println!("{name} {}", server.endpoint());
        servers.insert(name, server);
    }
    let (lines, mut commands) = tokio::sync::mpsc::channel(1);
    // Reading standard input blocks, so it has a thread of its own; it ends with the input.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        println!("{}", obey(&servers, &line));
    }
    for server in servers.into_values() {
        server.stop().await;
    }
    for server in tables {
        server.stop().await;
    }
    Ok(())
}

/// The quirks of a server.
fn quirks(like: &str) -> Option<Quirks> {
    let aws = Quirks::default();
    Some(match like {
        "aws" => aws,
        "rgw" => Quirks {
            if_match: IfMatchQuirk::BareOnly,
            drop_upload_tags: true,
            metadata: MetadataQuirk::Raw,
            untyped: Untyped::ApplicationOctetStream,
            ..aws
        },
        "garage" => Quirks {
            swallow_leading_slash: true,
            busy_above_511_bytes: true,
            metadata: MetadataQuirk::Raw,
            untyped: Untyped::None,
            failing_get_object_attributes: true,
            errors_without_message: true,
            ..aws
        },
        // A server whose conditions cannot be relied on.
        "strict" => Quirks {
            if_match: IfMatchQuirk::NeverMatches,
            ignore_conditions_on_complete: true,
            metadata: MetadataQuirk::Raw,
            untyped: Untyped::Empty,
            etag_not_md5: true,
            empty_etag_on_complete: true,
            ..aws
        },
        _ => return None,
    })
}

/// All objects under a prefix, as one line of JSON.
fn show(server: &S3Server, prefix: &str) -> String {
    let state = server.state();
    let keys = state.keys("data");
    let shown = keys.iter().filter_map(|key| {
        let object = state.get_object("data", key)?;
        let carried = serde_json::json!({
            "sha256": sha256(&object.data).to_string(), "size": object.data.len(),
            "metadata": object.metadata, "tags": object.tags,
        });
        Some((key.strip_prefix(prefix)?.to_owned(), carried))
    });
    serde_json::Value::Object(shown.collect()).to_string()
}

fn obey(servers: &BTreeMap<String, S3Server>, line: &str) -> String {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (command, name, key, text) = (word(), word(), word(), word());
    let Some(server) = servers.get(name) else { return format!("no such server: {name:?}") };
    let state = server.state();
    let done = match command {
        "flip" => state.corrupt("data", key, 0),
        "delete" => state.delete("data", key),
        "put" => {
            state.put("data", key, text.to_owned());
            true
        }
        "dress" => match state.get_object("data", key) {
            Some(mut object) => {
                let pairs = |pairs: [(&str, &str); 2]| pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                object.metadata = pairs([("raw", "caf\u{e9}"), ("word", "=?UTF-8?Q?caf=C3=A9?=")]).into();
                object.tags = pairs([("team", "shop & site"), ("empty", "")]).into();
                state.put_object("data", key, object);
                true
            }
            None => false,
        },
        "show" => return show(server, key),
        "count" => return state.count("data").to_string(),
        _ => return format!("no such command: {command:?}"),
    };
    if done { "done".to_owned() } else { "no such object".to_owned() }
}
