//! The datasets that are filled, and the objects that each of them gets.

use std::collections::HashSet;

use super::{
    body,
    kind::Kind,
    object::Sample,
    properties::properties,
    random::{Random, scaled},
    shape::Shape,
};
use migrate_core::{
    model::Key,
    plan::{Dataset, Plan},
};
use migrate_store::Properties;

/// About how many objects a plan gets at scale 1. Its datasets share them within these bounds.
const OBJECTS: usize = 1000;
const OBJECTS_OF_DATASET: (usize, usize) = (30, 300);
/// How many objects the globs leave out, if there are any globs.
const LEFT_OUT: u32 = 5;
/// The size of the object that is to travel in parts, in bytes: above
/// [`WHOLE_BYTES_MAX`](migrate_engine::layout::WHOLE_BYTES_MAX), and not a whole number of parts.
const LARGE_BYTES: u64 = (32 << 20) + 123_457;
/// Names that are hard for tools: they replace a key's last part, without the extension.
const ODD_NAMES: [&str; 6] = [
    "price list + terms (final)",
    "größe-日本語",
    "100%25 cotton & more",
    "café-naïve",
    "quote'd;comma,=x",
    "🧭 compass",
];

/// The datasets whose sources get samples, each with its samples.
pub fn samples(plan: &Plan, seed: u64, scale: f64) -> Vec<(&Dataset, Samples)> {
    let is_object = |dataset: &&Dataset| !dataset.is_table();
    let first = |dataset: &&Dataset| plan.filled_by(dataset).is_empty();
    let roots: Vec<&Dataset> = plan.datasets().filter(is_object).filter(first).collect();
    let (least, most) = OBJECTS_OF_DATASET;
    let each = (OBJECTS / roots.len().max(1)).clamp(least, most);
    let each = scaled(u32::try_from(each).expect("it is clamped"), scale);
    let of = |dataset| (dataset, Samples::new(plan, dataset, seed, each, scaled(LEFT_OUT, scale)));
    let mut all: Vec<(&Dataset, Samples)> = roots.into_iter().map(of).collect();
    // Pictures and documents are large; if there are none, any object may be.
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
    /// The next number, in the order: usual, left out, particular.
    next: u64,
    particular: Vec<String>,
    /// The key of the object without bytes, if the globs take it.
    empty: Option<String>,
    large: Option<String>,
    seen: HashSet<u64>,
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

    /// The sample of this number; `None` if no key was found or another sample has it.
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

/// Keys that every dataset gets, as far as its globs take them: those that globs name literally, the odd
/// ones, and that of the empty object, which is also returned by itself.
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
