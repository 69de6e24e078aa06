//! The shape of a dataset's keys: the folders they lie in, and the keys that its globs take.

use super::{globs, kind::Kind, random::Random};
use migrate_core::plan::{Dataset, Plan, Scheme, Select};

/// The most tries to find a key: globs can be hard to match, or contradict each other.
const TRIES: u64 = 8;
/// Of 1000 keys, how many lie in the place where each other dataset begins; together no more than 600.
const SHARE_PERMILLE: u64 = 200;

/// The shape of a dataset's keys.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) select: Select,
    /// The source is a bucket: objects have properties.
    pub(super) in_bucket: bool,
    /// A directory is somewhere on the way, so keys must be paths.
    pub(super) paths_only: bool,
    /// The shapes of datasets that begin below a target of this one, each with the folders in between.
    pub(super) branches: Vec<(String, Shape)>,
}

impl Shape {
    /// `depth` bounds the recursion through the phases; a checked plan has no cycle anyway.
    pub(super) fn of(plan: &Plan, dataset: &Dataset, depth: usize) -> Self {
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

    pub(super) fn takes(&self, key: &str) -> bool {
        let is_path = || key.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255);
        !key.is_empty() && self.select.holds(&key.into()) && (!self.paths_only || is_path())
    }

    /// A key that the selection takes, for object `number`: of a branch, of the kind, or of a glob.
    /// The first objects take `turn`s, so that no branch is empty however few objects there are.
    pub(super) fn key(&self, number: u64, turn: u64, in_folder: bool, random: &mut Random) -> Option<String> {
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

    /// The number of turns until every branch, at every depth, has had one.
    pub(super) fn turns(&self) -> u64 {
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

    /// The globs that include keys: those that match only one key, or the others.
    fn globs(&self, literal: bool) -> impl Iterator<Item = &str> {
        self.select.include().iter().map(String::as_str).filter(move |glob| globs::is_literal(glob) == literal)
    }

    /// The keys that globs name literally, with those of the branches.
    pub(super) fn keys_named(&self) -> Vec<String> {
        let of_branch = |(below, shape): &(String, Shape)| {
            shape.keys_named().into_iter().map(|key| format!("{below}{key}")).collect::<Vec<_>>()
        };
        self.globs(true).map(str::to_owned).chain(self.branches.iter().flat_map(of_branch)).collect()
    }

    /// A key that the globs leave out.
    pub(super) fn key_left_out(&self, number: u64, random: &mut Random) -> Option<String> {
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
