//! What must survive on the way from one store to another, and whether it has.
//!
//! All code that copies, compares, verifies or settles a lost answer uses this one rule: a copy is [given] what
//! must survive, and no copy [passes](Scope::differs) for equal that lacks some of it, or has more than the lead.
//! Out of scope is only what a plan waives and what the lead cannot hold; a proof names it. A follower that cannot
//! hold something is no excuse: if the lead has some, they differ.
//!
//! Tags stand apart from their object: S3 shows the tags of whatever version is current, unless the bucket keeps
//! versions. [`tags_at`] looks again afterwards, so that no object is put together from two versions.

use std::collections::BTreeMap;

use crate::{
    error::{ErrorKind, StoreError},
    object::{Head, Header, ObjectStore, Properties, Result},
};
use migrate_core::{
    capability::{Capabilities, MetadataForm, UploadTags},
    model::{Aspects, Key},
};

/// How often a store must say that it has no tags.
const REFUSALS_MIN: u32 = 3;

/// Which properties must survive between two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    kinds: Aspects,
    /// How metadata values are compared.
    form: MetadataForm,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// In one request.
    Whole,
    /// In parts.
    Parts,
}

impl Scope {
    /// All that the lead can hold, minus what is waived.
    pub fn new(lead: &Capabilities, follower: &Capabilities, waived: Aspects) -> Self {
        // If one side makes words of its own, the words may differ.
        let form = if lead.metadata == MetadataForm::Words { lead.metadata } else { follower.metadata };
        Self { kinds: held(lead).without(waived), form }
    }

    /// Whether a look at the object tells no more than a read of its bytes.
    pub fn is_empty(self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether tags must survive.
    pub fn has_tags(self) -> bool {
        self.kinds.holds(Aspects::TAGS)
    }

    /// How two objects differ beside their bytes; `None` if everything that must survive did, and nothing was added.
    ///
    /// Properties that this build cannot copy (locks, redirects, cold storage) differ even if both sides have some:
    /// their presence shows, their content does not.
    pub fn differs(self, lead: &Head, follower: &Head) -> Option<String> {
        if let Some(name) = self.left_behind(lead) {
            return Some(does_not_travel(name));
        }
        if follower.archived && self.kinds.holds(Aspects::STORAGE_CLASS) {
            return Some("it is in cold storage, where nobody can read it before it is restored".to_owned());
        }
        // A follower may have a lock or a storage class by its bucket's own rules; a redirect comes from a writer.
        if self.left_behind(follower) == Some("redirect") {
            return Some("\"redirect\" is there, the lead has none".to_owned());
        }
        self.properties_differ(&lead.properties, &follower.properties)
    }

    /// The difference in headers, metadata and tags alone.
    pub fn properties_differ(self, lead: &Properties, follower: &Properties) -> Option<String> {
        let headers = || {
            Header::ALL.into_iter().find_map(|header| {
                let (wanted, found) = (lead.header(header), follower.header(header));
                let surplus = || format!("{header:?} is {}, the lead has none", shown(found));
                let differs = |wanted| format!("{header:?} is {} instead of {wanted:?}", shown(found));
                (wanted != found).then(|| wanted.map_or_else(surplus, differs))
            })
        };
        let metadata =
            || maps_differ("metadata", &lead.metadata, &follower.metadata, |a, b| self.form.reads_alike(a, b));
        let tags = || maps_differ("tag", &lead.tags, &follower.tags, |a, b| a == b);
        let within = |kind| self.kinds.holds(kind);
        (within(Aspects::HEADERS).then(headers).flatten())
            .or_else(|| within(Aspects::METADATA).then(metadata).flatten())
            .or_else(|| within(Aspects::TAGS).then(tags).flatten())
    }

    /// A property of an object that must survive and that this build cannot copy.
    fn left_behind(self, head: &Head) -> Option<&'static str> {
        left_behind(self.kinds, head)
    }
}

fn left_behind(kinds: Aspects, head: &Head) -> Option<&'static str> {
    head.left_behind.iter().copied().find(|name| kinds.holds(Aspects::named(name)))
}

/// The properties that a target is given; an error if it cannot hold what must survive.
///
/// Waived tags stay behind. Other waived properties come along if the target holds them, since they cost no request.
pub fn given(head: &Head, shape: Shape, waived: Aspects, target: &dyn ObjectStore) -> Result<Properties, String> {
    let can = target.capabilities();
    if let Some(name) = left_behind(Aspects::ALL.without(waived), head) {
        return Err(does_not_travel(name));
    }
    let mut properties = head.properties.clone();
    properties.headers.retain(|_, value| !value.trim().is_empty());
    let refused =
        |what: &str, waive: &str| Err(format!("{} keeps no {what}: waive {waive:?} in the plan", target.location()));
    if waived.holds(Aspects::TAGS) {
        properties.tags.clear();
    } else if !can.tags && !properties.tags.is_empty() {
        return refused("tags", "tags");
    } else if shape == Shape::Parts && can.upload_tags == UploadTags::Lost && !properties.tags.is_empty() {
        return refused("tags of objects that are written in parts", "tags");
    }
    if !can.properties {
        let says = Header::ALL.into_iter().any(|header| properties.header(header).is_some());
        if says && !waived.holds(Aspects::HEADERS) {
            return refused("content headers", "content-headers");
        }
        if !properties.metadata.is_empty() && !waived.holds(Aspects::METADATA) {
            return refused("metadata", "metadata");
        }
        properties.headers.clear();
        properties.metadata.clear();
    }
    let unread = |value: &String| can.metadata.sent(value).is_none();
    if let Some((name, _)) = properties.metadata.iter().find(|(_, value)| unread(value)) {
        if !waived.holds(Aspects::METADATA) {
            return Err(format!(
                "{} does not show the metadata {name:?} as it is, which is not ASCII: waive \"metadata\" in the plan",
                target.location()
            ));
        }
        properties.metadata.retain(|_, value| !unread(value));
    }
    Ok(properties)
}

/// The tags of the very version that `head` shows. Fails with [`ErrorKind::Changed`] if the object is no longer at it.
///
/// There is a second look only if there are tags, or should be. If neither a look nor the tags say that there are
/// some, a version that came in between has lost its tags as well, and the next listing shows it.
///
/// If a store says each time that it has no tags, about an object without a tag count, the store is believed: from
/// then on its [`Capabilities`] and every proof say so too. A single such answer may come from a proxy in between.
pub async fn tags_at(store: &dyn ObjectStore, key: &Key, head: &Head) -> Result<BTreeMap<String, String>> {
    if !store.capabilities().tags || head.tag_count == Some(0) {
        return Ok(BTreeMap::new());
    }
    let error = |kind, detail| StoreError::new(kind, "read tags of", store.location(), detail).on(key);
    for _ in 0..REFUSALS_MIN {
        let answer = match store.tags(key).await {
            Err(error) if error.kind() == ErrorKind::Unsupported && head.tag_count.is_none() => None,
            // The object was there a moment ago: look again before any conclusion.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(error.of_kind(ErrorKind::Changed)),
            answer => Some(answer?),
        };
        if answer.as_ref().is_some_and(BTreeMap::is_empty) && head.tag_count.is_none() {
            return Ok(BTreeMap::new());
        }
        let Some(now) = store.head(key).await?.filter(|now| head.token.agrees_with(&now.token)) else {
            return Err(error(ErrorKind::Changed, "it changed"));
        };
        match (answer, now.tag_count) {
            (Some(tags), Some(1..)) if tags.is_empty() => {
                return Err(error(ErrorKind::Garbled, "it counts tags and shows none"));
            }
            (Some(tags), _) => return Ok(tags),
            (None, _) => {}
        }
    }
    store.adopt(Capabilities { tags: false, ..store.capabilities() });
    Ok(BTreeMap::new())
}

/// A look at an object, with its tags if they are asked for.
pub async fn look(store: &dyn ObjectStore, key: &Key, tags: bool) -> Result<Option<Head>> {
    let Some(mut head) = store.head(key).await? else { return Ok(None) };
    if tags {
        head.properties.tags = tags_at(store, key, &head).await?;
    }
    Ok(Some(head))
}

/// The kinds of properties that a store can hold.
pub fn held(can: &Capabilities) -> Aspects {
    let kinds = [(can.properties, Aspects::ALL.without(Aspects::TAGS)), (can.tags, Aspects::TAGS)];
    kinds.into_iter().filter(|(can, _)| *can).map(|(_, kinds)| kinds).collect()
}

fn does_not_travel(name: &str) -> String {
    format!("it has a property that does not travel yet: waive \"{name}\" in the plan to leave it")
}

fn maps_differ(
    what: &str,
    lead: &BTreeMap<String, String>,
    follower: &BTreeMap<String, String>,
    alike: impl Fn(&str, &str) -> bool,
) -> Option<String> {
    for (name, value) in lead {
        let found = follower.get(name);
        if !found.is_some_and(|found| alike(value, found)) {
            return Some(format!("{what} {name:?} is {} instead of {value:?}", shown(found.map(String::as_str))));
        }
    }
    let surplus = follower.keys().find(|name| !lead.contains_key(*name))?;
    Some(format!("{what} {surplus:?} is there, the lead has none"))
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| format!("{value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    async fn store(change: impl FnOnce(&mut Capabilities)) -> MemoryStore {
        let mut can = MemoryStore::new("m").probe().await.unwrap();
        change(&mut can);
        let store = MemoryStore::new("m").with_capabilities(can);
        store.probe().await.unwrap();
        store
    }

    fn tagged(value: &str) -> Properties {
        let header = (Header::CacheControl, "no-store".to_owned());
        Properties { headers: [header].into(), tags: [("v".into(), value.into())].into(), ..Properties::default() }
    }

    #[test]
    fn nothing_is_in_scope_where_the_lead_can_hold_nothing() {
        assert!(Scope::new(&Capabilities::unproved(), &Capabilities::unproved(), Aspects::NONE).is_empty());
    }

    #[tokio::test]
    async fn a_target_is_given_what_it_holds_and_refuses_what_it_must_not_lose() {
        let whole = store(|_| {}).await;
        let tagless = store(|can| can.tags = false).await;
        let bytes_only = store(|can| (can.tags, can.properties) = (false, false)).await;
        whole.put_raw("k", "1", tagged("1"));
        let mut head = whole.head(&"k".into()).await.unwrap().unwrap();
        head.properties.headers.insert(Header::ContentType, String::new());
        head.properties.tags = tags_at(&whole, &"k".into(), &head).await.unwrap();
        assert_eq!(given(&head, Shape::Whole, Aspects::NONE, &whole), Ok(tagged("1")), "an empty header says nothing");
        // A waiver for one target takes nothing from the others.
        assert!(given(&head, Shape::Whole, Aspects::TAGS, &tagless).unwrap().tags.is_empty());
        assert!(given(&head, Shape::Whole, Aspects::NONE, &tagless).unwrap_err().contains("\"tags\""));
        assert!(given(&head, Shape::Whole, Aspects::TAGS, &bytes_only).unwrap_err().contains("\"content-headers\""));
        assert_eq!(given(&head, Shape::Whole, Aspects::ALL, &bytes_only), Ok(Properties::default()));
        head.left_behind.push("redirect");
        assert!(given(&head, Shape::Whole, Aspects::NONE, &whole).unwrap_err().contains("\"redirect\""));
    }

    /// A store with a write between the look at an object and the look at its tags.
    #[tokio::test]
    async fn tags_of_another_version_are_not_taken() {
        let store = store(|can| can.tag_count = false).await;
        let key = Key::from("k");
        store.put_raw("k", "1", tagged("1"));
        let head = store.head(&key).await.unwrap().unwrap();
        assert_eq!(tags_at(&store, &key, &head).await.unwrap(), tagged("1").tags);
        store.put_raw("k", "2", tagged("2"));
        assert_eq!(tags_at(&store, &key, &head).await.unwrap_err().kind(), ErrorKind::Changed);
        store.delete(&key, &super::super::Condition::None).await.unwrap();
        assert_eq!(tags_at(&store, &key, &head).await.unwrap_err().kind(), ErrorKind::Changed);
    }
}
