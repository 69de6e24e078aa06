//! Copies and proves a table between two servers, and prints items a second, CPU time an item and peak memory, beside
//! what the same servers take from a bare loop of scans and from bare batches of writes.
//!
//! ```text
//! cargo bench --bench tables                  # 50,000 and 500,000 items
//! cargo bench --bench tables -- 20000         # another number
//! cargo bench --bench tables -- 20000@2000    # the same, with servers that take 2,000 items a second
//! ```
//!
//! The servers are a process of their own and so is each measured side, as in `benches/objects.rs`. The bare loops use
//! the same client at the concurrency that served them best among those that are tried; the copy is measured against the
//! slower of the two.
//!
//! Both servers and what is measured share the machine. So without a pace the rows tell what an item costs: a copy cannot
//! take less than both bare loops together. With a pace below what the machine can do, they tell how much of what a server
//! takes a copy uses.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    num::NonZeroU32,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use migrate::{
    aws::{
        AwsCredentials,
        dynamodb::{DynamoClient, DynamoConfig, DynamoEndpoint},
    },
    engine::{ByFlag, InFlightMax, Migration, RunOptions, Shutdown, Sites, sites::Given},
    item::{Item, Value},
    ledger::Ledger,
    lifecycle::Goal,
    local_cloud::{DynamoServer, DynamoServerConfig},
    plan,
    report::Sink,
    store::{
        retry::RetryPolicy,
        table::{ItemWrite, Segment, TableStore, WRITE_MAX},
    },
    table::{KeyType, Structure},
};

const COUNTS: [&str; 2] = ["50000", "500000"];
/// The width of the first column.
const COUNT_WIDTH: usize = 9;
/// Items that are made before they are written.
const MADE_AT_ONCE: usize = 10_000;
/// The concurrencies that the bare loops try.
const TRIED: [usize; 4] = [2, 4, 8, 16];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", pace] => runtime.block_on(serve(pace.parse().ok())),
        ["fill", count, at] => runtime.block_on(fill(count.parse()?, at)),
        ["bare", count, from, to] => runtime.block_on(bare(count.parse()?, from, to)),
        ["copy", count, from, to] => runtime.block_on(copy(count.parse()?, from, to)),
        ref counts => {
            println!(
                "{:>9}  {:>12}  {:>12}  {:>11}  {:>12}  {:>9}",
                "items", "what", "items/s", "wall", "CPU/item", "peak"
            );
            for count in if counts.is_empty() { &COUNTS } else { counts } {
                let (count, pace) = count.split_once('@').unwrap_or((count, ""));
                measure(count, pace)?;
            }
            Ok(())
        }
    }
}

/// Starts the servers and fills the source; then runs the bare loops, and then the copy. `pace` is how many items a second
/// the target takes, or nothing.
fn measure(count: &str, pace: &str) -> anyhow::Result<()> {
    let this = std::env::current_exe()?;
    let mut servers = Command::new(&this).args(["serve", pace]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(servers.stdout.take().context("its output is piped")?).lines();
    let from = lines.next().context("the servers ended early")??;
    let to = lines.next().context("the servers ended early")??;
    let mut rates = BTreeMap::new();
    for arguments in [vec!["fill", count, &from], vec!["bare", count, &from, &to], vec!["copy", count, &from, &to]] {
        let ended = Command::new(&this).args(&arguments).stderr(Stdio::inherit()).output()?;
        ensure!(ended.status.success(), "{} failed", arguments[0]);
        for row in String::from_utf8(ended.stdout)?.lines() {
            println!("{row}");
            let words: Vec<_> = row[COUNT_WIDTH..].split_whitespace().collect();
            if let [what @ .., rate, _, _, _, _, _, _] = &words[..] {
                rates.insert(what.join(" "), rate.parse::<f64>()?);
            }
        }
    }
    let rate = |what: &str| rates.get(what).copied().with_context(|| format!("there is no row {what}"));
    let slower = rate("bare scan")?.min(rate("bare write")?);
    println!("{count:>COUNT_WIDTH$}  the copy runs at {:.2} of the slower bare loop", rate("copy")? / slower);
    drop(servers.stdin.take());
    servers.wait()?;
    Ok(())
}

/// Two servers, of which the second takes so many items a second, until standard input ends.
async fn serve(pace: Option<NonZeroU32>) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for writes_a_second in [None, pace] {
        let config = DynamoServerConfig { writes_a_second, ..DynamoServerConfig::new("bench", "bench-secret") };
        let server = DynamoServer::start(config).await?;
        println!("{}", server.endpoint());
        servers.push(server);
    }
    tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().count()).await?;
    for server in servers {
        server.stop().await;
    }
    Ok(())
}

/// An account, as services keep them: about 400 bytes.
fn account(number: usize) -> Item {
    let text = |text: String| Value::Text(text);
    let address = [("city", "Singapore"), ("street", "1 Raffles Place"), ("country", "SG")];
    let address = address.into_iter().map(|(name, value)| (name.to_owned(), text(value.to_owned()))).collect();
    let orders =
        (0..5).map(|order| Value::Number((number * 10 + order).to_string().parse().expect("a number"))).collect();
    Item::from([
        ("id".to_owned(), text(format!("account-{:08x}-{number:08}", number.wrapping_mul(0x9e37_79b9)))),
        ("name".to_owned(), text(format!("Person {number}"))),
        ("mail".to_owned(), text(format!("person.{number}@example.com"))),
        ("address".to_owned(), Value::Map(address)),
        ("orders".to_owned(), Value::List(orders)),
        ("balance".to_owned(), Value::Number(format!("{number}.25").parse().expect("a number"))),
        ("active".to_owned(), Value::Bool(number.is_multiple_of(2))),
        ("note".to_owned(), text("x".repeat(150))),
    ])
}

fn structure() -> Structure {
    Structure::plain(("id", KeyType::Text), None)
}

async fn open(site: &str, endpoint: &str, name: &str) -> anyhow::Result<Arc<dyn TableStore>> {
    let config = DynamoConfig {
        site: site.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(DynamoEndpoint { url: endpoint.to_owned(), ca_pem: None }),
        credentials: AwsCredentials::Keys { id: "bench".into(), secret: "bench-secret".into(), session_token: None },
    };
    Ok(Arc::new(DynamoClient::connect(config).await?.table(name)))
}

/// Writes items in batches, so many at once. They are made before, a part of the table at a time; returns the seconds that
/// only the writing took.
async fn write(to: &dyn TableStore, count: usize, at_once: usize) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for first in (0..count).step_by(MADE_AT_ONCE) {
        let items: Vec<_> = (first..count.min(first + MADE_AT_ONCE)).map(|n| ItemWrite::Put(account(n))).collect();
        let began = Instant::now();
        let batches = stream::iter(items.chunks(WRITE_MAX)).map(|batch| async move {
            let left = to.write(batch).await?.left;
            ensure!(left.is_empty(), "the server left items over");
            Ok(())
        });
        batches.buffer_unordered(at_once).try_collect::<()>().await?;
        seconds += began.elapsed().as_secs_f64();
    }
    Ok(seconds)
}

async fn fill(count: usize, at: &str) -> anyhow::Result<()> {
    let source = open("from", at, "accounts").await?;
    source.create(&structure()).await?;
    write(&*source, count, 8).await.map(drop)
}

/// Scans a table in so many segments at once; returns how many items it holds.
async fn scan(from: &dyn TableStore, segments: usize) -> anyhow::Result<usize> {
    let of = u32::try_from(segments)?;
    let segment = async |index| {
        let (mut after, mut items) = (None, 0);
        loop {
            let page = from.scan(Segment { index, of }, after.as_ref(), true).await?;
            items += page.items.len();
            match page.next {
                Some(next) => after = Some(next),
                None => return anyhow::Ok(items),
            }
        }
    };
    Ok(futures::future::try_join_all((0..of).map(segment)).await?.into_iter().sum())
}

/// The best of the bare loops.
async fn bare(count: usize, from: &str, to: &str) -> anyhow::Result<()> {
    let source = open("from", from, "accounts").await?;
    let mut best: Option<(f64, f64)> = None;
    for at_once in TRIED {
        let (began, cpu) = (Instant::now(), cpu_seconds()?);
        ensure!(scan(&*source, at_once).await? == count, "the scan missed items");
        let wall = began.elapsed().as_secs_f64();
        if best.is_none_or(|(least, _)| wall < least) {
            best = Some((wall, cpu_seconds()? - cpu));
        }
    }
    let (wall, cpu) = best.context("some were tried")?;
    report(count, "bare scan", wall, cpu)?;
    let mut best: Option<(f64, f64)> = None;
    for at_once in TRIED {
        let target = open("to", to, &format!("bare-{at_once}")).await?;
        target.create(&structure()).await?;
        let cpu = cpu_seconds()?;
        let wall = write(&*target, count, at_once).await?;
        if best.is_none_or(|(least, _)| wall < least) {
            best = Some((wall, cpu_seconds()? - cpu));
        }
    }
    let (wall, cpu) = best.context("some were tried")?;
    report(count, "bare write", wall, cpu)
}

/// Copies, and then proves.
async fn copy(count: usize, from: &str, to: &str) -> anyhow::Result<()> {
    let stores = [("from", open("from", from, "accounts").await?), ("to", open("to", to, "accounts").await?)];
    let text = format!(
        "name = \"bench\"\n\
         [sites.from]\ndynamodb = {{ endpoint = \"{from}\", region = \"r\" }}\ncredentials = {{ env = \"UNUSED\" }}\n\
         [sites.to]\ndynamodb = {{ endpoint = \"{to}\", region = \"r\" }}\ncredentials = {{ env = \"UNUSED\" }}\n\
         [[phase]]\nname = \"only\"\n[[phase.dataset]]\nname = \"accounts\"\n\
         source = \"dynamodb://from/accounts\"\ntargets = [\"dynamodb://to/accounts\"]\n"
    );
    let plan = plan::parse(&text, Path::new("bench.toml"))?;
    let given = Given::tables(move |at, _| {
        stores.iter().find(|(site, _)| *site == at.site.as_str()).map(|(_, table)| Arc::clone(table))
    });
    let sites = Sites::new(Arc::new(given), RetryPolicy::default());
    let directory = tempfile::tempdir()?;
    let ledger = Arc::new(Ledger::open(&directory.path().join("ledger.sqlite"), &plan.name)?);
    for (what, goal) in [("copy", Goal::Copied), ("proof", Goal::Verified)] {
        let (cpu, began) = (cpu_seconds()?, Instant::now());
        let options = RunOptions {
            goal,
            phases: Vec::new(),
            datasets: Vec::new(),
            force: false,
            follow: false,
            counts: false,
            limits: InFlightMax::default(),
            approver: Arc::new(ByFlag::default()),
        };
        let (ledger, sink, shutdown) = (Arc::clone(&ledger), Sink::none(), Shutdown::new());
        let migration = Migration { plan: &plan, sites: &sites, ledger, sink, shutdown };
        let outcome = migration.run(&options).await?;
        ensure!(outcome.datasets.iter().all(|dataset| dataset.reached), "{outcome:?}");
        report(count, what, began.elapsed().as_secs_f64(), cpu_seconds()? - cpu)?;
    }
    Ok(())
}

fn report(count: usize, what: &str, wall: f64, cpu: f64) -> anyhow::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the field is there on Linux")?;
    let peak_kib: u64 = peak.split_whitespace().next().context("it has a value")?.parse()?;
    println!(
        "{count:>9}  {what:>12}  {:>12.0}  {wall:>9.2} s  {:>9.0} µs  {:>5} MiB",
        count as f64 / wall,
        cpu / count as f64 * 1e6,
        peak_kib / 1024
    );
    Ok(())
}

/// User and system time of this process, from the kernel's own count in hundredths of a second.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").context("an odd /proc/self/stat")?.1;
    let fields: Vec<_> = after_name.split(' ').collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
