//! A route as it was read, the version that a swap must find, and what came of a swap.

use super::document::RouteDocument;
use crate::driver::Driver;
use migrate_core::{item::Item, model::Token};

/// A route as it was read, and the version that a swap must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The document of the route.
    pub document: RouteDocument,
    pub(super) version: Version,
}

/// The version of a route, which a swap must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    /// The version of a single object.
    Token(Token),
    /// The highest number of a series.
    Number(u64),
    /// The whole item of a table.
    Item(Item),
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
