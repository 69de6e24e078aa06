//! Places that cannot be asked: a command that breaks off at one names all of them, so that they can be mended at once.

use std::fmt::Write as _;

use super::{
    error::{Code, Failure},
    render,
    session::{self, Session},
};
use migrate_core::model::DatasetName;
use migrate_engine::{self as engine, Sites, Unreached};
use migrate_ledger::Ledger;

/// The most datasets that are named for one cause.
const NAMED_MAX: usize = 6;

/// What keeps servers from being asked, with the servers and the datasets that it stops.
#[derive(Debug, PartialEq, Eq)]
struct Cause<'a> {
    reason: &'a str,
    servers: Vec<(&'a str, &'a str)>,
    datasets: Vec<&'a DatasetName>,
}

/// Runs what asks the places of these datasets; if one of them cannot be asked, the failure names all that cannot.
pub(super) fn block_on<T>(
    session: &Session,
    datasets: &[DatasetName],
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    session::block_on(async {
        match work.await {
            Err(failure) if failure.is_unreached => Err(completed(session, datasets, failure).await),
            ended => ended,
        }
    })
}

/// The failure with all servers that cannot be asked in place of the first.
pub(super) async fn completed(session: &Session, datasets: &[DatasetName], failure: Failure) -> Failure {
    let unreached = session::sites().unreached(&session.plan, datasets).await;
    // What answers now was away for a moment.
    if unreached.is_empty() { failure } else { failure.replaced_by(told(&unreached), &unreached) }
}

/// The servers of these datasets that cannot be asked, as a failure if they stop all of the datasets. A dataset whose
/// lead has moved needs none of them: what follows the lead may be gone for good.
pub(super) async fn look(
    session: &Session,
    sites: &Sites,
    ledger: Option<&Ledger>,
    datasets: &[DatasetName],
) -> Result<Vec<Unreached>, Failure> {
    let standing = session.standing(ledger, session.goal(), 0).await;
    let standing = standing.map_err(|error| Failure::engine(&error, session.redactor))?;
    let all = || standing.iter().flat_map(|phase| &phase.datasets);
    let has_moved = |name: &DatasetName| all().any(|one| one.name == *name && one.lifecycle.moved_to().is_some());
    let asked: Vec<_> = engine::asked(&session.plan, &[], datasets).map(|dataset| dataset.name.clone()).collect();
    let unmoved: Vec<_> = asked.iter().filter(|name| !has_moved(name)).cloned().collect();
    if unmoved.is_empty() {
        return Ok(Vec::new());
    }
    let unreached = sites.unreached(&session.plan, &unmoved).await;
    let is_stopped = |name: &DatasetName| unreached.iter().any(|one| one.datasets.contains(name));
    if unreached.is_empty() || !asked.iter().all(is_stopped) { Ok(unreached) } else { Err(refused(&unreached)) }
}

/// The servers of these datasets that cannot be asked; none of no datasets.
pub(super) async fn stopping(session: &Session, datasets: Vec<DatasetName>) -> Result<Vec<Unreached>, Failure> {
    if datasets.is_empty() { Ok(Vec::new()) } else { Ok(session::sites().unreached(&session.plan, &datasets).await) }
}

/// Servers that cannot be asked, as a failure.
pub(super) fn refused(unreached: &[Unreached]) -> Failure {
    Failure::new(Code::Incomplete, String::new()).replaced_by(told(unreached), unreached)
}

/// All causes, each once.
pub(super) fn told(unreached: &[Unreached]) -> String {
    let causes = causes(unreached);
    let servers: usize = causes.iter().map(|cause| cause.servers.len()).sum();
    let whom = if servers == 1 { "it" } else { "them" };
    let mut datasets: Vec<_> = causes.iter().flat_map(|cause| &cause.datasets).collect();
    datasets.sort_unstable();
    datasets.dedup();
    let mut text = format!(
        "{} cannot be asked, and {} {whom}:",
        render::count(servers as u64, "server", "servers"),
        render::count(datasets.len() as u64, "dataset needs", "datasets need")
    );
    for Cause { reason, servers, datasets } in causes {
        let _ = write!(text, "\n  {reason}");
        let mut last = "";
        for (site, at) in servers {
            let _ = if site == last { write!(text, ", {at}") } else { write!(text, "\n    {site}: {at}") };
            last = site;
        }
        let named: Vec<_> = datasets.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let more = datasets.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = write!(text, "\n    stops {}{more}", named.join(", "));
    }
    text
}

fn causes(unreached: &[Unreached]) -> Vec<Cause<'_>> {
    let mut causes: Vec<Cause<'_>> = Vec::new();
    for Unreached { site, at, reason, datasets } in unreached {
        let at_cause = causes.iter().position(|cause| cause.reason == reason).unwrap_or_else(|| {
            causes.push(Cause { reason, servers: Vec::new(), datasets: Vec::new() });
            causes.len() - 1
        });
        let cause = &mut causes[at_cause];
        // Buckets and tables of one region are one place to a person.
        if !cause.servers.contains(&(site.as_str(), at.as_str())) {
            cause.servers.push((site.as_str(), at));
        }
        cause.datasets.extend(datasets);
        cause.datasets.sort_unstable();
        cause.datasets.dedup();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::SiteName;

    #[test]
    fn each_cause_is_told_once_with_all_that_it_stops() {
        let unreached = |site: &str, at: &str, reason: &str, datasets: &[&str]| Unreached {
            site: SiteName::new(site).unwrap(),
            at: at.to_owned(),
            reason: reason.to_owned(),
            datasets: datasets.iter().map(|name| DatasetName::new(name).unwrap()).collect(),
        };
        let all = [
            unreached("here", "https://s3.here", "no credentials: set A and B", &["shop", "mail"]),
            unreached("here", "https://tables.here", "no credentials: set A and B", &["users"]),
            unreached("there", "https://s3.there", "no connection", &["a", "b", "c", "d", "e", "f", "shop"]),
        ];
        let expected = "\
3 servers cannot be asked, and 9 datasets need them:
  no credentials: set A and B
    here: https://s3.here, https://tables.here
    stops mail, shop, users
  no connection
    there: https://s3.there
    stops a, b, c, d, e, f and 1 more";
        assert_eq!(told(&all), expected);
    }
}
