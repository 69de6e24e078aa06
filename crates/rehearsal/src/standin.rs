//! A plan, and the same plan with a stand-in for everything that is real.
//!
//! # What stays
//!
//! Names, phases and their order, locations, selection, residency, levels, shares and rates: the rehearsal is
//! of this plan, not of one like it.
//!
//! # What goes
//!
//! Every address, directory, identity and account, everything that runs a program or asks a host of the
//! world, and the waiting. A list names what was taken out, so that a rehearsal is not mistaken for a proof
//! of it. The result begins empty and gets only what is known to be harmless, so a field that a later version
//! adds to a site is left out until it is added here.
//!
//! # One place stays one place
//!
//! Two sites may name the same bucket or directory (two identities, two regions' names for one
//! bucket). They get the same server, and directories that lie in each other still do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use migrate_core::{
    model::{DatasetName, SiteName},
    plan::{
        Credentials, Cutover, Dataset, Endpoint, Fence, FinalVerify, Limits, Location, Plan, Retire, Scheme, Site,
        Unsupported,
    },
};

/// The prefix of a site's credentials in a rehearsal: no environment sets such variables, so code that read
/// them by mistake would find nothing.
const NO_CREDENTIALS: &str = "MIGRATE_REHEARSAL_HAS_NONE";

/// The keys of every server. They open nothing but sample data on this machine.
pub(super) const ACCESS_KEY: &str = "rehearsal";
pub(super) const SECRET_KEY: &str = "rehearsal-opens-nothing-real";

/// The region of every stand-in.
pub(super) const REGION: &str = "us-east-1";

/// Keys that a cutover no longer has in a rehearsal, whether the build knows them or not.
const TAKEN_OUT: [&str; 4] = ["cutover.hooks", "cutover.cdn", "cutover.canary", "cutover.probe"];

/// Where the stand-ins are, and how long they wait.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The endpoint of each site that has any `s3://` location, as `http://127.0.0.1:PORT`.
    pub endpoints: BTreeMap<SiteName, String>,
    /// The same for sites with `dynamodb://` locations.
    pub tables: BTreeMap<SiteName, String>,
    /// The directory that holds everything else.
    pub root: PathBuf,
    /// The longest time that a cutover waits.
    pub wait_max: Duration,
}

/// A plan whose sites are stand-ins.
#[derive(Debug, Clone)]
pub struct StandIn {
    /// The plan.
    pub plan: Plan,
    /// What was left out of it.
    pub notes: Vec<Note>,
}

/// Something that a rehearsal leaves out, for people: `hook after_switch of storefront: not run in a
/// rehearsal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The thing, and what it belongs to.
    pub what: String,
    /// What happens instead.
    pub instead: &'static str,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.instead)
    }
}

/// Replaces all that is real in a plan.
pub fn stand_in(plan: &Plan, stage: &Stage) -> StandIn {
    let mut notes = Vec::new();
    let directories = directories(plan, &stage.root);
    let site = |(name, site): (&SiteName, &Site)| {
        let mut replaced = replaced_site(site, directories.get(name), &mut notes);
        replaced.s3 = stage.endpoints.get(name).map(|url| server(url));
        replaced.dynamodb = stage.tables.get(name).map(|url| server(url));
        (name.clone(), replaced)
    };
    let sites = plan.sites.iter().map(site).collect();
    let mut phases = plan.phases.clone();
    for dataset in phases.iter_mut().flat_map(|phase| &mut phase.datasets) {
        without_the_world(dataset, stage.wait_max, &mut notes);
    }
    let plan = Plan {
        name: plan.name.clone(),
        // For messages alone, so its name is enough.
        file: plan.file.file_name().map(PathBuf::from).unwrap_or_default(),
        directory: stage.root.clone(),
        redact_keys: plan.redact_keys,
        sites,
        policies: plan.policies.clone(),
        phases,
    };
    StandIn { plan, notes }
}

fn server(url: &str) -> Endpoint {
    Endpoint { url: url.to_owned(), region: REGION.to_owned(), path_style: true, ca_file: None }
}

fn replaced_site(site: &Site, directory: Option<&PathBuf>, notes: &mut Vec<Note>) -> Site {
    if site.limits.window.is_some() {
        let what = format!("hours of work at {}", site.name);
        notes.push(Note { what, instead: "not waited for in a rehearsal" });
    }
    Site {
        jurisdiction: site.jurisdiction.clone(),
        directory: directory.cloned(),
        credentials: Credentials::Env { prefix: NO_CREDENTIALS.to_owned() },
        limits: Limits { window: None, ..site.limits.clone() },
        ..Site::empty(site.name.clone())
    }
}

/// Removes from a dataset all that runs a program or asks a host, and shortens its waits.
fn without_the_world(dataset: &mut Dataset, wait_max: Duration, notes: &mut Vec<Note>) {
    let name = dataset.name.clone();
    let Some(cutover) = &mut dataset.cutover else { return };
    let mut gone: BTreeSet<&str> = TAKEN_OUT.into();
    if cutover.fence == Fence::Hook {
        // The fence is a program of the plan's owner: only the fence `none` can stand for it.
        cutover.fence = Fence::None;
        cutover.final_verify = FinalVerify::Full;
        gone.insert("cutover.fence");
    }
    note_what_goes(cutover, &name, notes);
    cutover.hooks.clear();
    cutover.cdn = None;
    cutover.canary = None;
    cutover.probe.clear();
    for wait in [&mut cutover.quiet, &mut cutover.settle, &mut cutover.route_max_age] {
        *wait = (*wait).min(wait_max);
    }
    dataset.unsupported.retain(|key: &Unsupported| !gone.contains(key.key.as_str()));
    if dataset.retire == Retire::Delete {
        let what = format!("retire = \"delete\" of {name}");
        notes.push(Note { what, instead: "deletes only what the rehearsal made" });
    }
}

fn note_what_goes(cutover: &Cutover, dataset: &DatasetName, notes: &mut Vec<Note>) {
    for hook in cutover.hooks.keys() {
        let what = format!("hook {hook} of {dataset}");
        notes.push(Note { what, instead: "not run in a rehearsal" });
    }
    if cutover.cdn.is_some() {
        notes.push(Note { what: format!("cdn of {dataset}"), instead: "not purged in a rehearsal" });
    }
    if cutover.canary.is_some() {
        notes.push(Note { what: format!("canary of {dataset}"), instead: "not used in a rehearsal" });
    }
    for url in &cutover.probe {
        notes.push(Note { what: format!("probe {url} of {dataset}"), instead: "not asked in a rehearsal" });
    }
}

/// The place below `root` for the directory of each site that has one. A directory inside another site's
/// directory is inside its stand-in again; the others each have one of their own.
fn directories(plan: &Plan, root: &Path) -> BTreeMap<SiteName, PathBuf> {
    let at = |name: &SiteName| Location {
        scheme: Scheme::File,
        site: name.clone(),
        container: ".".to_owned(),
        prefix: String::new(),
    };
    let named = || plan.sites.values().filter(|site| site.directory.is_some()).map(|site| &site.name);
    let directory = |inner: &SiteName| {
        // The outermost directory is the one with the longest way down to this one. Of two names for one
        // directory the first counts. A way that leads up again, as from "." to "../data", would lead out of
        // the root.
        let up = |below: &String| below.split('/').any(|folder| folder == "..");
        let ways =
            named().filter_map(|outer| Some((plan.below(&at(outer), &at(inner)).filter(|way| !up(way))?, outer)));
        let (below, outer) = ways.max_by_key(|(below, outer)| (below.len(), std::cmp::Reverse(outer.as_str())))?;
        let folders = below.split('/').filter(|folder| !folder.is_empty());
        Some([outer.as_str()].into_iter().chain(folders).fold(root.to_owned(), |path, folder| path.join(folder)))
    };
    named().filter_map(|name| Some((name.clone(), directory(name)?))).collect()
}

/// The buckets of a plan by site, those of routes too; a site without buckets is left out.
pub(super) fn buckets(plan: &Plan) -> BTreeMap<SiteName, BTreeSet<String>> {
    containers(plan, Scheme::S3)
}

/// The buckets or tables of a plan by site.
pub(super) fn containers(plan: &Plan, scheme: Scheme) -> BTreeMap<SiteName, BTreeSet<String>> {
    let mut found: BTreeMap<SiteName, BTreeSet<String>> = BTreeMap::new();
    for place in places(plan).into_iter().filter(|place| place.scheme == scheme) {
        found.entry(place.site).or_default().insert(place.container);
    }
    found
}

/// Every place that a plan names: sources, targets, and the containers of routes.
pub(super) fn places(plan: &Plan) -> Vec<Location> {
    let mut found = Vec::new();
    for dataset in plan.datasets() {
        found.push(dataset.source.clone());
        found.extend(dataset.targets.iter().map(|target| target.at.clone()));
        let Some(route) = dataset.cutover.as_ref().map(|cutover| &cutover.route) else { continue };
        let container = match route.scheme {
            // The container of a file is the directory above it, or the site's own directory.
            Scheme::File => route.container.rsplit_once('/').map_or(".", |(folder, _)| folder),
            Scheme::S3 | Scheme::DynamoDb => &route.container,
        };
        found.push(Location {
            scheme: route.scheme,
            site: route.site.clone(),
            container: container.to_owned(),
            prefix: String::new(),
        });
    }
    found
}

/// The tables that hold routes.
pub(super) fn route_tables(plan: &Plan) -> BTreeSet<Location> {
    let routes = plan.datasets().filter_map(|dataset| dataset.cutover.as_ref()).map(|cutover| &cutover.route);
    routes.filter(|route| route.scheme == Scheme::DynamoDb).map(|route| route.folder_and_name().0).collect()
}

/// The sites that need a server for buckets or for tables; sites that name the same one are grouped.
pub(super) fn servers(plan: &Plan, scheme: Scheme) -> Vec<Vec<SiteName>> {
    let buckets = containers(plan, scheme);
    let at = |site: &SiteName, bucket: &String| Location {
        scheme,
        site: site.clone(),
        container: bucket.clone(),
        prefix: String::new(),
    };
    let share = |a: &SiteName, b: &SiteName| {
        buckets[a]
            .iter()
            .any(|bucket| plan.below(&at(a, bucket), &at(b, bucket)).is_some() && buckets[b].contains(bucket))
    };
    let mut groups: Vec<Vec<SiteName>> = Vec::new();
    for site in buckets.keys() {
        let (together, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.iter().any(|other| share(site, other)));
        groups = apart;
        groups.push(together.into_iter().flatten().chain([site.clone()]).collect());
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::plan::{self, Diagnostic};

    const WAIT: Duration = Duration::from_millis(50);

    fn read(text: &str, file: &str) -> Plan {
        plan::parse(text, Path::new(file)).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    fn replaced(plan: &Plan) -> StandIn {
        let endpoints = |scheme| {
            let sites = containers(plan, scheme).into_keys();
            sites.map(|site| (site, "http://127.0.0.1:4711".to_owned())).collect()
        };
        let (endpoints, tables) = (endpoints(Scheme::S3), endpoints(Scheme::DynamoDb));
        stand_in(plan, &Stage { endpoints, tables, root: "/stage".into(), wait_max: WAIT })
    }

    /// A plan with everything in it that a rehearsal must not touch.
    const REAL: &str = r#"
name = "real"
[sites.origin]
jurisdiction = "CN"
region = "cn-real-1"
s3 = { endpoint = "https://s3.real.example.com", region = "real-1", path_style = false, ca_file = "real-ca.pem" }
dynamodb = { endpoint = "https://ddb.real.example.com", ca_file = "real-ca.pem" }
credentials = { env = "REAL" }
directory = "/srv/real-data"
expected_bucket_owner = "999988887777"
limits = { bandwidth = "10MB/s", requests_per_second = 7, window = "22:00-07:00 Asia/Shanghai" }
[sites.there]
region = "eu-real-2"
jurisdiction = "SG"
[sites.role]
region = "eu-real-3"
directory = "real-relative"
credentials = { role_arn = "arn:aws:iam::999988887777:role/real", external_id = "real-external" }
[sites.named]
region = "eu-real-4"
credentials = { profile = "real-profile" }
[[policy]]
class = "personal"
stays_in = ["SG"]
[[phase]]
name = "one"
[[phase.dataset]]
name = "shop"
class = "personal"
source = "s3://origin/shop/x/"
targets = ["s3://there/shop-copy/"]
include = ["**/*.html"]
[phase.dataset.cutover]
fence = "bucket-policy"
canary = { profile = "real-canary" }
route = "s3://there/control/shop.json"
route_max_age = "30s"
settle = "1ms"
quiet = "5m"
hooks = { before_switch = ["./real-before.sh"], after_switch = ["./real-hook.sh", "now"] }
cdn = { kind = "akamai", purge = ["https://www.real.example.com/*"] }
probe = ["https://www.real.example.com/health"]
[[phase.dataset]]
name = "files"
source = "file://origin/files"
targets = ["file://role/files", "s3://named/files-copy/"]
lead = "named"
waive = ["properties"]
[phase.dataset.cutover]
fence = "hook"
final_verify = "incremental"
hooks = { fence = ["./real-fence.sh"], unfence = ["./real-unfence.sh"] }
route = "file://role/routes/files.json"
"#;

    #[test]
    fn nothing_that_is_real_can_be_reached_from_a_stand_in() {
        let real = read(REAL, "/etc/real/plan.toml");
        let traces = [
            "real.example.com",
            "real-1",
            "real-2",
            "real-3",
            "real-4",
            "real-ca",
            "REAL",
            "/srv",
            "/etc",
            "real-relative",
            "9999",
            "real-external",
            "real-profile",
            "real-canary",
            "real-hook",
            "real-before",
            "real-fence",
            "real-unfence",
            "Ambient",
            "Profile",
            "Role {",
            "Akamai",
            "Window",
            "https",
        ];
        let before = format!("{real:?}");
        for trace in traces {
            assert!(before.contains(trace), "{trace:?} is not in the plan, so it proves nothing");
        }
        let after = format!("{:?}", replaced(&real).plan);
        for trace in traces {
            assert!(!after.contains(trace), "{trace:?} is still there: {after}");
        }
        let sites = replaced(&real).plan.sites;
        assert!(sites.values().all(|site| site.dynamodb.is_none() && site.region.is_none()));
    }

    #[test]
    fn what_the_plan_means_stays() {
        let real = read(REAL, "plan.toml");
        let StandIn { plan, .. } = replaced(&real);
        let meanings = |plan: &Plan| plan.datasets().map(Dataset::meaning).collect::<Vec<_>>();
        assert_eq!(meanings(&plan), meanings(&real));
        assert_eq!(plan.policies, real.policies);
        for (name, site) in &real.sites {
            assert_eq!(plan.sites[name].jurisdiction, site.jurisdiction);
            assert_eq!(plan.sites[name].limits.bandwidth, site.limits.bandwidth);
            assert_eq!(plan.sites[name].limits.requests_per_second, site.limits.requests_per_second);
        }
        let cutover = |index| plan.datasets().nth(index).and_then(|dataset| dataset.cutover.clone()).unwrap();
        assert_eq!((cutover(0).fence, cutover(1).fence), (Fence::BucketPolicy, Fence::None));
        assert_eq!(cutover(1).final_verify, FinalVerify::Full, "as an unfenced cutover needs it");
        assert_eq!((cutover(0).quiet, cutover(0).settle), (WAIT, Duration::from_millis(1)));
        assert_eq!(cutover(0).route_max_age, WAIT);
    }

    #[test]
    fn what_goes_is_said() {
        let notes: Vec<String> = replaced(&read(REAL, "plan.toml")).notes.iter().map(Note::to_string).collect();
        assert_eq!(
            notes,
            [
                "hours of work at origin: not waited for in a rehearsal",
                "hook after_switch of shop: not run in a rehearsal",
                "hook before_switch of shop: not run in a rehearsal",
                "cdn of shop: not purged in a rehearsal",
                "canary of shop: not used in a rehearsal",
                "probe https://www.real.example.com/health of shop: not asked in a rehearsal",
                "hook fence of files: not run in a rehearsal",
                "hook unfence of files: not run in a rehearsal",
            ]
        );
    }

    #[test]
    fn keys_that_went_no_longer_refuse_a_run_and_others_do() {
        let mut real = read(REAL, "plan.toml");
        let key = |key: &str| Unsupported { key: key.to_owned(), problem: Diagnostic::default(), cutover_only: true };
        let keys = ["cutover.hooks", "cutover.cdn", "cutover.canary", "cutover.probe", "cutover.fence", "live"];
        for dataset in &mut real.phases[0].datasets {
            dataset.unsupported = keys.map(key).into();
        }
        let StandIn { plan, .. } = replaced(&real);
        let left = |index: usize| -> Vec<&str> {
            plan.phases[0].datasets[index].unsupported.iter().map(|one| one.key.as_str()).collect()
        };
        assert_eq!(left(0), ["cutover.fence", "live"], "a fence by policy stays what it is");
        assert_eq!(left(1), ["live"], "the fence was a hook");
    }

    #[test]
    fn directories_keep_lying_in_each_other() {
        let text = r#"
name = "p"
[sites.whole]
directory = "../data"
[sites.part]
directory = "/plans/x/../../data/in/side/"
[sites.again]
directory = "../data"
[sites.apart]
directory = "../database"
[[phase]]
name = "one"
[[phase.dataset]]
name = "d"
source = "file://whole/a"
targets = ["file://apart/a"]
waive = ["properties"]
"#;
        let StandIn { plan, .. } = replaced(&read(text, "/plans/p.toml"));
        let directory = |name: &str| {
            let site = &plan.sites[&SiteName::new(name).unwrap()];
            site.directory.as_ref().unwrap().display().to_string()
        };
        assert_eq!(directory("again"), "/stage/again");
        assert_eq!(directory("whole"), "/stage/again", "two names of one directory");
        assert_eq!(directory("part"), "/stage/again/in/side");
        assert_eq!(directory("apart"), "/stage/apart");
    }

    #[test]
    fn sites_that_name_one_bucket_share_a_server() {
        let text = r#"
name = "p"
[sites.origin]
s3 = { endpoint = "https://s3.example.com" }
credentials = { env = "A" }
[sites.origin-again]
s3 = { endpoint = "https://S3.example.com" }
credentials = { env = "B" }
[sites.aws]
region = "us-west-1"
[sites.aws-again]
region = "us-west-1"
credentials = { profile = "b" }
[sites.other]
region = "us-west-2"
[[phase]]
name = "one"
[[phase.dataset]]
name = "d"
source = "s3://origin/data/x/"
targets = ["s3://aws/copy/"]
[[phase.dataset]]
name = "e"
source = "s3://origin-again/data/y/"
targets = ["s3://other/elsewhere/"]
[[phase]]
name = "two"
after = ["one"]
[[phase.dataset]]
name = "f"
source = "s3://aws-again/copy/in/"
targets = ["s3://other/in/"]
"#;
        let text = text.replace("s3://other/in/", "s3://other/inside/");
        let groups = servers(&read(&text, "p.toml"), Scheme::S3);
        let mut groups: Vec<String> =
            groups.iter().map(|group| group.iter().map(SiteName::as_str).collect::<Vec<_>>().join(" ")).collect();
        groups.sort();
        assert_eq!(groups, ["aws aws-again", "origin origin-again", "other"]);
    }

    #[test]
    fn places_hold_the_routes_too() {
        let found: Vec<String> = places(&read(REAL, "p.toml")).iter().map(Location::to_string).collect();
        assert!(found.contains(&"s3://there/control".to_owned()), "{found:?}");
        assert!(found.contains(&"file://role/routes".to_owned()), "{found:?}");
    }
}
