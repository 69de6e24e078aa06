//! How many requests run at once at the sites that a dataset uses, and why.

use std::sync::Arc;

use migrate_core::{model::SiteName, report::RequestsAtOnce};
use migrate_store::limit::{SiteLimits, Width};

/// The sites whose endpoints a dataset uses, with what finds how many requests each bears.
#[derive(Debug, Clone, Default)]
pub(crate) struct Widths(Vec<(SiteName, Arc<SiteLimits>)>);

impl Widths {
    /// The site is used, too.
    pub(super) fn add(&mut self, site: &SiteName, limits: Arc<SiteLimits>) {
        if self.0.iter().all(|(known, _)| known != site) {
            self.0.push((site.clone(), limits));
        }
    }

    /// What to tell of them now.
    pub(crate) fn told(&self) -> Vec<RequestsAtOnce> {
        self.0.iter().map(|(site, limits)| told(site, limits.width())).collect()
    }
}

fn told(site: &SiteName, Width { at_once, most, why }: Width) -> RequestsAtOnce {
    RequestsAtOnce { site: site.clone(), now: at_once as u64, most: most as u64, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::report::WhyAtOnce;
    use migrate_store::limit::{AtOnce, Quota};

    #[test]
    fn a_site_is_told_once_with_the_limit_that_holds() {
        let site = SiteName::new("a").unwrap();
        let at_once = AtOnce { least: 16, most: 512 };
        let quota = |requests_at_once| Quota { requests_at_once, at_once, ..Quota::default() };
        let limits = SiteLimits::new("a", quota(None), Arc::new(jiff::Timestamp::now));
        let mut widths = Widths::default();
        widths.add(&site, Arc::clone(&limits));
        widths.add(&site, Arc::clone(&limits));
        let of = |now, most, why| vec![RequestsAtOnce { site: site.clone(), now, most, why }];
        assert_eq!(widths.told(), of(16, 512, WhyAtOnce::Beginning));
        limits.set(quota(Some(8)));
        assert_eq!(widths.told(), of(8, 8, WhyAtOnce::Limit));
        limits.set(quota(Some(9_999)));
        assert_eq!(widths.told(), of(16, 512, WhyAtOnce::Beginning));
        limits.set(Quota { at_once: AtOnce::fixed(32), ..quota(None) });
        assert_eq!(widths.told(), of(32, 32, WhyAtOnce::Fixed));
    }
}
