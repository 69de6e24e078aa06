//! Sample data shaped like a plan: what its sources might hold, invented.
//!
//! # What is made
//!
//! For each dataset that no other dataset fills: objects that its globs select, of the kind that its
//! name suggests; a few that they do not select; names that are hard to get right (spaces, `+`,
//! letters of other scripts, `a//b` where only buckets are concerned); an empty object. One object a
//! plan is large enough to travel in parts. Where another dataset begins below a target of this one,
//! a share of the keys lies there, and so on down the phases: everything that the plan moves exists.
//!
//! # The same again
//!
//! Plan, seed and scale determine every key, byte and header. Each object has a generator of its own,
//! made of the seed, the dataset's name and the object's number, so that neither order nor machine
//! matters.
//!
//! # Memory
//!
//! Samples are made one by one, their bytes only when asked for. What grows with their number is
//! eight bytes each, by which keys are kept apart.

use std::collections::HashSet;

use bytes::Bytes;

use crate::{
    model::Key,
    plan::{Dataset, Plan, Scheme},
    store::{Header, Properties},
};

mod body;
mod globs;
mod kind;
mod random;

use body::Subject;
use kind::Kind;
use random::{Random, scaled};

/// Objects of a plan at scale 1, about; shared by its datasets within these bounds.
const OBJECTS: usize = 1000;
const OBJECTS_OF_DATASET: (usize, usize) = (30, 300);
/// Objects that the globs leave out, where there are any globs.
const LEFT_OUT: u32 = 5;
/// The size of the object that is to travel in parts, in bytes: above
/// [`WHOLE_BYTES_MAX`](crate::engine::layout::WHOLE_BYTES_MAX), and not a whole number of parts.
const LARGE_BYTES: u64 = (32 << 20) + 123_457;
/// How often a key is sought before it is given up: globs can be hard to meet, or contradict.
const TRIES: u64 = 8;
/// Of 1000 keys, how many lie where each other dataset begins; together no more than 600.
const SHARE_PERMILLE: u64 = 200;

/// Names that tools stumble over, in the place of a key's last part, without the extension.
const ODD_NAMES: [&str; 6] = [
    "price list + terms (final)",
    "größe-日本語",
    "100%25 cotton & more",
    "café-naïve",
    "quote'd;comma,=x",
    "🧭 compass",
];

/// An object to be made.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its key, below the prefix or directory of the dataset's source.
    pub key: Key,
    /// Headers, metadata and tags; empty where the source is a directory, which holds none.
    pub properties: Properties,
    /// Whether the dataset's globs select it.
    pub selected: bool,
    /// Whether it is the one that is to travel in parts.
    pub large: bool,
    kind: Kind,
    size: u64,
    random: Random,
}

impl Sample {
    /// Its bytes, made anew by each call.
    pub fn body(&self) -> Bytes {
        let about = Subject { kind: self.kind, key: self.key.as_str() };
        body::body(about, self.size, &mut self.random.clone())
    }
}

/// The datasets whose sources are to be filled, with what fills them.
pub fn samples(plan: &Plan, seed: u64, scale: f64) -> Vec<(&Dataset, Samples)> {
    let is_object = |dataset: &&Dataset| dataset.source.scheme != Scheme::DynamoDb;
    let first = |dataset: &&Dataset| plan.filled_by(dataset).is_empty();
    let roots: Vec<&Dataset> = plan.datasets().filter(is_object).filter(first).collect();
    let (least, most) = OBJECTS_OF_DATASET;
    let each = (OBJECTS / roots.len().max(1)).clamp(least, most);
    let each = scaled(u32::try_from(each).expect("it is clamped"), scale);
    let of = |dataset| (dataset, Samples::new(plan, dataset, seed, each, scaled(LEFT_OUT, scale)));
    let mut all: Vec<(&Dataset, Samples)> = roots.into_iter().map(of).collect();
    // Pictures and documents are what is large; where there are none, anything may be.
    let preferred = [Kind::Images, Kind::Documents, Kind::Generic, Kind::Pages, Kind::Messages, Kind::Accounts];
    let places = |kind| all.iter().enumerate().filter(move |(_, (_, samples))| samples.shape.kind == kind);
    let large = preferred.into_iter().flat_map(places).find_map(|(at, (_, samples))| Some((at, samples.large_key()?)));
    if let Some((at, key)) = large {
        all[at].1.large = Some(key);
    }
    all
}

/// The samples of one dataset.
#[derive(Debug)]
pub struct Samples {
    shape: Shape,
    random: Random,
    /// Objects of the usual kind, and of those that are left out.
    usual: u64,
    left_out: u64,
    /// The next, in the order: usual, left out, particular.
    next: u64,
    particular: Vec<String>,
    /// The key of the object without bytes, if the globs take it.
    empty: Option<String>,
    large: Option<String>,
    seen: HashSet<u64>,
}

/// What keys of a dataset look like.
#[derive(Debug)]
struct Shape {
    kind: Kind,
    select: crate::plan::Select,
    /// The source is a bucket: objects have properties.
    in_bucket: bool,
    /// A directory comes somewhere on the way, so keys must be paths.
    paths_only: bool,
    /// Datasets that begin below a target of this one, each with the folders in between.
    branches: Vec<(String, Shape)>,
}

impl Shape {
    /// `depth` bounds the way through the phases, which a checked plan does not need.
    fn of(plan: &Plan, dataset: &Dataset, depth: usize) -> Self {
        let mut branches = Vec::new();
        for other in plan.datasets().filter(|other| other.name != dataset.name && depth > 0) {
            let below = dataset.targets.iter().find_map(|target| plan.below(&target.at, &other.source));
            if let Some(below) = below {
                branches.push((below, Self::of(plan, other, depth - 1)));
            }
        }
        let is_file = |scheme| scheme == Scheme::File;
        let paths_only = is_file(dataset.source.scheme)
            || dataset.targets.iter().any(|target| is_file(target.at.scheme))
            || branches.iter().any(|(_, shape)| shape.paths_only);
        Self {
            kind: Kind::guess(dataset),
            select: dataset.select.clone(),
            in_bucket: dataset.source.scheme == Scheme::S3,
            paths_only,
            branches,
        }
    }

    fn takes(&self, key: &str) -> bool {
        let is_path = || key.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255);
        !key.is_empty() && self.select.holds(&key.into()) && (!self.paths_only || is_path())
    }

    /// A key that the selection takes, for object `number`: of a branch, of the kind, or of a glob.
    /// The first ones take `turn`s, so that no branch is empty however few there are.
    fn key(&self, number: u64, turn: u64, in_folder: bool, random: &mut Random) -> Option<String> {
        (0..TRIES).find_map(|_| {
            let of_branch = self.key_of_branch(number, turn, random);
            let tried = of_branch.unwrap_or_else(|| self.kind.key(number, in_folder, random));
            if self.takes(&tried) {
                return Some(tried);
            }
            let globs: Vec<&str> = self.globs(false).collect();
            let of_glob = (!globs.is_empty()).then(|| {
                let (name, folders) = (self.kind.name(number, random), self.kind.folders(in_folder, random));
                let folders = if folders.is_empty() { "all".to_owned() } else { folders };
                globs::key_of(random.of_these(&globs), &name, &folders, random)
            });
            of_glob.filter(|key| self.takes(key))
        })
    }

    /// How many turns it takes until every branch, and every branch of theirs, has had one.
    fn turns(&self) -> u64 {
        let deepest = self.branches.iter().map(|(_, shape)| shape.turns()).max().unwrap_or(0);
        self.branches.len() as u64 * deepest.max(1)
    }

    fn key_of_branch(&self, number: u64, turn: u64, random: &mut Random) -> Option<String> {
        let count = self.branches.len() as u64;
        let permille = SHARE_PERMILLE.min(600 / count.max(1)).max(1);
        let drawn = if turn < self.turns() { turn % count } else { random.below(1000) / permille };
        let (below, shape) = self.branches.get(usize::try_from(drawn).ok()?)?;
        Some(format!("{below}{}", shape.key(number, turn / count, !below.is_empty(), random)?))
    }

    /// The globs that let keys in: those that stand for one key alone, or the others.
    fn globs(&self, literal: bool) -> impl Iterator<Item = &str> {
        self.select.include().iter().map(String::as_str).filter(move |glob| globs::is_literal(glob) == literal)
    }

    /// The keys that globs name word for word, those of the branches too.
    fn keys_named(&self) -> Vec<String> {
        let of_branch = |(below, shape): &(String, Shape)| {
            shape.keys_named().into_iter().map(|key| format!("{below}{key}")).collect::<Vec<_>>()
        };
        self.globs(true).map(str::to_owned).chain(self.branches.iter().flat_map(of_branch)).collect()
    }

    /// A key that the globs leave out.
    fn key_left_out(&self, number: u64, random: &mut Random) -> Option<String> {
        let excluded: Vec<&str> = self.select.exclude().iter().map(String::as_str).collect();
        if excluded.is_empty() && self.select.include().is_empty() {
            return None;
        }
        (0..TRIES).find_map(|_| {
            let (name, folders) = (self.kind.name(number, random), self.kind.folders(true, random));
            let folders = if folders.is_empty() { "all".to_owned() } else { folders };
            let key = match excluded.as_slice() {
                [] => format!("{folders}/{name}.{}~", self.kind.extension(random)),
                globs => globs::key_of(random.of_these(globs), &name, &folders, random),
            };
            let is_path = !key.split('/').any(|part| matches!(part, "" | "." | ".."));
            (is_path && !self.select.holds(&key.as_str().into())).then_some(key)
        })
    }
}

impl Samples {
    fn new(plan: &Plan, dataset: &Dataset, seed: u64, usual: u64, left_out: u64) -> Self {
        let shape = Shape::of(plan, dataset, plan.datasets().count());
        let random = Random::of(seed, dataset.name.as_str());
        let (empty, particular) = particular(&shape, &random);
        let usual = usual.max(shape.turns());
        Self { shape, random, usual, left_out, next: 0, particular, empty, large: None, seen: HashSet::new() }
    }

    /// The key of an object that may be large, if there is one that the globs take.
    fn large_key(&self) -> Option<String> {
        let mut random = self.random.part(u64::MAX);
        let (folder, _, extension) = taken_apart(&self.shape.key(0, u64::MAX, true, &mut random)?);
        Some(format!("{folder}master-copy{extension}")).filter(|key| self.shape.takes(key))
    }

    /// The sample of this number; `None` where no key was found or somebody has it.
    fn sample(&mut self, number: u64, large: bool, key: Option<String>) -> Option<Sample> {
        let key = key?;
        let mut random = self.random.part(number);
        if !self.seen.insert(Random::of(0, &key).next()) {
            return None;
        }
        let extension = body::extension(&key);
        let (min, max) = body::sizes(&extension);
        let drawn = random.size(min, max);
        let is_empty = self.empty.as_ref() == Some(&key);
        let size = if large {
            LARGE_BYTES
        } else if is_empty {
            0
        } else {
            drawn
        };
        Some(Sample {
            properties: if self.shape.in_bucket {
                properties(&key, &extension, &mut random)
            } else {
                Properties::default()
            },
            selected: self.shape.select.holds(&key.as_str().into()),
            large,
            kind: self.shape.kind,
            size,
            random,
            key: Key::new(key),
        })
    }
}

impl Iterator for Samples {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        loop {
            let number = self.next;
            let mut random = self.random.part(number).part(0);
            let particular_from = self.usual + self.left_out;
            let key = if number < self.usual {
                self.shape.key(number, number, false, &mut random)
            } else if number < particular_from {
                self.shape.key_left_out(number, &mut random)
            } else if let Some(key) = self.particular.get(usize::try_from(number - particular_from).ok()?) {
                Some(key.clone())
            } else {
                // The large one is the last.
                let key = self.large.take()?;
                return self.sample(number, true, Some(key));
            };
            self.next += 1;
            if let Some(sample) = self.sample(number, false, key) {
                return Some(sample);
            }
        }
    }
}

/// Keys that every dataset gets, as far as its globs take them: those that globs name word for word,
/// the odd ones, and that of the empty object, which is given by itself too.
fn particular(shape: &Shape, random: &Random) -> (Option<String>, Vec<String>) {
    let mut keys = shape.keys_named();
    let mut empty = None;
    if let Some(like) = shape.key(0, u64::MAX, false, &mut random.part(u64::MAX - 1)) {
        let (folder, _, extension) = taken_apart(&like);
        keys.extend(ODD_NAMES.iter().map(|name| format!("{folder}{name}{extension}")));
        if !shape.paths_only {
            keys.push(format!("{folder}twice//a slash{extension}"));
            keys.push(format!("{folder}./dots/../{extension}"));
        }
        empty = Some(format!("{folder}empty{extension}")).filter(|key| shape.takes(key));
        keys.extend(empty.clone());
    }
    keys.retain(|key| shape.takes(key));
    (empty, keys)
}

/// The folders of a key with their `/`, the name, and the extension with its dot.
fn taken_apart(key: &str) -> (String, String, String) {
    let (folder, name) = key.rsplit_once('/').map_or(("", key), |(folder, name)| (&key[..=folder.len()], name));
    let (name, extension) = name.rfind('.').map_or((name, ""), |dot| name.split_at(dot));
    (folder.to_owned(), name.to_owned(), extension.to_owned())
}

/// What a shop's uploader would have set.
fn properties(key: &str, extension: &str, random: &mut Random) -> Properties {
    let mut found = Properties::default();
    found.headers.insert(Header::ContentType, body::content_type(extension).to_owned());
    match extension {
        "html" | "htm" => {
            let language = if key.contains("zh/") { "zh" } else { "en" };
            found.headers.insert(Header::ContentLanguage, language.to_owned());
            found.headers.insert(Header::CacheControl, "public, max-age=300".to_owned());
        }
        "css" | "js" | "mjs" | "svg" | "jpg" | "jpeg" | "png" | "webp" => {
            found.headers.insert(Header::CacheControl, "public, max-age=31536000, immutable".to_owned());
        }
        "pdf" | "csv" => {
            let shown = format!("attachment; filename=\"document.{extension}\"");
            found.headers.insert(Header::ContentDisposition, shown);
        }
        _ => {}
    }
    if random.chance(500) {
        found.metadata.insert("uploaded-by".to_owned(), format!("batch-{}", random.below(40)));
        found.metadata.insert("sku".to_owned(), format!("MI-{:06}", random.below(1_000_000)));
    }
    if random.chance(250) {
        found.tags.insert("team".to_owned(), random.of_these(&["shop", "care", "logistics"]).to_owned());
        found.tags.insert("keep".to_owned(), random.of_these(&["1 year", "7 years", "always"]).to_owned());
    }
    found
}

#[cfg(test)]
mod tests;
