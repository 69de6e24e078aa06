//! Starts servers, and serves until it is stopped.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _},
};

use super::{
    args::{Kind, LocalS3Args},
    orders::obey,
};
use crate::cli::{
    args::Global,
    error::{Code, Failure},
    interrupt, log,
    session::block_on,
    term,
};
use migrate_local_cloud::{DynamoServer, DynamoServerConfig, S3Server, S3ServerConfig};

/// The keys of every server; they guard nothing.
const KEYS: (&str, &str) = ("local", "local-secret");
/// The bucket of every server for objects.
const BUCKET: &str = "data";

pub(in crate::cli) fn local_s3(args: &LocalS3Args, global: &Global) -> Result<Code, Failure> {
    log::start(global.log, false);
    block_on(async {
        let servers = Servers::start(args).await.map_err(|error| {
            Failure::new(Code::Incomplete, format!("a server did not start: {error}"))
                .mended_by("a port of 127.0.0.1 must be free to listen on")
        })?;
        if !args.orders && !global.quiet {
            term::tell(&servers.told());
        }
        if args.orders {
            servers.obey().await;
        } else {
            interrupt::first().await?;
        }
        servers.stop().await;
        Ok(Code::Done)
    })
}

/// The servers, by their names.
struct Servers {
    objects: BTreeMap<String, S3Server>,
    tables: Vec<DynamoServer>,
}

impl Servers {
    /// Starts all that are wanted, and prints each.
    async fn start(args: &LocalS3Args) -> io::Result<Self> {
        let (mut objects, mut tables) = (BTreeMap::new(), Vec::new());
        for wanted in &args.servers {
            let endpoint = match &wanted.kind {
                Kind::Tables => {
                    let server = DynamoServer::start(DynamoServerConfig::new(KEYS.0, KEYS.1)).await?;
                    let endpoint = server.endpoint();
                    tables.push(server);
                    endpoint
                }
                Kind::Objects(quirks) => {
                    let quirks = **quirks;
                    let config = S3ServerConfig { quirks, ..S3ServerConfig::new(KEYS.0, KEYS.1) };
                    let server = S3Server::start(config).await?;
                    server.state().create_bucket(BUCKET);
                    let endpoint = server.endpoint();
                    objects.insert(wanted.name.clone(), server);
                    endpoint
                }
            };
            term::answer(&format!("{} {endpoint}", wanted.name));
        }
        Ok(Self { objects, tables })
    }

    /// How a person uses them.
    fn told(&self) -> String {
        let example = match (self.objects.values().next(), self.tables.first()) {
            (Some(server), _) => {
                format!("migrate init ./DIRECTORY {}/{BUCKET}", server.endpoint().replacen("http", "s3+http", 1))
            }
            (None, Some(server)) => {
                format!("migrate init ./DIRECTORY {}/TABLE", server.endpoint().replacen("http", "dynamodb+http", 1))
            }
            (None, None) => String::new(),
        };
        format!(
            "To copy a directory there, in another terminal:\n  {example}\n  export TARGET_ACCESS_KEY_ID={} \
             TARGET_SECRET_ACCESS_KEY={}\n  migrate run\nNothing is kept once this stops; ctrl-c stops it.",
            KEYS.0, KEYS.1
        )
    }

    /// Takes orders until there are no more.
    async fn obey(&self) {
        let (lines, mut orders) = tokio::sync::mpsc::channel(1);
        // Reading standard input blocks, so it has a thread of its own; it ends with the input.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if lines.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        while let Some(line) = orders.recv().await {
            term::answer(&obey(&self.objects, &line));
        }
    }

    async fn stop(self) {
        for server in self.objects.into_values() {
            server.stop().await;
        }
        for server in self.tables {
            server.stop().await;
        }
    }
}
