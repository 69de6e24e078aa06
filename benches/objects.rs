//! Copies many small objects between two S3 servers, proves them equal, runs again, and prints objects a
//! second, CPU time an object and peak memory.
//!
//! The proof is at level `checksum`: it looks at each object once, on both sides. The second run finds nothing to do
//! and only lists.
//!
//! ```text
//! cargo bench --bench objects                  # 20,000 and 200,000 objects of 4 KiB
//! cargo bench --bench objects -- 50000         # another number
//! ```
//!
//! The servers are a process of their own and so is each copy, so that the figures are those of the copying
//! side only. All processes share the machine, so CPU time is a steadier figure than objects a second.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use migrate::engine::sites::Given;
use migrate::{
    aws::{
        AwsCredentials,
        s3::{S3Client, S3Config, S3Endpoint},
    },
    engine::{ByFlag, InFlightMax, Migration, RunOptions, Shutdown, Sites},
    ledger::Ledger,
    lifecycle::Goal,
    local_cloud::{S3Server, S3ServerConfig},
    plan,
    report::Sink,
    store::{Capabilities, ObjectStore, retry::RetryPolicy},
};

const OBJECT_BYTES: usize = 4096;
const COUNTS: [usize; 2] = [20_000, 200_000];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", count] => runtime.block_on(serve(count.parse()?)),
        ["copy", count, from, to] => runtime.block_on(copy(count.parse()?, from, to)),
        ref counts => {
            let counts = counts.iter().map(|count| count.parse()).collect::<Result<Vec<_>, _>>()?;
            println!(
                "{:>9}  {:>9}  {:>14}  {:>11}  {:>12}  {:>9}",
                "objects", "pass", "objects/s", "wall", "CPU/object", "peak"
            );
            for count in if counts.is_empty() { COUNTS.to_vec() } else { counts } {
                measure(count)?;
            }
            Ok(())
        }
    }
}

/// Starts the servers, then the copy, and waits for both.
fn measure(count: usize) -> anyhow::Result<()> {
    let this = std::env::current_exe()?;
    let mut servers =
        Command::new(&this).args(["serve", &count.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(servers.stdout.take().context("its output is piped")?).lines();
    let from = lines.next().context("the servers ended early")??;
    let to = lines.next().context("the servers ended early")??;
    let status = Command::new(&this).args(["copy", &count.to_string(), &from, &to]).status()?;
    drop(servers.stdin.take());
    servers.wait()?;
    ensure!(status.success(), "the copy failed");
    Ok(())
}

/// Two servers, the first of them filled, until standard input ends.
async fn serve(count: usize) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for _ in 0..2 {
        let server = S3Server::start(S3ServerConfig::new("bench", "bench-secret")).await?;
        server.state().create_bucket("data");
        servers.push(server);
    }
    for number in 0..count {
        let mut body = vec![0x5a; OBJECT_BYTES];
        body[..8].copy_from_slice(&(number as u64).to_be_bytes());
        servers[0].state().put(
            "data",
            &format!("catalogue/{:08x}/{number:08}", number.wrapping_mul(0x9e37_79b9)),
            body,
        );
    }
    for server in &servers {
        println!("{}", server.endpoint());
    }
    tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().count()).await?;
    for server in servers {
        server.stop().await;
    }
    Ok(())
}

/// Copies and proves, then runs again for the cost of a pass that finds nothing to do.
async fn copy(count: usize, from: &str, to: &str) -> anyhow::Result<()> {
    let mut stores: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
    stores.insert("from".to_owned(), store("from", from).await?);
    stores["from"].adopt(Capabilities { properties: true, tags: true, ..Capabilities::unproved() });
    stores.insert("to".to_owned(), store("to", to).await?);
    let text = format!(
        "name = \"bench\"\n\
         [sites.from]\ns3 = {{ endpoint = \"{from}\", path_style = true }}\ncredentials = {{ env = \"UNUSED\" }}\n\
         [sites.to]\ns3 = {{ endpoint = \"{to}\", path_style = true }}\ncredentials = {{ env = \"UNUSED\" }}\n\
         [[phase]]\nname = \"only\"\n[[phase.dataset]]\nname = \"objects\"\n\
         source = \"s3://from/data/\"\ntargets = [\"s3://to/data/\"]\nverify = \"checksum\"\n"
    );
    let plan = plan::parse(&text, Path::new("bench.toml"))?;
    let sites =
        Sites::new(Arc::new(Given::new(move |at, _| stores.get(at.site.as_str()).cloned())), RetryPolicy::default());
    let directory = tempfile::tempdir()?;
    let ledger = Arc::new(Ledger::open(&directory.path().join("ledger.sqlite"), &plan.name)?);
    for (pass, goal) in [("copy", Goal::Copied), ("proof", Goal::Verified), ("again", Goal::Verified)] {
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
        report(count, pass, began.elapsed().as_secs_f64(), cpu_seconds()? - cpu)?;
    }
    Ok(())
}

async fn store(site: &str, endpoint: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let config = S3Config {
        site: site.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(S3Endpoint { url: endpoint.to_owned(), path_style: true, ca_pem: None }),
        credentials: AwsCredentials::Keys { id: "bench".into(), secret: "bench-secret".into(), session_token: None },
        expected_bucket_owner: None,
    };
    Ok(Arc::new(S3Client::connect(config).await?.store("data", "")))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(count: usize, pass: &str, wall: f64, cpu: f64) -> anyhow::Result<()> {
    let peak_kib: u64 = field("/proc/self/status", "VmHWM:")?;
    println!(
        "{count:>9}  {pass:>9}  {:>14.0}  {wall:>9.2} s  {:>9.0} µs  {:>5} MiB",
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

fn field(file: &str, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("the field is there on Linux")?;
    Ok(line.split_whitespace().next().context("it has a value")?.parse()?)
}
