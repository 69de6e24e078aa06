//! The limits in force: those of the plan, or those that an operator has set in their place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::error::EngineError;
use migrate_core::plan::{self, Plan, limits::Limit};
use migrate_ledger::{LimitsOf, Setting};
use migrate_store::limit::{self, SiteLimits};

/// Requests at once that any server is taken to bear.
pub(crate) const AT_ONCE: usize = 16;
/// Requests at once at a server: more are found to be worth it, or not. Each may hold a connection, which is a file of
/// this process.
const FOUND: limit::AtOnce = limit::AtOnce { least: AT_ONCE, most: 512 };
/// Requests at once at a site of directories: each takes a thread of its own while the disk works.
const OF_DIRECTORIES: usize = 32;

/// One set of limits for each site and each dataset, shared by all its requests.
#[derive(Debug, Default)]
pub(crate) struct LimitBook(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// What an operator has set in place of the plan's.
    set: BTreeMap<(LimitsOf, String), Setting>,
    made: BTreeMap<LimitsOf, Arc<SiteLimits>>,
}

impl LimitBook {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limits of a site or dataset.
    pub(crate) fn of(&self, plan: &Plan, of: &LimitsOf) -> Result<Arc<SiteLimits>, EngineError> {
        let mut book = self.book();
        if let Some(made) = book.made.get(of) {
            return Ok(Arc::clone(made));
        }
        let limits = effective(plan, of, &book.set)?;
        let name = match of {
            LimitsOf::Site(site) => site.to_string(),
            LimitsOf::Dataset(_) => of.to_string(),
        };
        let made = SiteLimits::new(&name, limits, Arc::new(jiff::Timestamp::now));
        book.made.insert(of.clone(), Arc::clone(&made));
        Ok(made)
    }

    /// How many requests run at once at most at the site that bears the most.
    pub(crate) fn at_once(&self) -> usize {
        let book = self.book();
        let sites = book.made.iter().filter(|(of, _)| matches!(of, LimitsOf::Site(_)));
        sites.map(|(_, limits)| limits.width().at_once).max().unwrap_or_default()
    }

    /// Whether requests wait for working hours anywhere.
    pub(crate) fn waits_for_hours(&self) -> bool {
        self.book().made.values().any(|limits| limits.waits_for_hours())
    }

    /// Takes what an operator has set; requests that wait for a limit notice it at once.
    pub(crate) fn set(
        &self,
        plan: &Plan,
        settings: impl IntoIterator<Item = (LimitsOf, String, Setting)>,
    ) -> Result<(), EngineError> {
        let mut book = self.book();
        let mut set = book.set.clone();
        for (of, key, setting) in settings {
            set.insert((of, key), setting);
        }
        let changed: Result<Vec<_>, EngineError> =
            book.made.iter().map(|(of, made)| Ok((Arc::clone(made), effective(plan, of, &set)?))).collect();
        for (made, limits) in changed? {
            if made.limits() != limits {
                made.set(limits);
            }
        }
        book.set = set;
        Ok(())
    }
}

/// Refuses a setting that is not possible, with the reason.
pub(crate) fn check_setting(of: &LimitsOf, key: &str, setting: &Setting) -> Result<(), String> {
    let keys: &[&str] = match of {
        LimitsOf::Site(_) => &plan::limits::SITE_KEYS,
        LimitsOf::Dataset(_) => &plan::limits::DATASET_KEYS,
    };
    if !keys.contains(&key) {
        return Err(format!("{of} has no limit {key:?}; it has {}", keys.join(", ")));
    }
    match setting {
        Setting::To(value) => plan::limits::limit(key, value).map(drop),
        Setting::Plan | Setting::Unlimited => Ok(()),
    }
}

/// The plan's limits, overridden by what an operator has set.
fn effective(
    plan: &Plan,
    of: &LimitsOf,
    set: &BTreeMap<(LimitsOf, String), Setting>,
) -> Result<limit::Quota, EngineError> {
    let wrong = |detail: String| EngineError::Site { site: of.to_string(), detail };
    let mut limits = match of {
        LimitsOf::Site(name) => {
            let site = plan.sites.get(name).ok_or_else(|| wrong("the plan does not describe it".to_owned()))?;
            limit::Quota {
                bandwidth: site.limits.bandwidth,
                requests_per_second: site.limits.requests_per_second,
                requests_at_once: site.limits.requests_at_once,
                window: site.limits.window.as_ref().map(window).transpose().map_err(wrong)?,
                at_once: if site.directory.is_some() { limit::AtOnce::fixed(OF_DIRECTORIES) } else { FOUND },
            }
        }
        LimitsOf::Dataset(name) => {
            let dataset = plan.datasets().find(|dataset| dataset.name == *name);
            let own = dataset.map(|dataset| dataset.limits.clone()).unwrap_or_default();
            let (bandwidth, requests_per_second) = (own.bandwidth, own.requests_per_second);
            // Its sites find how many requests they bear; a dataset has fewer only after refusals. Its bound is for the
            // requests at all of its places together.
            let places = dataset.map_or(1, |dataset| dataset.places().count());
            let at_once = limit::AtOnce::fixed(FOUND.most * places);
            limit::Quota { bandwidth, requests_per_second, requests_at_once: None, window: None, at_once }
        }
    };
    for ((whose, key), setting) in set.iter().filter(|((whose, _), _)| whose == of) {
        check_setting(whose, key, setting).map_err(wrong)?;
        let value = match setting {
            Setting::Plan => continue,
            Setting::Unlimited => None,
            Setting::To(value) => Some(plan::limits::limit(key, value).map_err(wrong)?),
        };
        match (key.as_str(), value) {
            ("bandwidth", None) => limits.bandwidth = None,
            ("requests_per_second", None) => limits.requests_per_second = None,
            ("requests_at_once", None) => limits.requests_at_once = None,
            (_, None) => limits.window = None,
            (_, Some(Limit::Bandwidth(rate))) => limits.bandwidth = Some(rate),
            (_, Some(Limit::RequestsPerSecond(rate))) => limits.requests_per_second = Some(rate),
            (_, Some(Limit::RequestsAtOnce(number))) => limits.requests_at_once = Some(number),
            (_, Some(Limit::Window(hours))) => limits.window = Some(window(&hours).map_err(wrong)?),
        }
    }
    Ok(limits)
}

fn window(window: &plan::Window) -> Result<limit::WorkingHours, String> {
    limit::WorkingHours::new(window.start_min, window.end_min, &window.zone)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use migrate_core::{
        model::{DatasetName, SiteName},
        report::WhyAtOnce,
    };

    fn plan() -> Plan {
        let text = "name = \"p\"\n[sites.a]\ndirectory = \"a\"\nlimits = { bandwidth = \"1MB/s\" }\n\
                    [sites.b]\ndirectory = \"b\"\n[[phase]]\nname = \"one\"\n[[phase.dataset]]\nname = \"d\"\n\
                    source = \"file://a/x\"\ntargets = [\"file://b/x\"]\nwaive = [\"properties\"]\n";
        plan::parse(text, Path::new("p.toml")).unwrap()
    }

    #[test]
    fn what_is_set_holds_until_the_plan_is_to_hold_again() {
        let (plan, book) = (plan(), LimitBook::default());
        let site = LimitsOf::Site(SiteName::new("a").unwrap());
        let held = book.of(&plan, &site).unwrap();
        assert_eq!(held.limits().bandwidth, Some(1_000_000));
        let set = |key: &str, setting| book.set(&plan, [(site.clone(), key.to_owned(), setting)]);
        set("bandwidth", Setting::To("2MB/s".into())).unwrap();
        set("requests_per_second", Setting::To("7".into())).unwrap();
        assert_eq!((held.limits().bandwidth, held.limits().requests_per_second), (Some(2_000_000), Some(7)));
        set("requests_at_once", Setting::To("9".into())).unwrap();
        assert_eq!((held.width().at_once, held.width().why), (9, WhyAtOnce::Limit));
        set("requests_at_once", Setting::Unlimited).unwrap();
        assert_eq!((held.width().at_once, held.width().why), (OF_DIRECTORIES, WhyAtOnce::Fixed));
        set("bandwidth", Setting::Unlimited).unwrap();
        assert_eq!(held.limits().bandwidth, None);
        set("bandwidth", Setting::Plan).unwrap();
        assert_eq!(held.limits().bandwidth, Some(1_000_000));
        assert!(set("bandwidth", Setting::To("fast".into())).is_err());
        assert_eq!(held.limits().bandwidth, Some(1_000_000), "a wrong one changes nothing");
    }

    #[test]
    fn a_dataset_has_no_working_hours() {
        let dataset = LimitsOf::Dataset(DatasetName::new("d").unwrap());
        let hours = Setting::To("22:00-07:00 UTC".into());
        assert!(check_setting(&dataset, "window", &hours).unwrap_err().contains("has no limit"));
        assert!(check_setting(&dataset, "bandwidth", &Setting::To("1MB/s".into())).is_ok());
    }
}
