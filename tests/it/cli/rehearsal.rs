//! `migrate rehearse`: the whole plan, with nothing real.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use serde_json::Value;

use super::{Bench, Ran, copy_tree};

const MISSION: &str = "plans/global-expansion.toml";

fn mission() -> Bench {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("plans"), &bench.path("plans"));
    bench
}

fn ended(ran: &Ran) -> Value {
    let last = ran.events().pop().unwrap();
    assert_eq!(last["event"], "rehearsal_ended", "{last}");
    last
}

/// Every lead ends where the plan wants it, and two rehearsals end in the same state.
#[test]
fn the_mission_ends_with_all_leads_where_the_plan_wants_them_and_a_seed_ends_alike() {
    let bench = mission();
    let rehearse = || bench.expect(0, &["rehearse", MISSION, "--seed", "7", "--scale", "0.05", "--json"]);
    let ran = rehearse();
    let first = ended(&ran);
    let brought = ran.events().into_iter().filter(|event| event["event"] == "brought_over");
    let brought: BTreeSet<_> = brought.map(|event| event["dataset"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        brought,
        ["accounts", "messages"].map(str::to_owned).into(),
        "what the applications wrote before the move"
    );
    let leads: Vec<_> = first["datasets"].as_array().unwrap().iter().map(|row| row["lead"].as_str().unwrap()).collect();
    let stays = ["accounts-in", "accounts-br"];
    assert_eq!(
        leads,
        [
            "singapore",
            "singapore",
            "singapore",
            "oregon and singapore",
            "oregon and singapore",
            "singapore",
            "mumbai",
            "singapore"
        ]
    );
    for row in first["datasets"].as_array().unwrap() {
        // The lead of a part of another table stays.
        let stays = stays.contains(&row["name"].as_str().unwrap());
        let ended: (Value, Value) = if stays { ("verified".into(), 0.into()) } else { ("cut_over".into(), 1.into()) };
        assert_eq!((&row["state"], &row["epoch"]), (&ended.0, &ended.1), "{row}");
    }
    for promise in first["promises"].as_array().unwrap() {
        assert_eq!(promise["broken"], Value::Array(Vec::new()), "{promise}");
        assert_eq!((&promise["written_at_old_lead"], &promise["written_at_new_lead"]), (&40.into(), &20.into()));
    }
    assert_eq!(first["promises"].as_array().unwrap().len(), 2, "both live datasets have a writer");
    assert_eq!(ended(&rehearse())["end_state"], first["end_state"]);
}

#[test]
fn a_rehearsal_can_stop_before_the_cutover_and_answers_people_too() {
    let bench = mission();
    let ran = bench.expect(0, &["rehearse", MISSION, "--scale", "0.05", "--until", "verified"]);
    assert!(ran.out.contains("rehearsal of global-expansion: complete in "), "{}", ran.out);
    let wrote = ": an application wrote 40× at the old lead, 0× at the new one; 0 lost\n";
    assert!(ran.out.contains(wrote), "{}", ran.out);
    assert!(ran.out.contains(" comparisons, 0 differences") && ran.out.contains("objects read once"), "{}", ran.out);
    for line in ran.out.lines() {
        assert!(line.chars().count() <= 80 || line.starts_with("ledger: "), "{line}");
    }
    let told = ran.err.lines().count();
    assert!(told < 40, "{told} lines for a pipe: {}", ran.err);
    assert_eq!(ran.next_commands(), ["migrate plan plans/global-expansion.toml"]);
    assert!(!bench.path("plans/.migrate/global-expansion").exists(), "the real state is not touched");
    let mode = fs::metadata(bench.path("plans/.migrate/.rehearsal/global-expansion")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    bench.expect(2, &["rehearse", MISSION, "--scale", "0"]);
}

#[test]
fn the_quickstart_and_the_template_rehearse() {
    let bench = mission();
    let [first, other] = ["7", "8"].map(|seed| {
        let ran = bench.expect(0, &["rehearse", "plans/quickstart.toml", "--scale", "0.05", "--seed", seed, "--json"]);
        ended(&ran)["end_state"].clone()
    });
    assert_ne!(first, other, "another seed, other data");
    assert!(!bench.path("examples").exists(), "the real directories are not touched");
    let template = bench.expect(0, &["rehearse", "plans/on-premises-to-aws.toml", "--scale", "0.05", "--json"]);
    let storefront = &ended(&template)["datasets"][0];
    assert_eq!((&storefront["name"], &storefront["epoch"]), (&"storefront".into(), &1.into()), "its lead moves");
}

/// No application has to rest if its lead stays; the rehearsal ends all the same.
#[test]
fn a_live_dataset_whose_lead_stays_is_rehearsed_to_its_end() {
    let bench = Bench::new(&[]);
    bench.plan("", "live = true");
    let ran = bench.expect(0, &["rehearse", "plan.toml", "--scale", "0.05", "--json"]);
    let promise = &ended(&ran)["promises"][0];
    assert_eq!((&promise["written_at_old_lead"], &promise["written_at_new_lead"]), (&40.into(), &0.into()));
    assert_eq!(promise["broken"], Value::Array(Vec::new()));
}

/// The table of the routes is made as buckets are, and what differs between two routes that say the same does not count.
#[test]
fn a_route_in_a_table_is_rehearsed_and_a_seed_ends_alike() {
    let bench = Bench::new(&[]);
    let site = "[sites.control]\ndynamodb = { endpoint = \"https://ddb.example.com\", region = \"r\" }\n\
                credentials = { profile = \"real\" }";
    let route = super::CUTOVER.replace("file://there/routes/files.json", "dynamodb://control/routes");
    bench.plan_with("", site, &format!("live = true\n{route}"));
    let args = ["rehearse", "plan.toml", "--scale", "0.05", "--seed", "7", "--json"];
    let [first, second] = [(), ()].map(|()| ended(&bench.expect(0, &args)));
    let row = &first["datasets"][0];
    assert_eq!((&row["state"], &row["lead"], &row["epoch"]), (&"cut_over".into(), &"there".into(), &1.into()), "{row}");
    let promise = &first["promises"][0];
    assert_eq!((&promise["written_at_old_lead"], &promise["written_at_new_lead"]), (&40.into(), &20.into()));
    assert_eq!(promise["broken"], Value::Array(Vec::new()));
    assert_eq!(first["end_state"], second["end_state"]);
}

/// Counts connections: a rehearsal must make none here.
struct Tripwire {
    address: String,
    touched: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Tripwire {
    fn lay() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (touched, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, told) = (Arc::clone(&touched), Arc::clone(&over));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let _closed = stream.map(|mut stream| stream.read(&mut [0; 1]));
            }
        });
        Self { address, touched, over, thread: Some(thread) }
    }

    /// Ends it; returns the number of connections.
    fn touched(&mut self) -> u64 {
        let touched = self.touched.load(Ordering::SeqCst);
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
        self.thread.take().unwrap().join().unwrap();
        touched
    }
}

/// A program that leaves a trace if it runs.
fn trap(bench: &Bench, name: &str, trace: &Path) -> String {
    let path = bench.path(name);
    bench.write(name, &format!("#!/bin/sh\necho touched >> '{}'\n", trace.display()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

/// Everything that a plan can name and a rehearsal must not touch leaves a trace here when touched:
/// endpoints, directories, routes, credentials of every kind, hooks, a CDN, probes, proxies.
#[test]
fn a_rehearsal_touches_nothing_real() {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    let (mut endpoint, mut proxy) = (Tripwire::lay(), Tripwire::lay());
    let trace = bench.path("trace");
    let hook = trap(&bench, "hook.sh", &trace);
    let process = trap(&bench, "credentials.sh", &trace);
    bench.write("files/data/one.txt", "the only one");
    bench.write(
        "aws-config",
        &format!("[default]\ncredential_process = {process}\n[profile real]\ncredential_process = {process}\n"),
    );
    let at = &endpoint.address;
    let cutover = |route: &str| {
        format!(
            "[phase.dataset.cutover]\nfence = \"none\"\naccept_unfenced = true\nquiet = \"1h\"\nroute = \"{route}\"\n\
             canary = {{ profile = \"real\" }}\nprobe = [\"http://{at}/health\"]\n\
             cdn = {{ kind = \"akamai\", purge = [\"http://{at}/*\"] }}\n\
             hooks = {{ before_switch = [\"{hook}\"], after_switch = [\"{hook}\"] }}\n"
        )
    };
    let plan = format!(
        "name = \"trapped\"\n\
         [sites.env]\ns3 = {{ endpoint = \"http://{at}\", path_style = true }}\ncredentials = {{ env = \"REAL\" }}\n\
         [sites.profile]\ns3 = {{ endpoint = \"http://{at}\", path_style = true }}\ncredentials = {{ profile = \"real\" }}\n\
         [sites.ambient]\nregion = \"eu-central-1\"\n\
         [sites.disk]\ndirectory = \"files\"\n[sites.other]\ndirectory = \"copies\"\n\
         [[phase]]\nname = \"one\"\n\
         [[phase.dataset]]\nname = \"objects\"\nlive = true\nsource = \"s3://env/objects/\"\n\
         targets = [\"s3://profile/objects-copy/\", \"s3://ambient/objects-aws/\"]\nlead = \"ambient\"\n{}\
         [[phase.dataset]]\nname = \"files\"\nsource = \"file://disk/data\"\ntargets = [\"file://other/files\"]\n\
         waive = [\"properties\"]\n{}",
        cutover("s3://ambient/control/objects.json"),
        cutover("file://disk/routes/files.json"),
    );
    bench.write("plan.toml", &plan);
    let mut command = bench.command(&["rehearse", "plan.toml", "--scale", "0.05", "--json"]);
    let url = format!("http://{}", proxy.address);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, &url);
    }
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
        command.env(name, format!("http://{}", endpoint.address));
    }
    let config = bench.path("aws-config");
    command.env("AWS_CONFIG_FILE", &config).env("AWS_SHARED_CREDENTIALS_FILE", &config).env("AWS_PROFILE", "real");
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", endpoint.address));
    for (name, value) in
        [("ACCESS_KEY_ID", "real-id"), ("SECRET_ACCESS_KEY", "real-secret"), ("SESSION_TOKEN", "real-token")]
    {
        command.env(format!("AWS_{name}"), value).env(format!("REAL_{name}"), value);
    }
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");

    assert_eq!((endpoint.touched(), proxy.touched()), (0, 0), "somebody connected");
    assert!(!trace.exists(), "a program was run: {}", fs::read_to_string(&trace).unwrap_or_default());
    let held: Vec<_> = fs::read_dir(bench.path("files")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(held, ["data"]);
    let held: Vec<_> =
        fs::read_dir(bench.path("files/data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(held, ["one.txt"]);
    assert_eq!(fs::read_to_string(bench.path("files/data/one.txt")).unwrap(), "the only one");
    assert!(!bench.path("copies").exists(), "a target directory was made");
    assert!(!bench.path(".migrate/trapped").exists(), "the real state directory was made");
    for secret in ["real-id", "real-secret", "real-token"] {
        assert!(!out.contains(secret) && !err.contains(secret), "{secret} was told");
    }
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let left_out = last["left_out"].to_string();
    for what in ["hook before_switch of objects", "cdn of files", "canary of objects", "probe http://"] {
        assert!(left_out.contains(what), "{what}: {left_out}");
    }
}

/// The traces themselves work: a real run of the same kind of plan leaves them.
#[test]
fn the_tripwires_can_be_tripped() {
    let bench = Bench { root: tempfile::tempdir().unwrap() };
    let mut endpoint = Tripwire::lay();
    let trace = bench.path("trace");
    let process = trap(&bench, "credentials.sh", &trace);
    bench.write("aws-config", &format!("[profile real]\ncredential_process = {process}\n"));
    let at = &endpoint.address;
    for target in ["env", "profile"] {
        let plan = format!(
            "name = \"trapped\"\n[sites.profile]\n\
             s3 = {{ endpoint = \"http://{at}\", path_style = true }}\ncredentials = {{ profile = \"real\" }}\n\
             [sites.env]\ns3 = {{ endpoint = \"http://{at}\", path_style = true }}\ncredentials = {{ env = \"REAL\" }}\n\
             [[phase]]\nname = \"one\"\n[[phase.dataset]]\nname = \"d\"\nsource = \"s3://env/objects/\"\n\
             targets = [\"s3://{target}/objects-copy/\"]\n"
        );
        bench.write("plan.toml", &plan);
        let mut command = bench.command(&["plan", "plan.toml"]);
        command.env("AWS_CONFIG_FILE", bench.path("aws-config")).env("REAL_ACCESS_KEY_ID", "a");
        command.env("REAL_SECRET_ACCESS_KEY", "b").env_remove("AWS_PROFILE");
        assert_ne!(command.output().unwrap().status.code(), Some(0));
    }
    assert!(endpoint.touched() > 0, "nobody connected");
    assert!(trace.exists(), "the program for credentials was not run");
}
