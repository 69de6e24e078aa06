//! What a dataset means: the ledger keeps it when the dataset begins, and a changed meaning is refused.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::error::EngineError;
use migrate_core::{
    model::DatasetName,
    plan::{Dataset, Location, Plan, Scheme},
};

/// How many symbolic links are followed in one path, as in Linux (`MAXSYMLINKS`).
const LINKS_MAX: u32 = 40;

/// The place of a location: the endpoint's address, the AWS region, or the resolved path of the directory.
pub(crate) fn place_of(plan: &Plan, at: &Location) -> Option<String> {
    if at.scheme != Scheme::File {
        return plan.place_of(at);
    }
    Some(shown(&directory_of(plan, at)?))
}

pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What a dataset means, with the places of its sites: what was done to one server or directory
/// does not hold for another, even if the plan uses the same site name or path for it.
pub fn meaning_of(plan: &Plan, dataset: &Dataset) -> Value {
    let mut meaning = dataset.meaning();
    let mut places = serde_json::Map::new();
    for at in std::iter::once(&dataset.source).chain(dataset.targets.iter().map(|target| &target.at)) {
        let site =
            if at.scheme == Scheme::File { base_of(plan, at).map(|base| shown(&base)) } else { plan.place_of(at) };
        places.insert(at.site.to_string(), site.clone().into());
        // A link below the site's directory leads elsewhere, so the dataset's own place counts too.
        let place = place_of(plan, at);
        if at.scheme == Scheme::File && place != site.map(|base| shown(&Path::new(&base).join(&at.container))) {
            places.insert(at.to_string(), place.into());
        }
    }
    meaning["places"] = places.into();
    meaning
}

/// The resolved path of a directory; `None` if its site has none.
pub(crate) fn directory_of(plan: &Plan, at: &Location) -> Option<PathBuf> {
    Some(resolved(&base_of(plan, at)?.join(&at.container)))
}

/// The resolved path of a site's directory.
pub(crate) fn base_of(plan: &Plan, at: &Location) -> Option<PathBuf> {
    Some(resolved(&plan.resolve(plan.sites.get(&at.site)?.directory.as_ref()?)))
}

/// The absolute path with every symbolic link followed. Unlike the standard library's, it works also if the
/// path, or its end, does not exist.
fn resolved(path: &Path) -> PathBuf {
    let mut left = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..LINKS_MAX {
        let (mut done, mut linked) = (PathBuf::new(), None);
        let mut components = left.components();
        for component in components.by_ref() {
            if component == Component::ParentDir {
                done.pop();
                continue;
            }
            let folder = done.clone();
            done.push(component);
            if let Ok(to) = std::fs::read_link(&done) {
                linked = Some(folder.join(to));
                break;
            }
        }
        match linked {
            Some(to) => left = to.join(components.as_path()),
            None => return done,
        }
    }
    left
}

/// Refuses a dataset that means something else than when it began, and says what differs.
pub(crate) fn same_meaning(dataset: &DatasetName, begun: &str, now: &Value) -> Result<(), EngineError> {
    let begun: Value = serde_json::from_str(begun).unwrap_or(Value::Null);
    if begun == *now {
        return Ok(());
    }
    let changed = now.as_object().into_iter().flatten().filter(|(name, value)| begun.get(name) != Some(value)).map(
        |(name, value)| {
            format!("{name} was {}, is now {}", phrase(begun.get(name).unwrap_or(&Value::Null)), phrase(value))
        },
    );
    let difference = changed.collect::<Vec<_>>().join("; ");
    Err(EngineError::MeaningChanged { dataset: dataset.clone(), difference })
}

/// A value in words, without the signs of JSON.
fn phrase(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(phrase).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let said = fields.iter().filter(|(_, value)| !is_empty(value));
            let said: Vec<_> = said.map(|(name, value)| format!("{name} {}", phrase(value))).collect();
            if said.is_empty() { "none".to_owned() } else { said.join(", ") }
        }
        plain => plain.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_path_is_resolved_also_where_its_end_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        fs::create_dir_all(root.join("real/deep")).unwrap();
        symlink("real/deep", root.join("link")).unwrap();
        symlink(root.join("unmounted/data"), root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for (path, expected) in [
            ("real/deep", "real/deep"),
            ("link", "real/deep"),
            ("link/new/x", "real/deep/new/x"),
            ("link/../new", "real/new"),
            ("real/./deep/", "real/deep"),
            ("dangling/x", "unmounted/data/x"),
            ("none/../other", "other"),
        ] {
            assert_eq!(resolved(&root.join(path)), root.join(expected), "{path}");
        }
        assert!(resolved(&root.join("loop")).starts_with(&root), "a loop comes to an end");
        assert!(resolved(Path::new("relative")).is_absolute());
    }
}
