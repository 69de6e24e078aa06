//! What the events of a run told and the ledger does not hold: the answer needs it.

use migrate_core::{
    lifecycle::State,
    model::DatasetName,
    report::{Difference, DifferenceKind, EventKind},
};

/// The number of differences of each kind kept for the answer.
pub(in crate::cli) const DIFFERENCES_SEEN: usize = 10;

/// What events told about a dataset and the ledger does not hold.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Seen {
    /// Bytes that this run has read from its source to copy them.
    pub(in crate::cli) source_bytes_read: u64,
    /// Bytes that the passes of this run have copied, by target. A pass that an earlier run began counts whole.
    copied: Vec<u64>,
    /// The same for the pass under way.
    copying: Vec<u64>,
    /// The first differences of the last verification, with their targets: first where both sides should agree,
    /// then records that only the target has.
    pub(in crate::cli) broken: Vec<(String, Difference)>,
    pub(in crate::cli) extra: Vec<(String, Difference)>,
}

impl Seen {
    /// Bytes that were copied to one target.
    pub(in crate::cli) fn copied(&self, place: usize) -> u64 {
        [&self.copied, &self.copying].into_iter().filter_map(|bytes| bytes.get(place)).sum()
    }

    /// Adds what an earlier run told, to count both.
    pub(in crate::cli) fn add_earlier(&mut self, earlier: &Self) {
        self.source_bytes_read += earlier.source_bytes_read;
        self.copied.resize(self.copied.len().max(earlier.copied.len()), 0);
        for (place, copied) in self.copied.iter_mut().enumerate() {
            *copied += earlier.copied(place);
        }
    }

    pub(super) fn take(&mut self, told: &EventKind) {
        match told {
            EventKind::Progress { targets, source_bytes_read, .. } => {
                self.source_bytes_read = *source_bytes_read;
                self.copying = targets.iter().map(|target| target.tally.copied_bytes).collect();
            }
            EventKind::DatasetEnded { targets, source_bytes_read, .. } => {
                self.source_bytes_read = *source_bytes_read;
                self.copying.clear();
                self.copied.resize(targets.len(), 0);
                for (copied, target) in self.copied.iter_mut().zip(targets) {
                    *copied += target.tally.copied_bytes;
                }
            }
            // Earlier findings no longer count.
            EventKind::DatasetState { state, .. }
                if matches!(state.of_followers(), State::Copying { .. } | State::Verified { .. }) =>
            {
                self.broken.clear();
                self.extra.clear();
            }
            EventKind::Differs { target, difference, kept: false, .. } => {
                let found = if difference.kind == DifferenceKind::Extra { &mut self.extra } else { &mut self.broken };
                if found.len() < DIFFERENCES_SEEN {
                    found.push((target.clone(), difference.clone()));
                }
            }
            _ => {}
        }
    }
}

/// The dataset whose copying or verifying an event tells of.
pub(super) fn about(told: &EventKind) -> Option<&DatasetName> {
    match told {
        EventKind::Progress { dataset, .. }
        | EventKind::DatasetEnded { dataset, .. }
        | EventKind::Follows { dataset, .. }
        | EventKind::DatasetState { dataset, .. }
        | EventKind::Differs { dataset, .. } => Some(dataset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render;
    use migrate_core::{
        report::{Advance, TargetProgress},
        shard::Tally,
    };

    #[test]
    fn what_a_run_copied_is_the_sum_of_its_passes() {
        let mut seen = Seen::default();
        let targets = |bytes: [u64; 2]| -> Vec<_> {
            let of = |copied_bytes| Tally { copied_bytes, ..Tally::default() };
            let target = |tally| TargetProgress { target: String::new(), tally, deferred: 0, failed: 0 };
            bytes.map(of).map(target).into()
        };
        let dataset = DatasetName::new("d").unwrap();
        let ended = |bytes, source_bytes_read| EventKind::DatasetEnded {
            dataset: dataset.clone(),
            targets: targets(bytes),
            source_bytes_read,
        };
        seen.take(&ended([300_000_000, 1], 300_000_001));
        seen.take(&ended([5_000, 5_000], 300_005_001));
        seen.take(&EventKind::Progress {
            dataset: dataset.clone(),
            targets: targets([7, 0]),
            advance: Advance::default(),
            source_bytes_read: 300_005_008,
            target_bytes_written: 0,
            waits_for: None,
            requests_at_once: Vec::new(),
        });
        assert_eq!((seen.copied(0), seen.copied(1), seen.copied(2)), (300_005_007, 5_001, 0));
        assert_eq!(render::source_read(seen.source_bytes_read, seen.copied(0)), "source read once (1.00×): 286.1 MiB");
    }
}
