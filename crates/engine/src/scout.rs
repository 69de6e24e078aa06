//! The search for a key at which a running shard can be split.

use crate::error::EngineError;
use migrate_core::{
    model::{Key, KeyRange},
    shard,
};
use migrate_store::ObjectStore;

/// Longer keys may be refused: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const KEY_BYTES_MAX: usize = 1024;

/// The result of a search for a key to split at.
#[derive(Debug, Default)]
pub(crate) struct Scouted {
    pub(crate) at: Option<Key>,
    /// A key above which the source has nothing.
    pub(crate) ceiling: Option<Key>,
}

/// Looks for a key of the source near the middle of a range: it halves the range until a key lies above the middle. It
/// assumes no alphabet. The upper end of an open range is found first, by what the keys have in common; as a `ceiling`
/// it serves all later searches.
pub(crate) async fn scout(
    source: &dyn ObjectStore,
    rest: KeyRange,
    ceiling: Option<Key>,
) -> Result<Scouted, EngineError> {
    let mut found = Scouted { at: None, ceiling };
    if let (None, None, Some(after)) = (&rest.until, &found.ceiling, &rest.after) {
        found.ceiling = ceiling_above(source, after).await?;
    }
    let mut upper = match (&rest.until, &found.ceiling) {
        (Some(until), Some(ceiling)) => Some(until.min(ceiling).clone()),
        (until, ceiling) => until.as_ref().or(ceiling.as_ref()).cloned(),
    };
    while let Some(middle) = shard::bisect(rest.after.as_ref(), upper.as_ref()) {
        match first_above(source, &middle, rest.until.as_ref()).await? {
            // A split at the end of the range would give no key away: what lies above the middle is that key alone.
            Some(key) if rest.until.as_ref() != Some(&key) => {
                found.at = Some(key);
                break;
            }
            None if rest.until.is_none() => found.ceiling = Some(middle.clone()),
            _ => {}
        }
        upper = Some(middle);
    }
    Ok(found)
}

/// The first key of the source in a range.
async fn first_above(source: &dyn ObjectStore, after: &Key, until: Option<&Key>) -> Result<Option<Key>, EngineError> {
    let mut listing = source.list(KeyRange { after: Some(after.clone()), until: until.cloned() });
    let page = listing.next().await?;
    Ok(page.and_then(|page| page.into_iter().next()).map(|entry| entry.key))
}

/// A key above which the source has nothing: the longest beginning of `key` that all later keys have in common with
/// it, and then the highest character. `None` if there is none. Takes a few requests, where halving all keys takes
/// eight for each byte in common.
async fn ceiling_above(source: &dyn ObjectStore, key: &Key) -> Result<Option<Key>, EngineError> {
    let text = key.as_str();
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let above = |end: usize| Key::new(format!("{}{}", &text[..end], char::MAX));
    let tops: Vec<_> = ends.map(above).filter(|top| top.as_str().len() <= KEY_BYTES_MAX).collect();
    // The longer the beginning, the lower the top: nothing is above those before `low`, something above those from
    // `high` on.
    let (mut low, mut high) = (0, tops.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match first_above(source, &tops[middle], None).await? {
            None => low = middle + 1,
            Some(_) => high = middle,
        }
    }
    Ok(low.checked_sub(1).map(|at| tops[at].clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_store::{Properties, memory::MemoryStore};

    fn store(keys: &[&str]) -> MemoryStore {
        let store = MemoryStore::new("s3://here/data/");
        for key in keys {
            store.put_raw(key, "", Properties::default());
        }
        store
    }

    #[tokio::test]
    async fn a_key_is_found_below_a_gap_that_only_the_end_of_the_range_is_above() {
        let store = store(&["k/1", "k/2", "k/3", "k/4", "k/5", "k/6", "k/a0"]);
        let rest = KeyRange { after: Some("k/1".into()), until: Some("k/a0".into()) };
        let at = scout(&store, rest, None).await.unwrap().at.expect("there are keys to give away");
        assert!(at > "k/1".into() && at < "k/a0".into(), "{at}");
    }

    #[tokio::test]
    async fn the_end_of_an_open_range_is_known_by_what_its_keys_have_in_common() {
        let store = store(&["archive/2024/a", "archive/2024/m", "archive/2024/z"]);
        let ceiling = ceiling_above(&store, &"archive/2024/a".into()).await.unwrap();
        assert_eq!(ceiling, Some(Key::new(format!("archive/2024/{}", char::MAX))));
        let rest = KeyRange { after: Some("archive/2024/a".into()), until: None };
        let found = scout(&store, rest, None).await.unwrap();
        assert!(found.at.is_some_and(|at| at > "archive/2024/a".into()));
        // Nothing is above the last key, and nothing is left to give away.
        let rest = KeyRange { after: Some("archive/2024/z".into()), until: None };
        assert_eq!(scout(&store, rest, None).await.unwrap().at, None);
        let highest = char::MAX.to_string().repeat(3);
        store.put_raw(&highest, "", Properties::default());
        assert_eq!(ceiling_above(&store, &"archive/2024/a".into()).await.unwrap(), None);
    }
}
