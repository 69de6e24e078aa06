//! Routes: small documents that tell applications which site leads a dataset.
//!
//! A route is one JSON object in a bucket. It changes only by compare-and-swap: it is written under the condition
//! that the store still holds the version that was read. On a store that ignores such conditions two writers could
//! both believe that they won, so a route there is refused.
//!
//! # In a directory
//!
//! A file system can replace a file, and it can create a new name, but it cannot replace a file under the condition
//! that it is still the one that was read. A lock helps only processes that share it; two machines with one network
//! mount may not share one. So a route in a directory is a *series* of files, `PATH.000000000001`, `PATH.000000000002`
//! and so on: the file with the highest number is the route. A swap creates the whole file of the next number under a
//! new name, or fails; no file of a series is ever changed, replaced or removed. A probe finds out whether the file
//! system replaces a file that it must not replace; if so, the route is refused.
//!
//! # Attempts
//!
//! Every document carries the name of the attempt that wrote it. So a read settles a lost answer:
//! if the route shows our attempt, we wrote it. If not, it may still change,
//! because the request may be on its way; [`RouteStore::swap`] then says so, and a caller that must be sure
//! that the request never takes effect writes the route anew (see [`crate::cutover::switch`]).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::driver::Driver;
use migrate_core::{
    digest::Body,
    model::{DatasetName, Epoch, Key, KeyRange, SiteName, Timestamp, Token},
    plan::{self, Scheme},
};
use migrate_store::{self, Capabilities, Condition, ErrorKind, Header, ObjectStore, Properties, StoreError};

/// A document of more bytes is no route.
const BYTES_MAX: u64 = 1 << 20;
/// How often a route that is listed but not found is read: it may be written between the two requests.
const READS_MAX: u32 = 3;

/// The document that applications read. Fields that this build does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDocument {
    /// The dataset whose lead it shows.
    pub dataset: DatasetName,
    /// How often the lead has moved.
    pub epoch: Epoch,
    /// The name of the attempt that wrote it.
    pub attempt: String,
    /// The site to which applications write.
    pub lead: SiteName,
    /// The sites that were equal to the lead when the document was written.
    pub followers: Vec<SiteName>,
    /// Seconds after which a client must read the route again before it writes.
    pub max_age_s: u64,
    /// When it was written, in RFC 3339 and UTC.
    pub since: String,
    /// The migration that may write at the dataset's places; `None` if none has claimed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Driver>,
}

impl RouteDocument {
    /// The document as stored.
    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a route of names and numbers is JSON") + "\n"
    }

    /// A time as documents hold it.
    pub(crate) fn moment(at: Timestamp) -> String {
        at.to_string()
    }
}

/// A route as it was read, and the version that a swap must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The document of the route.
    pub document: RouteDocument,
    version: Version,
}

/// The version of a route, which a swap must find.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// The version of a single object.
    Token(Token),
    /// The highest number of a series.
    Number(u64),
}

/// How a route is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One object, which a swap replaces under a condition.
    Document,
    /// Numbered files, to which a swap adds one.
    Series,
}

/// What differs between the route now and the route that was read; `None` if nothing differs.
pub(crate) fn differs(read: Option<&Shown>, now: Option<&Shown>) -> Option<String> {
    let (read, now) = match (read, now) {
        (None, None) => return None,
        (Some(_), None) => return Some("it was there when it was read, and is gone".to_owned()),
        (read, Some(now)) => (read.map(|shown| &shown.document), &now.document),
    };
    let Some(read) = read else {
        return Some(format!(
            "there was none when it was read, and now it says that {} leads since epoch {} (attempt {})",
            now.lead, now.epoch, now.attempt
        ));
    };
    let driver = |document: &RouteDocument| document.driver.as_ref().map_or("none".to_owned(), Driver::to_string);
    let fields = [
        ("lead", read.lead.to_string(), now.lead.to_string()),
        ("epoch", read.epoch.to_string(), now.epoch.to_string()),
        ("driver", driver(read), driver(now)),
        ("attempt", read.attempt.clone(), now.attempt.clone()),
    ];
    let told: Vec<_> = fields
        .into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(what, was, is)| format!("its {what} was {was} and is {is}"))
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The result of a swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// The route shows the new document.
    Done,
    /// The store refused the condition; this is what the route shows now.
    Lost(Option<Box<Shown>>),
    /// No answer came, and the route does not show the new document yet, but still may.
    Unsettled,
}

/// Why a route cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not keep the conditions of writes: it ignores them, or refuses those that hold.
    #[error(
        "the route {location} cannot be switched safely: its store ignores conditional writes, or refuses those \
         whose condition holds; keep the route in a store that honours If-Match and If-None-Match"
    )]
    NoConditions {
        /// The route's location.
        location: String,
    },
    /// The object at the route's location is no route of the dataset.
    #[error(
        "what is at {location} is not a route of dataset {dataset}: {detail}; correct the plan's route, or move it away"
    )]
    Foreign {
        /// The route's location.
        location: String,
        /// The dataset whose route was expected.
        dataset: DatasetName,
        /// What is wrong, as text.
        detail: String,
    },
}

impl RouteError {
    /// Whether the route may have been written in spite of the error.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.outcome_unknown())
    }
}

/// Reads and writes the route of one dataset.
#[derive(Debug, Clone)]
pub struct RouteStore {
    store: Arc<dyn ObjectStore>,
    key: Key,
    location: String,
    /// The location, and the endpoint's address or the directory that it stands for.
    place: String,
    dataset: DatasetName,
    layout: Layout,
}

/// Digits of a number in a series, with leading zeros, so that names sort like numbers.
const DIGITS: usize = 12;

/// The key of the document with this number in a series; the first number is 1.
fn numbered(name: &str, number: u64) -> Key {
    Key::new(format!("{name}.{number:0DIGITS$}"))
}

/// The number of a document; `None` if the key is not of the series with this name.
pub fn number_in_series(name: &str, key: &str) -> Option<u64> {
    let digits = key.strip_prefix(name)?.strip_prefix('.')?;
    let fits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

impl RouteStore {
    /// The route of a dataset as a single object under a key of a store. `location` names it for people.
    pub fn new(store: Arc<dyn ObjectStore>, key: Key, location: String, dataset: DatasetName) -> Self {
        Self { store, key, place: location.clone(), location, dataset, layout: Layout::Document }
    }

    /// The route that the plan names, in the store of its folder: one object, or a series of files.
    pub fn of(store: Arc<dyn ObjectStore>, route: &plan::Route, dataset: DatasetName) -> Self {
        let (_, key) = route.folder_and_name();
        let layout = if route.scheme == Scheme::File { Layout::Series } else { Layout::Document };
        Self { layout, ..Self::new(store, key, route.to_string(), dataset) }
    }

    /// The same route, whose location stands for this place.
    #[must_use]
    pub fn at_place(mut self, place: &str) -> Self {
        self.place = format!("{} ({place})", self.location);
        self
    }

    /// The location with the place that it stands for: a route of the same name at another place is another route.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The location in the plan, for people.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// What the route's store can do, as far as a probe has shown.
    pub fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// Refuses a store on which a swap is not atomic, as far as a probe has shown.
    pub fn check(&self) -> Result<(), RouteError> {
        let can = self.store.capabilities();
        let matches = can.put_if_matches.is_honoured() || self.layout == Layout::Series;
        if can.put_if_absent && matches {
            return Ok(());
        }
        Err(RouteError::NoConditions { location: self.location.clone() })
    }

    /// Probes the store anew, under a scratch key beside the route, and checks that a swap works: the result
    /// of an earlier probe may no longer hold, and the switch would find out too late.
    pub async fn prove(&self) -> Result<(), RouteError> {
        self.store.probe().await?;
        self.check()
    }

    /// Reads the route; `None` if there is none yet: then the site of the plan's source leads. Every
    /// look at the lead uses this function.
    ///
    /// # Errors
    ///
    /// If it is unknown whether there is a route: the bucket or directory is missing, or cannot be
    /// listed. "Not found" alone is no answer; see [`is_listed`](Self::is_listed).
    pub async fn read(&self) -> Result<Option<Shown>, RouteError> {
        if self.layout == Layout::Series {
            return self.read_last().await;
        }
        for _ in 0..READS_MAX {
            match self.read_document().await? {
                None if self.is_listed().await? => {}
                answer => return Ok(answer),
            }
        }
        let detail = "the store lists it, and says that it is not there: run again";
        Err(StoreError::new(ErrorKind::Unavailable, "read route", &self.location, detail).into())
    }

    /// Reads the document under the route's key; `None` if the store says that there is none.
    async fn read_document(&self) -> Result<Option<Shown>, RouteError> {
        let Some(head) = self.store.head(&self.key).await? else { return Ok(None) };
        if head.token.size > BYTES_MAX {
            return Err(self.foreign(format!("it has {} bytes", head.token.size)));
        }
        let read = match self.store.read(&self.key, None, None).await {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let document = self.parse(&read.bytes)?;
        Ok(Some(Shown { document, version: Version::Token(read.head.token) }))
    }

    /// Reads the last document of a series.
    async fn read_last(&self) -> Result<Option<Shown>, RouteError> {
        let name = self.key.as_str();
        // All names that begin with "NAME.": '/' comes right after '.'.
        let range = KeyRange { after: Some(Key::new(format!("{name}."))), until: Some(Key::new(format!("{name}/"))) };
        let (mut listing, mut last) = (self.store.list(range), None);
        while let Some(page) = listing.next().await? {
            let numbers = page.iter().filter_map(|entry| number_in_series(name, entry.key.as_str()));
            last = numbers.max().max(last);
        }
        if self.store.head(&self.key).await?.is_some() {
            let first = numbered(name, 1);
            return Err(self.foreign(format!(
                "a route in a directory is a series of files; if this is one, give it the name {first}"
            )));
        }
        let Some(number) = last else { return Ok(None) };
        // No file of a series is removed or changed, so a listed one exists.
        let read = self.store.read(&numbered(name, number), None, None).await?;
        Ok(Some(Shown { document: self.parse(&read.bytes)?, version: Version::Number(number) }))
    }

    fn parse(&self, bytes: &[u8]) -> Result<RouteDocument, RouteError> {
        let document: RouteDocument = serde_json::from_slice(bytes)
            .map_err(|error| self.foreign(format!("it does not read as one ({error})")))?;
        if document.dataset != self.dataset {
            return Err(self.foreign(format!("it is that of dataset {}", document.dataset)));
        }
        Ok(document)
    }

    fn foreign(&self, detail: String) -> RouteError {
        RouteError::Foreign { location: self.location.clone(), dataset: self.dataset.clone(), detail }
    }

    /// Whether a listing shows the route that a look did not find: it was perhaps written since, and must
    /// be read again.
    async fn is_listed(&self) -> Result<bool, RouteError> {
        Ok(migrate_store::is_listed(&*self.store, &self.key).await?)
    }

    /// Writes `to` if the route still is `from`. A second call with the same `to` changes nothing.
    pub async fn swap(&self, from: Option<&Shown>, to: &RouteDocument) -> Result<Swapped, RouteError> {
        self.check()?;
        let (key, condition) = match from.map(|shown| &shown.version) {
            None if self.layout == Layout::Document => (self.key.clone(), Condition::Absent),
            None => (numbered(self.key.as_str(), 1), Condition::Absent),
            Some(Version::Token(token)) => (self.key.clone(), Condition::Matches(token.clone())),
            Some(Version::Number(last)) => (numbered(self.key.as_str(), last + 1), Condition::Absent),
        };
        let body = Body::new(Bytes::from(to.text()));
        let headers = [
            (Header::ContentType, "application/json".to_owned()),
            // A cache between the route and its readers would serve an old document.
            (Header::CacheControl, "no-store".to_owned()),
        ];
        let properties = Properties { headers: headers.into(), metadata: BTreeMap::new(), tags: BTreeMap::new() };
        let Err(error) = self.store.put(&key, &body, &properties, &condition).await else {
            return Ok(Swapped::Done);
        };
        let unknown = error.outcome_unknown();
        if !unknown && error.kind() != ErrorKind::Precondition {
            return Err(error.into());
        }
        let shown = match self.read().await {
            Ok(shown) => shown,
            // Without this read the outcome stays unknown.
            Err(RouteError::Store(error)) if unknown => return Err(error.with_unknown_outcome().into()),
            Err(error) => return Err(error),
        };
        match shown {
            Some(shown) if shown.document.attempt == to.attempt => Ok(Swapped::Done),
            _ if unknown => Ok(Swapped::Unsettled),
            shown => Ok(Swapped::Lost(shown.map(Box::new))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_store::{
        IfMatch,
        faulty::{Crash, Faults, Faulty},
        memory::MemoryStore,
    };

    fn document(epoch: u64, lead: &str, attempt: &str) -> RouteDocument {
        RouteDocument {
            dataset: DatasetName::new("shop").unwrap(),
            epoch: Epoch(epoch),
            attempt: attempt.into(),
            lead: SiteName::new(lead).unwrap(),
            followers: vec![SiteName::new("beijing").unwrap()],
            max_age_s: 30,
            since: "2026-01-01T00:00:00Z".into(),
            driver: None,
        }
    }

    async fn route(store: Arc<dyn ObjectStore>) -> RouteStore {
        store.probe().await.unwrap();
        known(store)
    }

    fn known(store: Arc<dyn ObjectStore>) -> RouteStore {
        RouteStore::new(
            store,
            "routes/shop.json".into(),
            "s3://c/routes/shop.json".into(),
            DatasetName::new("shop").unwrap(),
        )
    }

    #[tokio::test]
    async fn a_route_moves_from_what_was_read_and_from_nothing_else() {
        let route = route(Arc::new(MemoryStore::new("s3://c/"))).await;
        assert_eq!(route.read().await.unwrap(), None);
        let first = document(1, "singapore", "a");
        assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done);
        assert_eq!(route.swap(None, &first).await.unwrap(), Swapped::Done, "twice is once");
        let shown = route.read().await.unwrap().unwrap();
        assert_eq!(shown.document, first);

        let lost = route.swap(None, &document(1, "oregon", "b")).await.unwrap();
        assert_eq!(lost, Swapped::Lost(Some(Box::new(shown.clone()))));
        let second = document(2, "oregon", "c");
        assert_eq!(route.swap(Some(&shown), &second).await.unwrap(), Swapped::Done);
        assert!(matches!(route.swap(Some(&shown), &document(2, "tokyo", "d")).await.unwrap(), Swapped::Lost(Some(_))));
        assert_eq!(route.read().await.unwrap().unwrap().document, second);
    }

    #[test]
    fn a_route_of_an_earlier_build_reads_and_one_without_a_driver_shows_none() {
        let released = document(1, "singapore", "a");
        assert!(!released.text().contains("driver"), "{}", released.text());
        assert_eq!(serde_json::from_str::<RouteDocument>(&released.text()).unwrap(), released);
        let driver = Driver { ledger: "l".into(), since: "s".into(), by: None, state: None, instead_of: None };
        let claimed = RouteDocument { driver: Some(driver), ..released };
        assert_eq!(serde_json::from_str::<RouteDocument>(&claimed.text()).unwrap(), claimed);
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_holds_no_route() {
        let honest = MemoryStore::new("s3://c/").probe().await.unwrap();
        let blind = Capabilities { put_if_matches: IfMatch::Ignored, ..honest };
        let route = route(Arc::new(MemoryStore::new("s3://c/").with_capabilities(blind))).await;
        let error = route.swap(None, &document(1, "singapore", "a")).await.unwrap_err();
        assert!(matches!(error, RouteError::NoConditions { .. }), "{error}");
        assert_eq!(route.read().await.unwrap(), None, "nothing was written");
    }

    fn series(store: Arc<dyn ObjectStore>) -> RouteStore {
        RouteStore { layout: Layout::Series, ..known(store) }
    }

    /// Two machines with one network mount: each can create a new name, and neither sees the other's lock, so
    /// that both could replace the file that they have read.
    #[tokio::test]
    async fn of_two_machines_that_share_no_lock_one_wins() {
        let store = Arc::new(MemoryStore::new("file://c/"));
        let honest = store.probe().await.unwrap();
        let unlocked = MemoryStore::clone(&store);
        let unlocked =
            Arc::new(unlocked.with_capabilities(Capabilities { put_if_matches: IfMatch::Ignored, ..honest }));
        let (one, two) = (series(unlocked.clone()), series(unlocked));
        let mut shown = None;
        for epoch in 1..5 {
            let (ours, theirs) = (document(epoch, "singapore", "ours"), document(epoch, "oregon", "theirs"));
            assert_eq!(one.swap(shown.as_ref(), &ours).await.unwrap(), Swapped::Done);
            let Swapped::Lost(Some(now)) = two.swap(shown.as_ref(), &theirs).await.unwrap() else {
                panic!("both won epoch {epoch}");
            };
            assert_eq!(now.document, ours);
            shown = two.read().await.unwrap();
            assert_eq!(shown.as_ref().unwrap().document, ours);
        }
        let names: Vec<_> = store.snapshot().keys().map(|key| key.as_str().to_owned()).collect();
        assert_eq!(names[0], "routes/shop.json.000000000001");
        assert_eq!(names.len(), 4, "what was shown stays");
    }

    #[tokio::test]
    async fn the_highest_number_is_the_route_and_other_names_are_none() {
        let store = Arc::new(MemoryStore::new("file://c/").with_page_size(2));
        store.probe().await.unwrap();
        let route = series(store.clone());
        let put = |name: &str, epoch| store.put_raw(name, document(epoch, "a", "x").text(), Properties::default());
        put("routes/shop.json.000000000009", 9);
        put("routes/shop.json.000000000010", 10);
        for other in ["routes/shop.json.bak", "routes/shop.json.000000000011~", "routes/shop.json.99", "routes/shop2"] {
            put(other, 99);
        }
        assert_eq!(route.read().await.unwrap().unwrap().document.epoch, Epoch(10));
        put("routes/shop.json", 1);
        let error = route.read().await.unwrap_err();
        assert!(error.to_string().contains("shop.json.000000000001"), "{error}");
    }

    #[test]
    fn what_differs_is_named_and_nothing_is_made_up() {
        let token = Token { size: 1, tag: "a".into(), modified_s: None };
        let shown = |epoch, lead, attempt| Shown {
            document: document(epoch, lead, attempt),
            version: Version::Token(token.clone()),
        };
        let read = shown(1, "oregon", "a");
        assert_eq!(differs(Some(&read), Some(&read)), None);
        assert_eq!(differs(None, None), None);
        assert_eq!(
            differs(Some(&read), Some(&shown(2, "tokyo", "b"))).unwrap(),
            "its lead was oregon and is tokyo, its epoch was 1 and is 2, its attempt was a and is b"
        );
        assert_eq!(differs(Some(&read), Some(&shown(1, "oregon", "b"))).unwrap(), "its attempt was a and is b");
        assert!(differs(Some(&read), None).unwrap().contains("gone"));
        assert!(differs(None, Some(&read)).unwrap().contains("oregon leads since epoch 1 (attempt a)"));
    }

    #[tokio::test]
    async fn what_is_no_route_is_not_overwritten() {
        let store = Arc::new(MemoryStore::new("s3://c/"));
        let route = route(store.clone()).await;
        store.put_raw("routes/shop.json", "hello", Properties::default());
        let error = route.read().await.unwrap_err();
        assert!(error.to_string().contains("is not a route of dataset shop"), "{error}");
        let other = RouteDocument { dataset: DatasetName::new("other").unwrap(), ..document(1, "x", "a") };
        store.put_raw("routes/shop.json", other.text(), Properties::default());
        assert!(route.read().await.unwrap_err().to_string().contains("that of dataset other"));
    }

    #[tokio::test]
    async fn a_lost_answer_is_settled_by_reading() {
        for (crash, expected) in [(Crash::After(1), true), (Crash::Before(1), false)] {
            let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("s3://c/"));
            store.probe().await.unwrap();
            let broken: Arc<dyn ObjectStore> =
                Arc::new(Faulty::new(store.clone(), Arc::new(Faults::none().with_crash(crash))));
            // The writer can no longer ask, so the next process reads.
            assert!(known(broken).swap(None, &document(1, "singapore", "a")).await.is_err());
            let shown = known(store).read().await.unwrap();
            assert_eq!(shown.is_some_and(|shown| shown.document.attempt == "a"), expected);
        }
    }
}
