//! Whether two objects are equal, as far as a look at both can tell.

use migrate_core::report::{Grouped, bytes};
use migrate_store::{Head, survive::Scope};

/// What a look at both sides shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Comparable digests agree, and so do the properties that must survive.
    Equal,
    /// They differ; the text says in what.
    Differs(String),
    /// The sizes agree, but no digest is comparable: only the bytes can decide.
    Undecided,
}

/// Compares two objects by size, stored digests and properties; never by time, never by size alone.
pub fn compare(source: &Head, target: &Head, scope: Scope) -> Verdict {
    if source.token.size != target.token.size {
        return Verdict::Differs(format!("{} instead of {}", bytes(target.token.size), Grouped(source.token.size)));
    }
    let agree = digests_agree(source, target);
    if agree == Some(false) {
        return Verdict::Differs("the stored checksums differ".to_owned());
    }
    if let Some(difference) = scope.differs(source, target) {
        return Verdict::Differs(difference);
    }
    if agree == Some(true) { Verdict::Equal } else { Verdict::Undecided }
}

/// Whether the digests agree; `None` if the sides keep no comparable ones, of the same kind over the same bytes.
fn digests_agree(source: &Head, target: &Head) -> Option<bool> {
    let (ours, theirs) = (&source.checksums, &target.checksums);
    if let (Some(ours), Some(theirs)) = (ours.sha256, theirs.sha256) {
        return Some(ours == theirs);
    }
    if let (Some(ours), Some(theirs)) = (ours.crc64nvme, theirs.crc64nvme) {
        return Some(ours == theirs);
    }
    match (ours.md5, theirs.md5) {
        (Some(ours), Some(theirs)) if ours == theirs => Some(true),
        // A tag that looks like an MD5 may not be one, so unequal tags prove nothing.
        (Some(_), Some(_)) => None,
        // A multipart tag is the digest of the parts' digests: equal tags mean equal parts, unequal tags may mean
        // only another layout.
        _ => (source.token.tag == target.token.tag && source.token.tag.contains('-') && ours.md5.is_none())
            .then(|| source.token.tag.rsplit_once('-').is_some_and(|(digest, _)| digest.len() == 32))
            .filter(|agree| *agree),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migrate_core::model::{Aspects, Modified, Sha256, Token};
    use migrate_store::{Capabilities, Checksums, Header, Properties};

    fn head(size: u64, tag: &str, checksums: Checksums) -> Head {
        Head {
            token: Token { size, tag: tag.into(), modified: Modified::At(1) },
            properties: Properties::default(),
            tag_count: None,
            checksums,
            part_size: None,
            left_behind: Vec::new(),
            archived: false,
        }
    }

    fn waiving(waived: Aspects) -> Scope {
        let can = Capabilities { properties: true, tags: true, ..Capabilities::unproved() };
        Scope::new(&can, &can, waived)
    }

    fn all() -> Scope {
        waiving(Aspects::NONE)
    }

    #[test]
    fn equal_sizes_alone_decide_nothing() {
        let (a, b) = (head(3, "a", Checksums::default()), head(3, "a", Checksums::default()));
        assert_eq!(compare(&a, &b, all()), Verdict::Undecided);
        assert!(matches!(compare(&a, &head(4, "a", Checksums::default()), all()), Verdict::Differs(_)));
    }

    #[test]
    fn digests_of_one_kind_decide() {
        let sha = |byte| Checksums { sha256: Some(Sha256([byte; 32])), ..Checksums::default() };
        let crc = |crc| Checksums { crc64nvme: Some(crc), ..Checksums::default() };
        let md5 = |byte| Checksums { md5: Some([byte; 16]), ..Checksums::default() };
        for (a, b, expected) in [
            (sha(1), sha(1), Verdict::Equal),
            (crc(1), crc(1), Verdict::Equal),
            (md5(1), md5(1), Verdict::Equal),
            (md5(1), md5(2), Verdict::Undecided),
            (sha(1), crc(1), Verdict::Undecided),
        ] {
            assert_eq!(compare(&head(1, "a", a), &head(1, "b", b), all()), expected);
        }
        assert!(matches!(compare(&head(1, "a", crc(1)), &head(1, "a", crc(2)), all()), Verdict::Differs(_)));
    }

    #[test]
    fn multipart_tags_decide_only_when_equal() {
        let tag = "d41d8cd98f00b204e9800998ecf8427e-2";
        let of = |tag| head(9, tag, Checksums::default());
        assert_eq!(compare(&of(tag), &of(tag), all()), Verdict::Equal);
        assert_eq!(compare(&of(tag), &of("00000000000000000000000000000000-3"), all()), Verdict::Undecided);
        assert_eq!(compare(&of("1-2-3"), &of("1-2-3"), all()), Verdict::Undecided, "a directory's tag is no digest");
    }

    #[test]
    fn properties_that_must_survive_are_compared() {
        let crc = Checksums { crc64nvme: Some(1), ..Checksums::default() };
        let mut source = head(1, "a", crc.clone());
        source.properties.headers.insert(Header::CacheControl, "no-store".into());
        source.properties.tags.insert("team".into(), "shop".into());
        let target = head(1, "b", crc);
        assert!(matches!(compare(&source, &target, all()), Verdict::Differs(text) if text.contains("CacheControl")));
        let tags_only = waiving(Aspects::ALL.without(Aspects::TAGS));
        assert!(matches!(compare(&source, &target, tags_only), Verdict::Differs(text) if text.contains("team")));
        assert_eq!(compare(&source, &target, waiving(Aspects::ALL)), Verdict::Equal);
        assert!(matches!(compare(&target, &source, tags_only), Verdict::Differs(_)), "a surplus tag counts too");
        let surplus = compare(&target, &source, waiving(Aspects::TAGS));
        assert!(matches!(surplus, Verdict::Differs(text) if text.contains("CacheControl")), "and so does a header");
    }

    #[test]
    fn what_does_not_travel_is_not_equal_because_its_bytes_are_there() {
        let crc = Checksums { crc64nvme: Some(1), ..Checksums::default() };
        let plain = head(1, "a", crc);
        for (name, kind) in [
            ("object-lock", Aspects::OBJECT_LOCK),
            ("redirect", Aspects::REDIRECT),
            ("storage-class", Aspects::STORAGE_CLASS),
        ] {
            let carries = Head { left_behind: vec![name], ..plain.clone() };
            assert!(matches!(compare(&carries, &plain, all()), Verdict::Differs(text) if text.contains(name)));
            assert_eq!(compare(&carries, &plain, waiving(kind)), Verdict::Equal);
        }
        let redirects = Head { left_behind: vec!["redirect"], ..plain.clone() };
        assert!(matches!(compare(&plain, &redirects, all()), Verdict::Differs(_)), "clients are sent elsewhere");
        let archived = Head { archived: true, ..plain.clone() };
        assert!(matches!(compare(&plain, &archived, all()), Verdict::Differs(_)), "nobody can read it");
        assert_eq!(compare(&plain, &archived, waiving(Aspects::STORAGE_CLASS)), Verdict::Equal);
    }

    /// What servers show for an object that was written without a type, or with an empty one.
    #[test]
    fn a_type_that_says_nothing_equals_none_both_ways_round() {
        let crc = Checksums { crc64nvme: Some(1), ..Checksums::default() };
        let typed = |value: Option<&str>| {
            let mut head = head(1, "a", crc.clone());
            head.properties.headers.extend(value.map(|value| (Header::ContentType, value.to_owned())));
            head
        };
        let silent = [None, Some(""), Some("binary/octet-stream"), Some("application/octet-stream")];
        for (lead, follower) in silent.iter().flat_map(|lead| silent.iter().map(move |follower| (*lead, *follower))) {
            assert_eq!(compare(&typed(lead), &typed(follower), all()), Verdict::Equal, "{lead:?} {follower:?}");
        }
        for one in silent {
            assert!(matches!(compare(&typed(one), &typed(Some("text/css")), all()), Verdict::Differs(_)), "{one:?}");
            assert!(matches!(compare(&typed(Some("text/css")), &typed(one), all()), Verdict::Differs(_)), "{one:?}");
        }
        let mut empty = head(1, "a", crc.clone());
        empty.properties.headers.insert(Header::CacheControl, String::new());
        assert_eq!(compare(&empty, &typed(None), all()), Verdict::Equal);
    }
}
