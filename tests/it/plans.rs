//! The plans that ship, the example of the language, and the diagnostics of wrong plans.

use std::{
    fs,
    path::{Path, PathBuf},
};

use migrate::plan::{self, Diagnostics, Plan};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn plan_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("plans")).expect("plans/ is there");
    let entries = entries.map(|entry| entry.expect("it can be read").path());
    let mut files: Vec<_> = entries.filter(|path| path.file_name().is_some_and(|name| name != "schema.json")).collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn parsed(path: &Path) -> Plan {
    plan::parse(&read(path), path).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn every_plan_that_ships_checks_and_names_the_schema() {
    let files = plan_files();
    assert!(files.len() >= 2, "{files:?}");
    for path in files {
        let text = read(&path);
        assert_eq!(text.lines().next(), Some("#:schema ./schema.json"), "{}", path.display());
        let plan = parsed(&path);
        assert_eq!(Some(plan.name.as_str()), path.file_stem().and_then(|stem| stem.to_str()));
    }
}

/// `MIGRATE_BLESS=1 cargo test --test it schema` writes the file afresh.
#[test]
fn the_schema_that_ships_is_the_derived_one() {
    let path = root().join("plans/schema.json");
    let derived = format!("{:#}\n", plan::schema());
    if std::env::var_os("MIGRATE_BLESS").is_some() {
        fs::write(&path, &derived).unwrap();
    }
    assert!(read(&path) == derived, "plans/schema.json is stale: run this test with MIGRATE_BLESS=1");
}

#[test]
fn plans_survive_printing_as_toml_and_as_json() {
    let mut files = plan_files();
    files.push(root().join("tests/it/data/global-expansion.toml"));
    for path in files {
        let text = read(&path);
        let read = plan::read(&text, &path).unwrap_or_else(|wrong| panic!("{wrong}"));
        let toml = read.to_toml().unwrap();
        assert_eq!(plan::read(&toml, Path::new("again.toml")), Ok(read.clone()), "{toml}");
        let json = format!("{:#}", read.to_json());
        assert_eq!(plan::read(&json, Path::new("again.json")), Ok(read), "{json}");
        assert!(plan::parse(&json, Path::new("again")).is_ok(), "a plan that begins with a brace is JSON");
    }
}

#[test]
fn the_quickstart_runs_with_what_is_built_and_its_sources_are_there() {
    let path = root().join("plans/quickstart.toml");
    let plan = parsed(&path);
    let phases: Vec<_> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["e-commerce", "accounts-and-messaging", "local-regions"]);
    assert!(plan.phases[0].datasets.iter().any(|dataset| dataset.targets.len() > 1));
    for dataset in plan.datasets() {
        assert_eq!(dataset.unsupported, [], "{}", dataset.name);
        let site = &plan.sites[&dataset.source.site];
        if site.name.as_str() == "beijing" {
            let source = plan.resolve(site.directory.as_deref().unwrap()).join(&dataset.source.container);
            assert!(fs::read_dir(&source).unwrap().count() > 0, "{}", source.display());
        }
    }
}

#[test]
fn the_example_of_the_language_checks() {
    let plan = parsed(&root().join("tests/it/data/global-expansion.toml"));
    let unsupported = |name: &str| -> Vec<(String, bool)> {
        let dataset = plan.datasets().find(|dataset| dataset.name.as_str() == name).unwrap();
        dataset.unsupported.iter().map(|one| (one.key.clone(), one.cutover_only)).collect()
    };
    let owned = |list: &[(&str, bool)]| list.iter().map(|(key, only)| ((*key).to_owned(), *only)).collect::<Vec<_>>();
    assert_eq!(
        unsupported("storefront"),
        owned(
            &["cutover.fence", "cutover.canary", "cutover.hooks", "cutover.cdn", "cutover.probe"]
                .map(|key| (key, true))
        )
    );
    assert_eq!(unsupported("accounts"), owned(&[("cutover.fence", true), ("cutover.hooks", true),]));
    assert!(unsupported("accounts-in").contains(&("retire".to_owned(), true)));

    let dataset = plan.datasets().next().unwrap();
    let hooks = plan.datasets().nth(1).unwrap().unsupported.iter().find(|one| one.key == "cutover.hooks").unwrap();
    let text = read(&root().join("tests/it/data/global-expansion.toml"));
    assert!(
        text.lines().nth(hooks.problem.line - 1).unwrap()[hooks.problem.column - 1..].starts_with("{ fence = "),
        "{hooks:?}"
    );
    assert_eq!(dataset.delete_share_permille, 100);
    assert_eq!(plan.sites[&dataset.source.site].limits.bandwidth, Some(400_000_000));
}

#[test]
fn a_meaning_does_not_depend_on_how_the_plan_is_written() {
    let path = root().join("tests/it/data/global-expansion.toml");
    let text = read(&path);
    let meaning = |text: &str| -> Vec<serde_json::Value> {
        let plan = plan::parse(text, &path).unwrap_or_else(|wrong| panic!("{wrong}"));
        plan.datasets().map(plan::Dataset::meaning).collect()
    };
    let before = meaning(&text);
    assert_eq!(before[0]["source"], "s3://beijing/mi-storefront/static/");
    assert_eq!(before[1]["targets"][1]["where"], "otherwise");
    let same = text
        .replace("mi-storefront/static/\"", "mi-storefront/static\"")
        .replace("verify  = \"checksum\"", "verify = \"bytes\"");
    assert_eq!(meaning(&same), before);
    let other = text.replace("**/*.tmp", "**/*.bak");
    assert_ne!(meaning(&other)[0], before[0]);
    assert_eq!(meaning(&other)[1..], before[1..]);
}

#[test]
fn all_problems_of_a_file_come_at_once_with_their_source_lines() {
    let text = "\
name = \"two problems\"
[sites.a]
directory = \"a\"
[[phase]]
name = \"one\"
[[phase.dataset]]
name = \"d\"
source = \"file://b/x\"
tragets = [\"file://a/x\"]
waive = [\"properties\"]
";
    let wrong: Diagnostics = plan::parse(text, Path::new("plans/p.toml")).unwrap_err();
    let expected = "\
plans/p.toml:1:8: \"two problems\" is not a name: 1 to 64 letters, digits, '-' or '_', starting with a letter or digit
  | name = \"two problems\"
  |        ^^^^^^^^^^^^^^
  help: for example \"two-problems\"

plans/p.toml:8:10: there is no site \"b\"
  | source = \"file://b/x\"
  |          ^^^^^^^^^^^^
  help: known: a

plans/p.toml:9:1: unknown key \"tragets\"
  | tragets = [\"file://a/x\"]
  | ^^^^^^^
  help: did you mean \"targets\"?";
    assert_eq!(wrong.to_string(), expected);
    let json = serde_json::to_value(&wrong).unwrap();
    assert_eq!(json[1]["path"], "phase[0].dataset[0].source");
    assert_eq!(json[2]["line"], 9);
}

/// One case of `wrong-plans.txt`.
struct Case {
    find: String,
    replace: String,
    told: String,
}

fn wrong_plans(text: &str) -> (String, Vec<Case>) {
    let marked = |block: &str, mark: &str| -> String {
        let lines = block.lines().filter_map(|line| line.strip_prefix(mark));
        lines.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"]).collect()
    };
    let mut blocks = text.split("----\n");
    let base = marked(blocks.next().expect("a split has a first part"), "=");
    let told = |block: &str| {
        let lines: Vec<_> = block.lines().skip_while(|line| line.starts_with(['-', '+'])).collect();
        lines.join("\n").trim().to_owned()
    };
    let case = |block| Case { find: marked(block, "-"), replace: marked(block, "+"), told: told(block) };
    (base, blocks.map(case).collect())
}

/// `MIGRATE_BLESS=1 cargo test --test it wrong` writes the file afresh; read the difference.
#[test]
fn wrong_plans_are_told_where_what_and_how_to_mend_it() {
    let path = root().join("tests/it/data/wrong-plans.txt");
    let text = read(&path);
    let (base, cases) = wrong_plans(&text);
    plan::parse(&base, Path::new("plan.toml")).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(cases.len() > 80, "{} cases", cases.len());
    let mut blessed = text.split("----\n").next().unwrap().to_owned();
    let mut failures = Vec::new();
    for Case { find, replace, told } in &cases {
        assert_eq!(base.matches(find.as_str()).count(), 1, "{find:?} must stand once in the plan");
        let changed = base.replacen(find.as_str(), replace, 1);
        let found =
            plan::parse(&changed, Path::new("plan.toml")).map_or_else(|wrong| wrong.to_string(), |_| "nothing".into());
        if found == "nothing" || found != *told {
            failures.push(format!("{replace}\n--- told:\n{found}\n--- expected:\n{told}"));
        }
        let marked = |mark, text: &str| text.lines().flat_map(|line| [mark, line, "\n"]).collect::<String>();
        blessed.extend(["----\n", &marked("- ", find), &marked("+ ", replace), "\n", &found, "\n\n"]);
    }
    if std::env::var_os("MIGRATE_BLESS").is_some() {
        fs::write(&path, format!("{}\n", blessed.trim_end())).unwrap();
    } else {
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}

#[test]
fn a_secret_is_never_shown_again() {
    let base = "name = \"p\"\n[sites.a]\ns3 = { endpoint = \"https://s3.example.com\" }\n";
    for line in [
        "credentials = { access_key = \"hunter2hunter2\", colour = 1 }",
        "credentials = { env = \"AKIAIOSFODNN7EXAMPLE\", profile = 3 }",
        "credentials = { profile = \"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\" }",
        "dynamodb = { endpoint = \"http://me:hunter2hunter2@ddb.example.com/x\", insecure = \"no\" }",
        "secret_key = \"hunter2hunter2",
        "directory = [\"AKIAIOSFODNN7EXAMPLE",
    ] {
        let wrong = plan::parse(&format!("{base}{line}\n"), Path::new("p.toml")).unwrap_err();
        let shown = format!("{wrong}{}", serde_json::to_string(&wrong).unwrap());
        for secret in ["hunter2", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn json_plans_are_told_as_much() {
    let text = r#"{
  "name": "p", "sites": {"a": {"directory": "x"}},
  "phase": [{"name": "one", "dataset": [
    {"name": "d", "source": "file://a/in", "targets": ["file://é/x", null], "waive": ["propertys"]}
  ]}]
}"#;
    let wrong = plan::parse(text, Path::new("p.json")).unwrap_err();
    let found: Vec<_> = wrong.list().iter().map(|one| (one.line, one.column, one.message.as_str())).collect();
    let expected = [
        (4, 56, "\"é\" in \"file://é/x\" is not the name of a site"),
        (4, 70, "expected a string, found null"),
        (4, 87, "\"propertys\" is not a choice here"),
    ];
    assert_eq!(found, expected);
}
