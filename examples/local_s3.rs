//! Starts S3 servers in memory on loopback, to try plans against: nothing is kept when they stop.
//!
//! ```text
//! cargo run --release --example local_s3 -- origin california singapore
//! ```
//!
//! prints one line a name, `NAME ENDPOINT`, each server with an empty bucket `data`, and serves until
//! its standard input ends. The keys are `local` and `local-secret`.
//!
//! Lines on standard input change objects behind every tool's back, to see what a verification says:
//! `flip NAME KEY`, `delete NAME KEY`, `put NAME KEY TEXT`; each is answered with `done` or `no such
//! object`, and `count NAME` with a number.

use std::{collections::BTreeMap, io::BufRead as _};

use migrate::rehearse::{S3Server, S3ServerConfig};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "whoever starts it must learn the endpoints")]
async fn main() -> anyhow::Result<()> {
    let mut servers = BTreeMap::new();
    for name in std::env::args().skip(1) {
        let server = S3Server::start(S3ServerConfig::new("local", "local-secret")).await?;
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
    Ok(())
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
        "count" => return state.count("data").to_string(),
        _ => return format!("no such command: {command:?}"),
    };
    if done { "done".to_owned() } else { "no such object".to_owned() }
}
