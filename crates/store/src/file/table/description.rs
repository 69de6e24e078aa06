//! `table.json`: what a table is, beside its items.
//!
//! A file that somebody wrote by hand needs the keys alone:
//! `{"partition_key":"id","key_types":{"id":"S"}}`. With `"layout":"digests"` the directory is our own, and its files
//! are where the digests of the keys say.

use migrate_core::{
    digest::Body,
    model::Key,
    table::{KeyType, Structure},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::ErrorKind,
    file::{directory::Directory, path},
    object::Result,
};
use migrate_core::capability::Condition;

pub(super) const NAME: &str = "table.json";

/// The content of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    /// How the files are laid out; plain if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<Layout>,
    /// The table.
    #[serde(flatten)]
    pub(super) structure: Structure,
}

/// How the files of our own directories are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Layout {
    /// By the digests of the keys.
    Digests,
}

impl Description {
    /// Reads the file of a directory; `None` if there is none.
    pub(super) fn read(directory: &Directory) -> Result<Option<Self>> {
        let bytes = match directory.read(&Key::from(NAME), None, None) {
            Ok(read) => read.bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let wrong = |detail: String| {
            let detail = format!("{NAME} does not describe a table: {detail}");
            directory.error(ErrorKind::Other, "open", None, detail)
        };
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        let names = read.structure.key_names();
        let types: &std::collections::BTreeMap<String, KeyType> = &read.structure.key_types;
        let untyped = [Some(&names.partition), names.sort.as_ref()].into_iter().flatten();
        match untyped.into_iter().find(|name| !types.contains_key(*name)) {
            Some(name) => Err(wrong(format!("key_types lacks the key attribute {name}"))),
            None => Ok(Some(read)),
        }
    }

    /// Writes the file, durably.
    pub(super) fn write(&self, directory: &Directory, condition: &Condition) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| directory.error(ErrorKind::Other, "write", None, error.to_string()))?;
        text.push(b'\n');
        directory.put(&Key::from(NAME), &Body::new(text.into()), condition).map(|_| ())
    }
}

/// Whether a file of a directory may hold items, by its name.
pub(super) fn may_hold_items(name: &str) -> bool {
    let ends = [".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz"];
    name != NAME
        && !name.starts_with(path::RESERVED)
        && !name.starts_with('.')
        && ends.iter().any(|end| name.ends_with(end))
}
