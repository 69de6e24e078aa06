//! Where the objects of a dataset belong, by their routing, by listings, by what the ledger knows and by looks.
//!
//! What a listing shows, key and size, decides without another request if no rule asks for more. Otherwise the object
//! is looked at, with its tags if a rule asks for them. A look is not repeated while the lead shows the version that the
//! ledger has paired with the one target that the object belongs to: under one meaning of a dataset, one version has one
//! destination, and a changed `where` is another meaning. Three things are looked at each time all the same, because
//! nothing durable says what a look would:
//!
//! - an object that is paired nowhere, also one that belongs to no target
//! - every object, if a rule asks for tags: they change without a new version
//! - every object, if a policy asks for more than key and size: a policy may change, and is no part of the meaning

use std::sync::Arc;

use crate::failed::Failed;
use migrate_core::{
    diff::Lead,
    expression::object,
    model::{Key, PlaceIndex, Token},
    plan::{Dataset, Location, Plan},
    routing::{Destination, Routing},
};
use migrate_ledger::HeldRow;
use migrate_store::{Entry, ObjectStore, Properties, StoreError, guard::Judge, survive};

/// Where an object of the lead belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goes {
    To(Destination),
    /// It was listed, and a look did not find it: it may be gone by now.
    Vanished,
    /// That cannot be said; for this reason. It is neither written nor deleted anywhere.
    Unknown(Failed),
}

impl Goes {
    /// What the lead shows of it for a place.
    pub(crate) fn shows<'a>(&self, place: PlaceIndex, shown: Option<&'a Token>) -> Lead<'a> {
        match self {
            Self::To(to) if !to.holds(place) && shown.is_some() => Lead::Elsewhere,
            _ => shown.into(),
        }
    }

    /// Whether it belongs to a place; not if that is unknown.
    pub(crate) fn is_to(&self, place: PlaceIndex) -> bool {
        matches!(self, Self::To(to) if to.holds(place))
    }
}

/// What must not be written at a target, if the keys alone say so: the store's guard asks once more what was asked when
/// the record was routed. Other rules ask for what a write does not bring along.
pub(crate) fn judge_of(plan: &Plan, dataset: &Dataset, at: &Location) -> Option<Box<Judge>> {
    let routing = Routing::new(plan, dataset);
    let (place, _) = dataset.numbered_targets().find(|(_, target)| target.at == *at)?;
    if routing.is_open() || routing.needs().iter().any(|name| name != "key") {
        return None;
    }
    Some(Box::new(move |key| match routing.route(&object(key, 0, None, None)) {
        Ok(to) => (!to.holds(place)).then(|| "the record belongs elsewhere".to_owned()),
        Err(misrouted) => Some(misrouted.to_string()),
    }))
}

/// What the lead has of a record for one place.
#[derive(Debug)]
pub(crate) enum AtLead {
    /// This version, which belongs there.
    Version(Token),
    /// Nothing: the lead says that the record is not there. Only a listing proves that.
    Absent,
    /// A version that belongs elsewhere.
    Elsewhere,
    /// A version, and it cannot be said where it belongs, for this reason.
    Unknown(Failed),
}

/// Asks where the objects of a dataset belong.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    routing: Routing,
    lead: Arc<dyn ObjectStore>,
    wants_metadata: bool,
    wants_tags: bool,
    /// Whether what the ledger has paired says where a version belongs.
    trusts_pairs: bool,
}

impl Router {
    pub(crate) fn new(routing: &Routing, lead: &Arc<dyn ObjectStore>) -> Self {
        let needs = |name: &str| routing.needs().contains(name);
        Self {
            wants_metadata: needs("metadata"),
            wants_tags: needs("tags"),
            trusts_pairs: !needs("tags") && !routing.has_policies(),
            routing: routing.clone(),
            lead: Arc::clone(lead),
        }
    }

    /// The same for another lead.
    pub(crate) fn led_by(&self, lead: &Arc<dyn ObjectStore>) -> Self {
        Self { lead: Arc::clone(lead), ..self.clone() }
    }

    /// The policies that judge single records.
    pub(crate) fn policies(&self) -> Vec<String> {
        self.routing.policies()
    }

    /// Whether all versions of an object belong to the same places.
    pub(crate) fn follows_key(&self) -> bool {
        self.routing.needs().iter().all(|name| name == "key")
    }

    /// Where a listed object belongs, if neither a look nor the ledger is needed to say so.
    pub(crate) fn listed(&self, key: &Key, size: u64) -> Option<Goes> {
        if self.routing.is_open() {
            return Some(Goes::To(Destination::Everywhere));
        }
        (!self.wants_metadata && !self.wants_tags).then(|| self.goes(key, size, None))
    }

    /// Where a listed object belongs by what the ledger has paired.
    pub(crate) fn known(&self, entry: &Entry, held: &[Option<HeldRow>]) -> Option<Goes> {
        let shows = |row: &HeldRow| row.held.lead.as_ref().is_some_and(|lead| lead.agrees_with(&entry.token));
        let mut paired = held.iter().flatten().filter(|row| self.trusts_pairs && shows(row)).map(|row| row.place);
        let first = paired.next()?;
        match (self.routing.is_partitioned(), paired.next()) {
            (false, _) => Some(Goes::To(Destination::Everywhere)),
            (true, None) => Some(Goes::To(Destination::Only(first))),
            // Both were written of one version, so at least one of them is wrong.
            (true, Some(_)) => None,
        }
    }

    /// Looks at an object. Returns the version that was looked at, and where it belongs.
    pub(crate) async fn look(&self, key: &Key) -> Result<Option<(Token, Goes)>, StoreError> {
        let Some(head) = survive::look(&*self.lead, key, self.wants_tags).await? else { return Ok(None) };
        let goes = match self.listed(key, head.token.size) {
            Some(goes) => goes,
            None => self.goes(key, head.token.size, Some(&head.properties)),
        };
        Ok(Some((head.token, goes)))
    }

    /// What the lead has of a record for one place, by a look.
    pub(crate) async fn at_lead(&self, place: PlaceIndex, key: &Key) -> Result<AtLead, StoreError> {
        Ok(match self.look(key).await? {
            None => AtLead::Absent,
            Some((token, goes)) if goes.is_to(place) => AtLead::Version(token),
            Some((_, Goes::Unknown(reason))) => AtLead::Unknown(reason),
            Some(_) => AtLead::Elsewhere,
        })
    }

    fn goes(&self, key: &Key, size: u64, properties: Option<&Properties>) -> Goes {
        let metadata = properties.filter(|_| self.wants_metadata).map(|properties| &properties.metadata);
        let tags = properties.filter(|_| self.wants_tags).map(|properties| &properties.tags);
        match self.routing.route(&object(key, size, metadata, tags)) {
            Ok(to) => Goes::To(to),
            Err(misrouted) => Goes::Unknown(Failed::misrouted(misrouted.to_string())),
        }
    }
}
