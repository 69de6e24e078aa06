//! The documents against what they describe: plans parse, keys and flags exist and none is left out,
//! links lead somewhere.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document of the repository, with its path.
fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        paths.push(format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    paths.sort();
    paths.into_iter().map(|path| (read(&path), path)).map(|(text, path)| (path, text)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fenced blocks of one language, each with the line it begins at.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, bool)> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(said)) => open = Some((index + 2, String::new(), said.trim() == language)),
            (Some(_), Some(_)) => {
                let (line, block, wanted) = open.take().expect("it is open");
                if wanted {
                    found.push((line, block));
                }
            }
            (Some((_, block, _)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn plans_in_the_documents_are_plans() {
    let mut plans = 0;
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "toml") {
            if block.contains("name =") {
                let parsed = migrate::plan::parse(&block, Path::new("plan.toml"));
                parsed.unwrap_or_else(|wrong| panic!("{path}:{line}:\n{wrong}"));
                plans += 1;
            } else {
                let parsed = toml::from_str::<toml::Table>(&block);
                parsed.unwrap_or_else(|wrong| panic!("{path}:{line}: {wrong}"));
            }
        }
    }
    assert!(plans >= 3, "only {plans} plans were found");
}

/// Every key of the plan language, at every level.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::Object(properties)) = entries.get("properties") {
                found.extend(properties.keys().cloned());
            }
            entries.values().for_each(|value| keys(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_key_of_the_language() {
    let mut all = BTreeSet::new();
    keys(&migrate::plan::schema(), &mut all);
    assert!(all.len() > 50, "{all:?}");
    let reference = read("docs/plan-language.md");
    let missing: Vec<_> = all.iter().filter(|key| !reference.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/plan-language.md does not explain {missing:?}");
}

/// The long flags in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let starts =
            !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '`' && text[..at].ends_with("``"));
        let name: String = text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if starts && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.insert(name.trim_end_matches('-').to_owned());
        }
    }
    found
}

#[test]
fn the_reference_names_every_command_and_flag_and_no_other() {
    let reference = read("docs/cli.md");
    let mut known = BTreeSet::new();
    let help = |args: &[&str]| {
        let help = Command::new(env!("CARGO_BIN_EXE_migrate")).args(args).output().unwrap();
        assert!(help.status.success());
        String::from_utf8(help.stdout).unwrap()
    };
    let manual = help(&["-h"]);
    let listed = manual.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let commands = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        known.extend(flags(&help(&[command, "--help"])));
        assert!(reference.contains(&format!("migrate {command}")), "docs/cli.md does not explain {command}");
    }
    let named = flags(&reference);
    let missing: Vec<_> = known.difference(&named).filter(|flag| *flag != "help").collect();
    assert!(missing.is_empty(), "docs/cli.md does not explain {missing:?}");
    let wrong: Vec<_> =
        named.difference(&known).filter(|flag| !["version", "help", "release"].contains(&flag.as_str())).collect();
    assert!(wrong.is_empty(), "docs/cli.md speaks of {wrong:?}, which are no flags");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in documents() {
        let folder = root().join(Path::new(&path).parent().unwrap());
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            assert!(folder.join(file).exists(), "{path}: there is no {target}");
        }
    }
}

/// Copies a directory with all that is below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A text without how long it took, and how fast that was.
fn timeless(text: &str) -> String {
    let line = |line: &str| {
        let shown = if line.starts_with("total: ") { line.split([',', '(']).next().unwrap() } else { line };
        shown.to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_readme_shows_is_what_happens() {
    let place = tempfile::tempdir().unwrap();
    copy(&root().join("examples/quickstart/beijing"), &place.path().join("examples/quickstart/beijing"));
    fs::create_dir(place.path().join("plans")).unwrap();
    fs::copy(root().join("plans/quickstart.toml"), place.path().join("plans/quickstart.toml")).unwrap();
    let migrate = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_migrate"));
        command.args(arguments).current_dir(place.path()).env_remove("MIGRATE_STATE");
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let plan = ["plans/quickstart.toml", "--dataset", "storefront"];
    let shown = blocks(&read("README.md"), "console");
    let mut compared = 0;
    let mut compare = |typed: &str, answer: String| {
        let block = shown.iter().find(|(_, block)| block.contains(&format!("$ {typed}\n")));
        let (line, block) = block.unwrap_or_else(|| panic!("README.md does not show {typed}"));
        let after = block.split_once(&format!("$ {typed}\n")).unwrap().1;
        let told = after.split("$ ").next().unwrap();
        assert_eq!(timeless(&answer), timeless(told), "README.md:{line}: bring it up to date");
        compared += 1;
    };
    compare("migrate plan plans/quickstart.toml --dataset storefront", migrate(&["plan", plan[0], plan[1], plan[2]]));
    compare("migrate run plans/quickstart.toml", migrate(&["run", plan[0]]));
    let page = place.path().join("examples/quickstart/.migrated/california/storefront/index.html");
    let mut bytes = fs::read(&page).unwrap();
    bytes[100] = b'X';
    fs::write(&page, bytes).unwrap();
    compare(
        "migrate verify plans/quickstart.toml --dataset storefront",
        migrate(&["verify", plan[0], plan[1], plan[2]]),
    );
    let repair = migrate(&["verify", plan[0], plan[1], plan[2], "--repair"]);
    compare("migrate verify plans/quickstart.toml --dataset storefront --repair", repair);
    assert_eq!(compared, 4);
}

#[test]
fn every_finding_has_a_mend_and_tests_that_exist() {
    each_row_names_tests("docs/findings.md", 50);
}

#[test]
fn every_trap_of_tables_has_a_handling_and_tests_that_exist() {
    each_row_names_tests("docs/tables.md", 17);
}

/// The rows of a document's table are numbered, and each names tests that are there.
fn each_row_names_tests(path: &str, rows_of: u32) {
    let text = read(path);
    let is_numbered =
        |line: &&str| line.strip_prefix("| ").is_some_and(|row| row.starts_with(|c: char| c.is_ascii_digit()));
    let rows = text.lines().filter(is_numbered);
    let rows: Vec<Vec<_>> = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row[0].parse().expect("a number")).collect();
    assert_eq!(numbers, (1..=rows_of).collect::<Vec<_>>(), "{path}: each has one row");
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let tests: Vec<_> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{path}: row {} names no test", row[0]);
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test:?} is not FILE::TEST"));
            assert!(read(file).contains(&format!("fn {name}(")), "{path}: row {}: {file} has no test {name}", row[0]);
        }
    }
}

/// The words of a function that gives codes: `=> "word"`.
fn words_of(code: &str) -> BTreeSet<String> {
    let quoted = |(at, found): (usize, &str)| code[at + found.len()..].split('"').next().unwrap().to_owned();
    code.match_indices("=> \"").chain(code.match_indices(".coded(\"")).map(quoted).collect()
}

#[test]
fn the_reference_explains_every_code_of_an_error_and_no_other() {
    let mut known = BTreeSet::new();
    for file in ["crates/store/src/error.rs", "crates/ledger/src/error.rs", "crates/engine/src/error.rs"] {
        let text = read(file);
        let code = text.split_once("pub fn code(").unwrap_or_else(|| panic!("{file}: no codes")).1;
        known.extend(words_of(code.split("\n    }\n").next().unwrap()));
    }
    for file in sources("src/cli") {
        let text = read(&file);
        let coded: String = text.lines().filter(|line| line.contains(".coded(\"")).collect();
        known.extend(words_of(&coded));
    }
    let by_exit = read("src/cli/error.rs");
    let pairs =
        by_exit.match_indices("(Code::").filter_map(|(at, _)| by_exit[at..].split(')').next()?.split_once(", \""));
    known.extend(pairs.filter_map(|(_, word)| word.strip_suffix('"')).map(str::to_owned));
    known.extend(words_of(by_exit.split_once("let word = match code").unwrap().1.split("};").next().unwrap()));
    assert!(known.len() > 50, "{known:?}");
    assert_eq!(coded_in("| code | a command failed because |"), known);
    let failed = read("crates/engine/src/failed.rs");
    let of_records = failed.match_indices("code: \"").map(|(at, found)| failed[at + found.len()..].split('"').next());
    assert_eq!(
        coded_in("| code | a record failed because |"),
        of_records.map(|word| word.unwrap().to_owned()).collect()
    );
}

/// The codes in the first column of the table of the reference with this heading.
fn coded_in(heading: &str) -> BTreeSet<String> {
    let reference = read("docs/cli.md");
    let table = reference.split_once(heading).unwrap().1.split("\n\n").next().unwrap();
    let rows = table.lines().skip(2).flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    rows.map(str::to_owned).collect()
}

/// Every source file below a folder.
fn sources(folder: &str) -> Vec<String> {
    let mut folders = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}
