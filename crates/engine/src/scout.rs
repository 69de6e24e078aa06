//! The search for a key at which a running shard can be split.

use futures::future::try_join_all;

use crate::{control::Control, error::EngineError};
use migrate_core::{
    model::{Key, KeyRange},
    shard,
};
use migrate_store::{EndpointId, ObjectStore};

/// Longer keys may be refused: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const KEY_BYTES_MAX: usize = 1024;

/// Places that a search asks about at once, so that it takes a few round trips and not one for each of them.
const AT_ONCE: usize = 4;

/// In a directory there is no way to go, and each place may take a walk through all its names.
fn at_once(source: &dyn ObjectStore) -> usize {
    if *source.endpoint() == EndpointId::Files { 1 } else { AT_ONCE }
}

/// The result of a search for a key to split at.
#[derive(Debug, Default)]
pub(crate) struct Scouted {
    pub(crate) at: Option<Key>,
    /// A key above which the source has nothing.
    pub(crate) ceiling: Option<Key>,
}

impl Scouted {
    /// Where to split, if a key was found. Lowers the ceiling that is `known`, never lifts it: searches of several shards
    /// go on at the same time, each with the one that it began with.
    pub(crate) fn lowering(self, known: &mut Option<Key>) -> Option<Key> {
        *known = known.take().into_iter().chain(self.ceiling).min();
        self.at
    }
}

/// [`scout`] in what a running shard has not taken yet. A shard that takes no more keys has none to give away, and whoever
/// runs it would wait for the search: it ends with the shard, and has found nothing.
pub(crate) async fn scout_while_open(
    source: &dyn ObjectStore,
    control: &Control,
    ceiling: Option<Key>,
) -> Result<Scouted, EngineError> {
    tokio::select! {
        found = scout(source, control.rest().0, ceiling) => found,
        () = control.closed() => Ok(Scouted::default()),
    }
}

/// Looks for a key of the source near the middle of a range: it halves the range until a key lies above the middle. It
/// assumes no alphabet. The upper end of an open range is found first, by what the keys have in common; as a `ceiling`
/// it serves all later searches.
async fn scout(source: &dyn ObjectStore, rest: KeyRange, ceiling: Option<Key>) -> Result<Scouted, EngineError> {
    let mut found = Scouted { at: None, ceiling };
    if let (None, None, Some(after)) = (&rest.until, &found.ceiling, &rest.after) {
        found.ceiling = ceiling_above(source, after).await?;
    }
    let mut upper = match (&rest.until, &found.ceiling) {
        (Some(until), Some(ceiling)) => Some(until.min(ceiling).clone()),
        (until, ceiling) => until.as_ref().or(ceiling.as_ref()).cloned(),
    };
    loop {
        // If nothing lies above a middle, the next one is that of what lies below it: so the next ones are known.
        let below = |upper: Option<&Key>| shard::bisect(rest.after.as_ref(), upper);
        let middles = std::iter::successors(below(upper.as_ref()), |middle| below(Some(middle))).take(at_once(source));
        let middles: Vec<_> = middles.collect();
        if middles.is_empty() {
            return Ok(found);
        }
        let firsts = middles.iter().map(|middle| first_above(source, middle, rest.until.as_ref()));
        let firsts = try_join_all(firsts).await?;
        for (middle, first) in middles.into_iter().zip(firsts) {
            match first {
                // A split at the end of the range would give no key away: what lies above the middle is that key alone.
                Some(key) if rest.until.as_ref() != Some(&key) => {
                    found.at = Some(key);
                    return Ok(found);
                }
                None if rest.until.is_none() => found.ceiling = Some(middle.clone()),
                _ => {}
            }
            upper = Some(middle);
        }
    }
}

/// The first key of the source in a range.
async fn first_above(source: &dyn ObjectStore, after: &Key, until: Option<&Key>) -> Result<Option<Key>, EngineError> {
    let first = source.first(KeyRange { after: Some(after.clone()), until: until.cloned() }).await?;
    Ok(first.map(|entry| entry.key))
}

/// A key above which the source has nothing: the longest beginning of `key` that all later keys have in common with
/// it, and then the highest character. `None` if there is none. Takes a few round trips, where halving all keys
/// takes eight requests for each byte in common.
async fn ceiling_above(source: &dyn ObjectStore, key: &Key) -> Result<Option<Key>, EngineError> {
    let text = key.as_str();
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let above = |end: usize| Key::new(format!("{}{}", &text[..end], char::MAX));
    let tops: Vec<_> = ends.map(above).filter(|top| top.as_str().len() <= KEY_BYTES_MAX).collect();
    // The longer the beginning, the lower the top: nothing is above those before `low`, something above those from
    // `high` on.
    let (mut low, mut high) = (0, tops.len());
    while low < high {
        let (from, width) = (low, high - low);
        let count = width.min(at_once(source));
        let asked: Vec<_> = (1..=count).map(|part| from + part * width / (count + 1)).collect();
        let firsts = try_join_all(asked.iter().map(|at| first_above(source, &tops[*at], None))).await?;
        for (at, first) in asked.into_iter().zip(firsts) {
            if first.is_some() {
                high = at;
                break;
            }
            low = at + 1;
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

    #[test]
    fn a_search_that_began_with_a_higher_ceiling_does_not_lift_it() {
        let found = |ceiling: Option<&str>| Scouted { at: None, ceiling: ceiling.map(Key::from) };
        let mut known = None;
        for (ceiling, lowest) in
            [(None, None), (Some("m"), Some("m")), (Some("z"), Some("m")), (None, Some("m")), (Some("c"), Some("c"))]
        {
            assert_eq!(found(ceiling).lowering(&mut known), None);
            assert_eq!(known, lowest.map(Key::from));
        }
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
