//! A local cloud for every site of a plan: servers, buckets, directories, and data to move.
//!
//! # What runs where
//!
//! Each site that an `s3://` location names gets an [`S3Server`] on a free port of 127.0.0.1; sites
//! that name one bucket share a server. The same holds for `dynamodb://`, tables and [`DynamoServer`]s. All of them run on a runtime of their own, on threads of their own,
//! so that they and the migration cannot starve each other. Directories lie below one that the caller gives
//! and later removes.
//!
//! # Nothing leaves it
//!
//! [`Cloud::plan`] names nothing real ([`standin`]); [`Cloud::connect`] opens stores at
//! these servers alone, with their own keys: it reads no environment, no profile, no file of credentials.
//!
//! # The end
//!
//! [`Cloud::stop`] lets requests in flight finish and joins every task and thread. Dropping it ends them
//! at once, and joins the thread too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    end_state::{EndState, Routes, SiteState},
    error::{CloudError, io_error},
    sample::{self, Sample},
    standin::{self, ACCESS_KEY, Note, SECRET_KEY, Stage, StandIn},
    tables::{self, Tables},
};
use migrate_aws::{
    AwsCredentials,
    dynamodb::DynamoClient,
    s3::{S3Client, S3Config, S3Endpoint},
};
use migrate_core::{
    digest::Body,
    item::item_size,
    model::{ByteCount, DatasetName, Evidence, SiteName},
    plan::{Dataset, Location, Plan, Scheme, Site},
};
use migrate_engine::{
    DatasetStores, EngineError,
    sites::{Connect, Opened, Role},
};
use migrate_local_cloud::{DynamoServer, S3Server, S3ServerConfig};
use migrate_store::{
    Capabilities, Condition, IfMatch, KeyRules, MetadataForm, ObjectStore, PartRules, Proof, StoreError, UploadTags,
    file::FileStore, table::TableStore,
};

/// The capabilities of our server, so that filling it needs no probe.
const SERVER: Capabilities = Capabilities {
    proof: Proof::SignedPayload,
    put_if_absent: true,
    put_if_matches: IfMatch::Quoted,
    finish_if_absent: true,
    finish_if_matches: IfMatch::Quoted,
    delete_if_matches: IfMatch::Quoted,
    upload_tags: UploadTags::AtBegin,
    metadata: MetadataForm::Words,
    keys: KeyRules::ALL,
    keeps_crc64nvme: true,
    dates_writes: true,
    properties: true,
    tags: true,
    tag_count: true,
    parts: PartRules::S3,
};

/// The size in bytes of the parts of the large object: not the size that the engine would choose, so that
/// keeping the source's layout matters.
const PART_BYTES: usize = 8 << 20;

/// How many samples are written at once.
const WRITES_AT_ONCE: usize = 16;

/// How to make a cloud.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// The seed of the sample data.
    pub seed: u64,
    /// How much sample data: 1 is about a thousand objects.
    pub scale: f64,
    /// The longest time that a cutover waits.
    pub wait_max: Duration,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self { seed: 1, scale: 1.0, wait_max: Duration::from_secs(1) }
    }
}

/// The sample data of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// Objects that the dataset's globs select.
    pub selected: u64,
    /// Objects that they do not.
    pub left_out: u64,
    /// Bytes of both.
    pub bytes: ByteCount,
}

/// A local cloud that stands for the sites of a plan.
pub struct Cloud {
    stand_in: StandIn,
    clients: BTreeMap<SiteName, S3Client>,
    tables: Tables,
    filled: BTreeMap<DatasetName, Filled>,
    /// The index of each site's server.
    places: BTreeMap<SiteName, usize>,
    servers: Vec<S3Server>,
    // Dropped last: the servers' tasks live on it.
    ground: Ground,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("servers", &self.servers).field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Starts the servers, makes every container that the plan names, and fills the sources. Makes `root` if
    /// it is missing; what it holds already stays.
    pub async fn start(plan: &Plan, root: &Path, options: &CloudOptions) -> Result<Self, CloudError> {
        let root = std::path::absolute(root).map_err(io_error(format!("find {}", root.display())))?;
        let ground = Ground::lay()?;
        let (mut servers, mut places) = (Vec::new(), BTreeMap::new());
        for group in standin::servers(plan, Scheme::S3) {
            let own = S3ServerConfig::new(ACCESS_KEY, SECRET_KEY);
            let config = S3ServerConfig { region: standin::REGION.to_owned(), ..own };
            let started = ground.handle.spawn(S3Server::start(config)).await?;
            places.extend(group.into_iter().map(|site| (site, servers.len())));
            servers.push(started.map_err(io_error("start an S3 server on 127.0.0.1"))?);
        }
        let endpoints = places.iter().map(|(site, at)| (site.clone(), servers[*at].endpoint())).collect();
        let tables = Tables::start(plan, &ground.handle).await?;
        let stage = Stage { endpoints, tables: tables.endpoints(), root, wait_max: options.wait_max };
        let stand_in = standin::stand_in(plan, &stage);
        let mut clients = BTreeMap::new();
        for (site, endpoint) in stage.endpoints {
            clients.insert(site.clone(), S3Client::connect(own_config(&site, endpoint)).await?);
        }
        let mut cloud = Self { stand_in, clients, tables, filled: BTreeMap::new(), places, servers, ground };
        cloud.make_containers()?;
        cloud.tables.make_for_routes(cloud.plan()).await?;
        cloud.fill(options).await?;
        Ok(cloud)
    }

    /// The plan, with stand-ins for all that is real.
    pub fn plan(&self) -> &Plan {
        &self.stand_in.plan
    }

    /// What the stand-in plan leaves out.
    pub fn notes(&self) -> &[Note] {
        &self.stand_in.notes
    }

    /// The sample data of each source.
    pub fn filled(&self) -> &BTreeMap<DatasetName, Filled> {
        &self.filled
    }

    /// The server that stands for a site; `None` if no `s3://` location names the site.
    pub fn server(&self, site: &SiteName) -> Option<&S3Server> {
        self.places.get(site).map(|at| &self.servers[*at])
    }

    /// The server that stands for a site's tables; `None` if no `dynamodb://` location names the site.
    pub fn table_server(&self, site: &SiteName) -> Option<&DynamoServer> {
        self.tables.server(site)
    }

    /// The directory that stands for a site's own; `None` if it has none.
    pub fn directory(&self, site: &SiteName) -> Option<&Path> {
        self.plan().sites.get(site)?.directory.as_deref()
    }

    /// Opens stores at the stand-ins, for [`Sites::new`](migrate_engine::Sites::new).
    pub fn connect(&self) -> Arc<dyn Connect> {
        Arc::new(StandIns { objects: self.clients.clone(), tables: self.tables.clients().clone() })
    }

    /// A store at a stand-in, as [`connect`](Self::connect) opens it; `None` for a table, and for a directory that
    /// cannot be opened.
    pub fn store(&self, at: &Location, role: Role) -> Option<Arc<dyn ObjectStore>> {
        open(&self.clients, self.plan().sites.get(&at.site)?, at, role).ok()
    }

    /// A store at a stand-in, as an application opens it to write.
    pub(super) fn store_to_write(&self, at: &Location) -> Option<Arc<dyn ObjectStore>> {
        let store = self.store(at, Role::Target)?;
        if at.scheme == Scheme::S3 {
            store.adopt(SERVER);
        }
        Some(store)
    }

    /// The table at a place, as an application opens it; `None` for objects.
    pub(super) fn table(&self, at: &Location) -> Option<Arc<dyn TableStore>> {
        (at.scheme == Scheme::DynamoDb).then(|| self.tables.table(at)).flatten().map(|table| Arc::new(table) as _)
    }

    /// What the cloud holds now. While something writes, this is not the state of one moment.
    pub async fn end_state(&self) -> Result<EndState, StoreError> {
        let buckets = standin::buckets(self.plan());
        let tables = standin::containers(self.plan(), Scheme::DynamoDb);
        let mut digests = BTreeMap::new();
        for (name, site) in &self.plan().sites {
            let routes = self.routes(name);
            let mut state = SiteState::new(&routes);
            if let Some(server) = self.server(name) {
                for bucket in buckets.get(name).into_iter().flatten() {
                    state.bucket(server.state(), bucket);
                }
            }
            for table in tables.get(name).into_iter().flatten() {
                let at = Location {
                    scheme: Scheme::DynamoDb,
                    site: name.clone(),
                    container: table.clone(),
                    prefix: String::new(),
                };
                if let Some(store) = self.table(&at)
                    && let Some(items) = tables::contents(&*store).await?
                {
                    state.table(table, &items);
                }
            }
            if let Some(directory) = &site.directory {
                state.directory(&FileStore::open(directory.clone(), format!("file://{name}/"))?).await?;
            }
            digests.insert(name.clone(), state.finish());
        }
        Ok(EndState::of(digests))
    }

    /// Takes no more connections, lets requests in flight finish, and joins everything.
    pub async fn stop(mut self) {
        for server in std::mem::take(&mut self.servers) {
            server.stop().await;
        }
        std::mem::take(&mut self.tables).stop().await;
        // Nothing is left on the runtime, so it ends at once.
        self.ground.end();
    }

    fn routes(&self, site: &SiteName) -> Routes {
        let of = |dataset: &Dataset| {
            let route = &dataset.cutover.as_ref()?.route;
            (route.site == *site).then(|| match route.scheme {
                Scheme::File => (String::new(), route.container.clone()),
                Scheme::S3 => (route.container.clone(), route.key.clone()),
                Scheme::DynamoDb => (route.container.clone(), dataset.name.to_string()),
            })
        };
        self.plan().datasets().filter_map(of).collect()
    }

    fn make_containers(&self) -> Result<(), CloudError> {
        for at in standin::places(self.plan()) {
            match (at.scheme, self.server(&at.site), self.directory(&at.site)) {
                (Scheme::S3, Some(server), _) => server.state().create_bucket(&at.container),
                (Scheme::File, _, Some(directory)) => make_directory(&directory.join(&at.container))?,
                _ => {}
            }
        }
        let directories: BTreeSet<&PathBuf> =
            self.plan().sites.values().filter_map(|site| site.directory.as_ref()).collect();
        directories.into_iter().try_for_each(|directory| make_directory(directory))
    }

    /// Fills the sources, one dataset after the other: two may share a place, and then the later one
    /// always wins.
    async fn fill(&mut self, options: &CloudOptions) -> Result<(), CloudError> {
        let mut all = BTreeMap::new();
        for (dataset, samples) in sample::samples(self.plan(), options.seed, options.scale) {
            let Some(store) = self.store_to_write(&dataset.source) else { continue };
            let in_parts = dataset.source.scheme == Scheme::S3;
            let mut filled = Filled::default();
            let mut writes = JoinSet::new();
            for sample in samples {
                if writes.len() >= WRITES_AT_ONCE
                    && let Some(written) = writes.join_next().await
                {
                    filled.bytes.0 += written??;
                }
                *(if sample.selected { &mut filled.selected } else { &mut filled.left_out }) += 1;
                writes.spawn(write(Arc::clone(&store), sample, in_parts));
            }
            while let Some(written) = writes.join_next().await {
                filled.bytes.0 += written??;
            }
            all.insert(dataset.name.clone(), filled);
        }
        for (dataset, sample) in sample::tables(self.plan(), options.seed, options.scale) {
            self.tables.fill(&dataset.source, &sample).await?;
            let bytes = ByteCount(sample.items.iter().map(|item| item_size(item) as u64).sum());
            let filled = Filled { selected: sample.items.len() as u64, left_out: 0, bytes };
            all.insert(dataset.name.clone(), filled);
        }
        self.filled = all;
        Ok(())
    }
}

fn make_directory(path: &Path) -> Result<(), CloudError> {
    std::fs::create_dir_all(path).map_err(io_error(format!("make the directory {}", path.display())))
}

fn own_config(site: &SiteName, url: String) -> S3Config {
    S3Config {
        site: site.to_string(),
        region: standin::REGION.to_owned(),
        endpoint: Some(S3Endpoint { url, path_style: true, ca_pem: None }),
        credentials: AwsCredentials::Keys {
            id: ACCESS_KEY.to_owned(),
            secret: SECRET_KEY.to_owned(),
            session_token: None,
        },
        expected_bucket_owner: None,
    }
}

/// Opens the stand-ins of places, and nothing else.
#[derive(Debug)]
struct StandIns {
    objects: BTreeMap<SiteName, S3Client>,
    tables: BTreeMap<SiteName, DynamoClient>,
}

#[async_trait]
impl Connect for StandIns {
    async fn open(
        &self,
        _plan: &Plan,
        site: &Site,
        at: &Location,
        role: Role,
        _migration: Option<&str>,
    ) -> Result<Opened, EngineError> {
        match at.scheme {
            Scheme::S3 => open(&self.objects, site, at, role).map(Opened::Store),
            Scheme::File => Ok(Opened::Directory),
            Scheme::DynamoDb => {
                let client =
                    self.tables.get(&at.site).ok_or_else(|| nothing(site, "no server stands for its tables"))?;
                Ok(Opened::Table(Arc::new(client.table(&at.container))))
            }
        }
    }
}

fn nothing(site: &Site, detail: &str) -> EngineError {
    EngineError::Site { site: site.name.to_string(), detail: detail.to_owned() }
}

fn open(
    clients: &BTreeMap<SiteName, S3Client>,
    site: &Site,
    at: &Location,
    role: Role,
) -> Result<Arc<dyn ObjectStore>, EngineError> {
    match at.scheme {
        Scheme::S3 => {
            let client = clients.get(&at.site).ok_or_else(|| nothing(site, "no server stands for it"))?;
            let store = client.store(&at.container, &at.prefix);
            if role == Role::Source {
                // As for a real source: it is never written, so it is never probed.
                store.adopt(DatasetStores::ASSUMED);
            }
            Ok(Arc::new(store))
        }
        Scheme::File => {
            let directory = site.directory.as_ref().ok_or_else(|| nothing(site, "it has no directory in the plan"))?;
            Ok(Arc::new(FileStore::open_or_create(directory.join(&at.container), at.to_string())?))
        }
        Scheme::DynamoDb => Err(nothing(site, "a table holds no objects")),
    }
}

/// Writes a sample; returns its size in bytes.
async fn write(store: Arc<dyn ObjectStore>, sample: Sample, in_parts: bool) -> Result<u64, CloudError> {
    let making = sample.clone();
    let body = tokio::task::spawn_blocking(move || Body::new(making.body())).await?;
    let size = body.size();
    if sample.large && in_parts {
        upload(&*store, &sample, body).await?;
    } else {
        store.put(&sample.key, &body, &sample.properties, &Condition::None).await?;
    }
    Ok(size)
}

async fn upload(store: &dyn ObjectStore, sample: &Sample, whole: Body) -> Result<(), CloudError> {
    let upload = store.begin_upload(&sample.key, &sample.properties, &()).await?;
    let (mut parts, mut digests, mut offset) = (Vec::new(), Vec::new(), 0_u64);
    for (number, start) in (1..).zip((0..whole.bytes().len()).step_by(PART_BYTES)) {
        let bytes = whole.bytes().slice(start..whole.bytes().len().min(start + PART_BYTES));
        let part = tokio::task::spawn_blocking(move || Body::new(bytes)).await?;
        parts.push(store.put_part(&upload, number, offset, &part).await?);
        digests.push((part.size(), part.sha256()));
        offset += part.size();
    }
    let evidence = Evidence { crc64nvme: whole.crc64nvme(), parts: digests };
    store.finish_upload(&upload, &parts, &evidence, &sample.properties, &Condition::None).await?;
    Ok(())
}

/// A runtime on threads of its own. It ends with this value.
struct Ground {
    handle: runtime::Handle,
    ending: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ground {
    fn lay() -> Result<Self, CloudError> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("rehearsal")
            .enable_all()
            .build()
            .map_err(io_error("start a runtime"))?;
        let handle = runtime.handle().clone();
        let ending = CancellationToken::new();
        let told = ending.clone();
        // A runtime must not be dropped inside another one, so it has a thread to end on.
        let thread = thread::Builder::new()
            .name("rehearsal-ground".to_owned())
            .spawn(move || runtime.block_on(told.cancelled()))
            .map_err(io_error("start a thread"))?;
        Ok(Self { handle, ending, thread: Some(thread) })
    }

    fn end(&mut self) {
        self.ending.cancel();
        if let Some(Err(panic)) = self.thread.take().map(thread::JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_ends_where_another_runtime_runs() {
        let outer = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        outer.block_on(async {
            let mut ground = Ground::lay().unwrap();
            assert_eq!(ground.handle.spawn(async { 7 }).await.unwrap(), 7);
            ground.end();
            assert!(ground.handle.spawn(async { 7 }).await.is_err(), "nothing runs on it any more");
            drop(Ground::lay().unwrap());
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_said_of_our_server_is_what_a_probe_finds() {
        let text = "name = \"p\"\n[sites.a]\nregion = \"r\"\n[[phase]]\nname = \"one\"\n[[phase.dataset]]\n\
                    name = \"d\"\nsource = \"s3://a/from/\"\ntargets = [\"s3://a/into/\"]\n";
        let plan = migrate_core::plan::parse(text, Path::new("p.toml")).unwrap();
        let root = tempfile::tempdir().unwrap();
        let options = CloudOptions { scale: 0.01, ..CloudOptions::default() };
        let cloud = Cloud::start(&plan, root.path(), &options).await.unwrap();
        let target = &cloud.plan().datasets().next().unwrap().targets[0].at;
        let found = cloud.store(target, Role::Target).unwrap().probe().await.unwrap();
        assert_eq!(found, SERVER);
        assert!(PART_BYTES as u64 >= SERVER.parts.size_min);
        cloud.stop().await;
    }
}
