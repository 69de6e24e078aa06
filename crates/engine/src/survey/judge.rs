//! Draws conclusions from the counts: what is refused, and the least time that limits allow.

use crate::survey::{preview::DatasetPreview, surveyor::Surveyor, total::place_of};
use migrate_core::{
    model::SiteName,
    plan::{Dataset, Extra},
    report::{Grouped, Redactor, records},
};

impl Surveyor<'_> {
    /// Draws conclusions from the counts: refusals, and the least time that limits allow.
    pub(super) fn judge(&self, dataset: &Dataset, seen: &mut DatasetPreview) {
        for target in &seen.targets {
            if target.extra > 0 && dataset.extra == Extra::Refuse {
                seen.blocks.push(format!(
                    "only {} has {}, and the plan says extra = \"refuse\"",
                    target.target,
                    records(target.extra)
                ));
            }
            let held = target.skip + target.replace + target.compare + target.delete;
            let allowed = u128::from(held) * u128::from(dataset.delete_share_permille);
            if u128::from(target.delete) * 1000 > allowed {
                seen.blocks.push(format!(
                    "a run would delete {} of {} at {}, more than delete_share allows ({}%): look at the \
                     source; if that is what you want, run with --force",
                    Grouped(target.delete),
                    records(held),
                    target.target,
                    f64::from(dataset.delete_share_permille) / 10.0
                ));
            }
            if let Some((key, reason)) = &target.first_unholdable {
                seen.blocks.push(format!(
                    "{} cannot be held by {} under {}, such as {}: {reason}; exclude such keys, or choose a target \
                     that can hold them",
                    records(target.unholdable),
                    target.target,
                    if target.unholdable == 1 { "its key" } else { "their keys" },
                    Redactor::new(self.inspection.plan.redact_keys).key(key)
                ));
            }
            if target.proof.is_none() {
                seen.notes.push(format!("{} was not probed: what it can do is not known", target.target));
            }
        }
        let read = seen.targets.iter().map(|target| target.bytes).max().unwrap_or(0);
        let mut seconds =
            place_of(dataset, &seen.source).and_then(|at| self.seconds(&at.site, read, seen.source_requests));
        for described in &seen.targets {
            let Some(at) = place_of(dataset, &described.target) else { continue };
            seconds = seconds.max(self.seconds(&at.site, described.bytes, described.requests));
        }
        seen.seconds_min = seconds;
    }

    /// Least seconds that the limits of a site allow.
    pub(super) fn seconds(&self, site: &SiteName, bytes: u64, requests: u64) -> Option<u64> {
        let limits = &self.inspection.plan.sites.get(site)?.limits;
        let by_bytes = limits.bandwidth.map(|bandwidth| bytes.div_ceil(bandwidth.max(1)));
        let by_requests = limits.requests_per_second.map(|rate| requests.div_ceil(u64::from(rate.max(1))));
        by_bytes.max(by_requests)
    }
}
