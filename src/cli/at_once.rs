//! [`AtOnce`]: how many requests run at once at each site, as the events of a run tell it.

use std::collections::{BTreeMap, BTreeSet};

use migrate_core::{
    model::{DatasetName, SiteName},
    report::{EventKind, RequestsAtOnce},
};

/// How many requests run at once at each site that a dataset at work uses.
#[derive(Debug, Clone, Default)]
pub(super) struct AtOnce {
    sites: BTreeMap<SiteName, RequestsAtOnce>,
    used: BTreeMap<DatasetName, BTreeSet<SiteName>>,
}

impl AtOnce {
    /// Takes what an event tells.
    pub(super) fn take(&mut self, told: &EventKind) {
        match told {
            EventKind::Progress { dataset, requests_at_once, .. }
            | EventKind::Verifying { dataset, requests_at_once, .. } => {
                let used = requests_at_once.iter().map(|one| one.site.clone()).collect();
                self.used.insert(dataset.clone(), used);
                self.sites.extend(requests_at_once.iter().map(|one| (one.site.clone(), one.clone())));
            }
            // What it does next, if anything, uses sites of its own.
            EventKind::DatasetState { dataset, .. } | EventKind::DatasetEnded { dataset, .. } => {
                self.used.remove(dataset);
            }
            _ => {}
        }
    }

    /// What was last told of each site that is in use, by name.
    pub(super) fn now(&self) -> Vec<RequestsAtOnce> {
        let is_used = |one: &&RequestsAtOnce| self.used.values().any(|sites| sites.contains(&one.site));
        self.sites.values().filter(is_used).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::report::WhyAtOnce;

    #[test]
    fn the_last_word_on_a_site_counts_and_what_is_not_used_is_not_told() {
        let site = |name: &str, now| RequestsAtOnce {
            site: SiteName::new(name).unwrap(),
            now,
            most: 512,
            why: WhyAtOnce::Growing,
        };
        let verifying = |dataset: &str, requests_at_once| EventKind::Verifying {
            dataset: DatasetName::new(dataset).unwrap(),
            compared: 0,
            fraction: None,
            expected: None,
            eta_seconds: None,
            shards_ended: 0,
            shards: 1,
            requests_at_once,
        };
        let ended = |dataset: &str| EventKind::DatasetEnded {
            dataset: DatasetName::new(dataset).unwrap(),
            targets: Vec::new(),
            source_bytes_read: 0,
        };
        let mut at_once = AtOnce::default();
        at_once.take(&verifying("d", vec![site("b", 16), site("a", 16)]));
        at_once.take(&verifying("e", vec![site("b", 32)]));
        assert_eq!(at_once.now(), [site("a", 16), site("b", 32)]);
        at_once.take(&ended("d"));
        assert_eq!(at_once.now(), [site("b", 32)]);
        at_once.take(&ended("e"));
        assert_eq!(at_once.now(), []);
    }
}
