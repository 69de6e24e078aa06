//! The text of a first plan.

use std::fmt::Write as _;

use super::place::Place;
use crate::cli::{
    error::{Code, Failure},
    term,
};

/// The region of AWS if nothing names one.
const REGION_DEFAULT: &str = "us-east-1";

/// A plan that is to be written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) source: Place,
    pub(super) targets: Vec<Place>,
    /// The region of places in AWS.
    pub(super) region: Option<String>,
    /// The file, if commands have to name it.
    pub(super) file: Option<String>,
}

impl Draft {
    /// The plan, with its comments.
    pub(super) fn text(&self) -> Result<String, Failure> {
        if self.is_table() && self.places().any(|(_, place)| matches!(place, Place::Bucket { .. })) {
            return Err(Failure::new(Code::Wrong, "a table goes to tables and directories, and not to a bucket")
                .mended_by("name a table or a directory as the target"));
        }
        let name = self.plan_name();
        let mut text = self.head();
        let _ = write!(text, "\nname = {name:?}{}\n", note("names its state too: .migrate/NAME beside this file"));
        text.push_str(SITES);
        for (site, place) in self.places() {
            text.push_str(&self.site(&site, place));
        }
        text.push_str(PHASES);
        text.push_str(&self.dataset(&name));
        Ok(text)
    }

    /// What was understood, for the operator.
    pub(super) fn summary(&self) -> String {
        let mut text = format!(" {} is to be copied", self.source);
        for (place, joint) in self.targets.iter().zip(std::iter::once(" to ").chain(std::iter::repeat(" and to "))) {
            let _ = write!(text, "{joint}{place}");
        }
        text
    }

    /// The credentials that have to be in the environment before a place is asked.
    pub(super) fn to_export(&self) -> Option<String> {
        let own = self.places().filter(|(_, place)| place.endpoint().is_some());
        let names: Vec<_> = own
            .map(|(site, _)| prefix(&site))
            .map(|prefix| format!("{prefix}_ACCESS_KEY_ID and {prefix}_SECRET_ACCESS_KEY"))
            .collect();
        (!names.is_empty()).then(|| format!("before `migrate plan`, export {}", names.join(", ")))
    }

    /// All places, each with the name of its site.
    fn places(&self) -> impl Iterator<Item = (String, &Place)> {
        let several = self.targets.len() > 1;
        let site = move |index: usize| if several { format!("target-{}", index + 1) } else { "target".to_owned() };
        let targets = self.targets.iter().enumerate().map(move |(index, place)| (site(index), place));
        std::iter::once(("source".to_owned(), &self.source)).chain(targets)
    }

    fn is_table(&self) -> bool {
        self.places().any(|(_, place)| matches!(place, Place::Table { .. }))
    }

    fn plan_name(&self) -> String {
        let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let wanted = || self.source.name().chars().map(legal).take(64).collect::<String>();
        let wanted = self.name.clone().unwrap_or_else(wanted);
        let plain = if self.name.is_some() { &wanted } else { wanted.trim_matches(['-', '_']) };
        if plain.is_empty() { "migration".to_owned() } else { plain.to_owned() }
    }

    fn head(&self) -> String {
        let command = |verb: &str| {
            let words = ["migrate", verb].into_iter().chain(self.file.as_deref());
            term::quoted(words)
        };
        let mut text = "# A first plan, written by `migrate init`. It can be run as it is:\n#\n".to_owned();
        for (verb, does) in [
            ("check", "is it a plan? Asks no place"),
            ("rehearse", "the whole of it, against servers and sample data of its own"),
            ("plan", "looks at both sides and shows what would move; changes nothing"),
            ("run", "copies, and proves that it arrived; run it again to go on after any stop"),
        ] {
            let _ = writeln!(text, "#     {:<28}{does}", command(verb));
        }
        text
    }

    fn site(&self, site: &str, place: &Place) -> String {
        let mut text = format!("\n[sites.{site}]\n");
        if let Place::Directory { parent, .. } = place {
            let parent = parent.to_string_lossy();
            let _ = writeln!(text, "directory = {parent:?}{}", note("relative to this file; file:// begins here"));
            return text;
        }
        text.push_str(&match place.endpoint() {
            Some(endpoint) => own_server(site, place, endpoint),
            None => self.region_of_aws(site, place),
        });
        text
    }

    fn region_of_aws(&self, site: &str, place: &Place) -> String {
        let region = self.region.as_deref().unwrap_or(REGION_DEFAULT);
        let what = if matches!(place, Place::Table { .. }) { "the table" } else { "the bucket" };
        let mut text = format!("region = {region:?}{}\n", note(&format!("CHANGE if {what} is in another one")));
        text.push_str("# Credentials are found as the AWS CLI finds them; or name them:\n");
        let _ = writeln!(text, "# credentials = {{ env = {:?} }} or {{ profile = \"...\" }}", prefix(site));
        text
    }

    fn dataset(&self, name: &str) -> String {
        let locations: Vec<_> = self.places().map(|(site, place)| format!("{:?}", place.location(&site))).collect();
        let (source, targets) = locations.split_first().expect("there is a source");
        let mut text = format!("\n[[phase]]\nname = \"first\"\n\n[[phase.dataset]]\nname = {name:?}\n");
        let _ = writeln!(text, "source = {source}");
        let _ = writeln!(text, "targets = [{}]", targets.join(", "));
        if self.is_table() {
            text.push_str(TABLE);
            return text;
        }
        if self.targets.iter().any(|target| matches!(target, Place::Directory { .. })) {
            let _ =
                writeln!(text, "waive = [\"properties\"]{}", note("a directory keeps bytes, and no metadata or tags"));
        }
        text.push_str(OBJECTS);
        if self.targets.iter().any(|target| matches!(target, Place::Bucket { .. })) {
            text.push_str(CUTOVER);
        }
        text
    }
}

/// The rest of a site that is a server of its own.
fn own_server(site: &str, place: &Place, endpoint: &str) -> String {
    let mut text = format!("credentials = {{ env = {:?} }}", prefix(site));
    let _ = writeln!(text, "{}", note("the secrets are never here; or { profile = \"...\" }"));
    let _ = write!(text, "# export {0}_ACCESS_KEY_ID=... {0}_SECRET_ACCESS_KEY=...\n\n", prefix(site));
    let (kind, path_style) = match place {
        Place::Table { .. } => ("dynamodb", ""),
        _ => ("s3", "path_style = true\n"),
    };
    let _ = write!(text, "[sites.{site}.{kind}]\nendpoint = {endpoint:?}\n{path_style}");
    let _ = writeln!(text, "region = {REGION_DEFAULT:?}{}", note("what the server expects signatures for"));
    if is_open(endpoint) {
        let _ = writeln!(text, "insecure = true{}", note("CHANGE: http:// is read by all on the way"));
    }
    text
}

/// A comment after a value.
fn note(text: &str) -> String {
    format!("  # {text}")
}

/// The beginning of the environment variables of a site.
fn prefix(site: &str) -> String {
    site.to_uppercase().replace('-', "_")
}

/// Whether requests to this endpoint leave the machine as plain text.
fn is_open(endpoint: &str) -> bool {
    let Some(host) = endpoint.strip_prefix("http://") else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host, |(name, _)| name);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !(is_loopback || bare == "localhost" || bare.ends_with(".localhost"))
}

const SITES: &str = "
# Sites are the places that hold data. Their names are yours: rename them, here and in the locations below.
# `limits = { bandwidth = \"50MB/s\", requests_per_second = 200 }` keeps all work at a site below that.
";

const PHASES: &str = "
# What moves together is a phase. A further phase has its own [[phase]], with after = [\"first\"] if it has to
# wait; a further dataset of this phase has its own [[phase.dataset]]. A location is scheme://SITE/CONTAINER/PREFIX.
";

const OBJECTS: &str = "verify = \"checksum\"  # how a run proves the copies: listing, checksum or bytes
# exclude = [\"**/*.tmp\"]  # \"*\" stays within a folder, \"**\" crosses folders; include = [...] takes only what it names
# extra = \"keep\"  # what only a target has: keep, delete or refuse
";

const TABLE: &str =
    "# live = true  # follows what applications write, by the table's stream; without it, run again for that
# limits = { read_capacity = \"40%\", write_capacity = 8000 }
";

const CUTOVER: &str = "
# Applications that read where their data is can be moved to the target by the tool, once everything is proved and
# the phase is approved. The route is the document that they read:
# [phase.dataset.cutover]
# fence = \"none\"  # nothing stops writes at the source meanwhile ...
# accept_unfenced = true  # ... and that is known
# route = \"s3://SITE/BUCKET/routes/NAME.json\"
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use migrate_core::plan;

    const PLACES: [&str; 7] = [
        "./in",
        "/data/other dir",
        "s3://bucket/some/prefix",
        "s3+http://s3.example.com/bucket-b",
        "s3+https://127.0.0.1:9000/bucket-c/x",
        "dynamodb://table-a",
        "dynamodb+http://127.0.0.1:8000/table-b",
    ];

    #[test]
    fn every_pair_of_places_makes_a_plan_that_checks_and_this_build_can_run() {
        let is_table = |text: &str| text.starts_with("dynamodb");
        let is_bucket = |text: &str| text.starts_with("s3");
        for source in PLACES {
            for target in PLACES.into_iter().filter(|target| *target != source) {
                let draft = Draft {
                    name: None,
                    source: Place::read(source).unwrap(),
                    targets: vec![Place::read(target).unwrap(), Place::read("./third").unwrap()],
                    region: None,
                    file: None,
                };
                let mixes = is_table(source) && is_bucket(target) || is_bucket(source) && is_table(target);
                let Ok(text) = draft.text() else {
                    assert!(mixes, "{source} to {target}");
                    continue;
                };
                assert!(!mixes, "{source} to {target}");
                let plan = plan::parse(&text, Path::new("p.toml")).unwrap_or_else(|wrong| panic!("{text}\n{wrong}"));
                assert!(plan.datasets().all(|dataset| dataset.unsupported.is_empty()), "{text}");
                assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
            }
        }
    }

    /// A line with its comment taken away, if it is code that the plan shows and does not use.
    fn told(line: &str) -> &str {
        let Some(code) = line.strip_prefix("# ") else { return line };
        let is_setting = code.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '`']));
        if is_setting || code.starts_with('[') { code } else { line }
    }

    #[test]
    fn what_is_in_comments_is_part_of_the_language() {
        let read = |text: &str| Place::read(text).unwrap();
        let tables = vec!["dynamodb+https://h/abc"];
        for (source, targets) in [("./in", vec!["s3://bucket-a", "./out"]), ("dynamodb://abc", tables)] {
            let targets = targets.into_iter().map(read).collect();
            let draft = Draft { name: None, source: read(source), targets, region: None, file: None };
            let text: String = draft.text().unwrap().lines().flat_map(|line| [told(line), "\n"]).collect();
            let cutover = "lead = \"target-1\"\n[phase.dataset.cutover]";
            let text = text.replace(" or { profile = \"...\" }", "").replace("SITE/BUCKET", "target-1/routes");
            let text = text.replace("[phase.dataset.cutover]", cutover);
            plan::parse(&text, Path::new("p.toml")).unwrap_or_else(|wrong| panic!("{text}\n{wrong}"));
        }
    }
}
