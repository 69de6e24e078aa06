//! The records that a run would touch, as `migrate plan --list` names them.
//!
//! For programs each goes out as it is found, and none is kept. For people the first of each target are kept, in the
//! order of their keys, and the others are counted. So memory is bounded for any number of records.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::cli::{
    clock,
    error::Failure,
    render::{self, Grouped},
    term,
};
use migrate_core::model::{ByteCount, DatasetName, Key};
use migrate_engine::survey::{DatasetPreview, Does, Listed};

/// Records of one target that are shown to people.
const SHOWN: usize = 100;

/// The records that were listed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    targets: BTreeMap<(DatasetName, String), OfTarget>,
}

/// The records of one target of a dataset.
#[derive(Debug, Default)]
struct OfTarget {
    first: BTreeSet<(Key, Does, u64)>,
    all: u64,
}

impl Listing {
    /// Takes what is listed until all of it was: prints it for programs, or keeps the first of each target for people.
    pub(super) fn take(mut listed: mpsc::Receiver<Listed>, json: bool) -> Self {
        let mut listing = Self::default();
        while let Some(one) = listed.blocking_recv() {
            if json {
                let mut line = serde_json::to_value(&one).expect("a listed record is plain data");
                line["event"] = "listed".into();
                term::answer_line(&clock::clock().stamp(line));
            } else {
                listing.keep(one);
            }
        }
        listing
    }

    fn keep(&mut self, Listed { dataset, target, key, does, bytes }: Listed) {
        let of = self.targets.entry((dataset, target)).or_default();
        of.all += 1;
        of.first.insert((key, does, bytes));
        if of.first.len() > SHOWN {
            of.first.pop_last();
        }
    }

    /// The records of a dataset, by target, with how many are left out.
    pub(super) fn text(&self, dataset: &DatasetPreview) -> String {
        let mut text = String::new();
        if dataset.table.is_some() {
            text.push_str("    a table: its items are not listed\n");
        }
        for ((_, target), of) in self.targets.iter().filter(|((name, _), _)| *name == dataset.name) {
            let _ = writeln!(text, "    {target}: {}", render::count(of.all, "change", "changes"));
            for (key, does, bytes) in &of.first {
                let size = if *does == Does::Delete { String::new() } else { format!("  {}", ByteCount(*bytes)) };
                let _ = writeln!(text, "      {:<7}  {key}{size}", does.as_str());
            }
            let left_out = of.all - of.first.len() as u64;
            if left_out > 0 {
                let _ = writeln!(text, "      ... and {} more; --list --json names all", Grouped(left_out));
            }
        }
        text
    }
}

/// Ends a list for programs.
pub(super) fn ended(mut document: Value) {
    document["event"] = "plan_ended".into();
    term::answer_line(&clock::clock().stamp(document));
}

/// Ends a list for programs with a failure; returns it.
pub(super) fn failed(failure: Failure) -> Failure {
    let mut line = failure.to_json();
    line["event"] = "error".into();
    term::answer_line(&clock::clock().stamp(line));
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keys_are_kept_in_their_order_whatever_comes_first() {
        let mut listing = Listing::default();
        let (dataset, target) = (DatasetName::new("d").unwrap(), "file://there/data".to_owned());
        for n in (0..5000_u64).rev() {
            let key = Key::new(format!("{n:05}"));
            listing.keep(Listed {
                dataset: dataset.clone(),
                target: target.clone(),
                key,
                does: Does::Create,
                bytes: n,
            });
        }
        let of = &listing.targets[&(dataset, target)];
        assert_eq!((of.all, of.first.len()), (5000, SHOWN));
        assert_eq!(of.first.last().unwrap().0, "00099".into());
    }
}
