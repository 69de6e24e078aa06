//! [`SeriesRoute`]: a route in a directory, as a series of files.
//!
//! A file system can replace a file, and it can create a new name, but it cannot replace a file under the condition
//! that it is still the one that was read. A lock helps only processes that share it; two machines with one network
//! mount may not share one. So a route in a directory is a *series* of files, `PATH.000000000001`, `PATH.000000000002`
//! and so on: the file with the highest number is the route. A swap creates the whole file of the next number under a
//! new name, or fails; no file of a series is ever changed, replaced or removed. A probe finds out whether the file
//! system replaces a file that it must not replace; if so, the route is refused.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    document::RouteDocument,
    error::RouteError,
    kept::Kept,
    name::RouteName,
    object,
    shown::{Shown, Version},
};
use migrate_core::model::{Key, KeyRange};
use migrate_store::{Condition, Conditions, ObjectStore};

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

/// A route as the files of a directory that begin with a name.
#[derive(Debug)]
pub(super) struct SeriesRoute {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    pub(super) name: RouteName,
}

#[async_trait]
impl Kept for SeriesRoute {
    /// Reads the last document of the series.
    async fn read(&self) -> Result<Option<Shown>, RouteError> {
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
            return Err(self.name.foreign(format!(
                "a route in a directory is a series of files; if this is one, give it the name {first}"
            )));
        }
        let Some(number) = last else { return Ok(None) };
        // No file of a series is removed or changed, so a listed one exists.
        let read = self.store.read(&numbered(name, number), None, None).await?;
        Ok(Some(Shown { document: self.name.parse(&read.bytes)?, version: Version::Number(number) }))
    }

    async fn write(&self, from: Option<&Version>, to: &RouteDocument) -> Result<(), RouteError> {
        let last = match from {
            Some(Version::Number(last)) => *last,
            _ => 0,
        };
        object::put(&*self.store, &numbered(self.key.as_str(), last + 1), to, &Condition::Absent).await
    }

    async fn probe(&self) -> Result<(), RouteError> {
        self.store.probe().await?;
        Ok(())
    }

    fn is_atomic(&self) -> bool {
        self.store.capabilities().put_if_absent
    }

    fn needs(&self) -> &'static str {
        "If-None-Match, as a file system does that never replaces a file whose name must be new"
    }

    fn conditions(&self) -> Conditions {
        self.store.capabilities().conditions()
    }

    fn found(&self) -> Value {
        object::found(&*self.store)
    }
}
