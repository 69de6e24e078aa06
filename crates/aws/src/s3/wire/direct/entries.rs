//! The entries of a page in the plain form in which servers write them, read without a reader for all of XML.
//!
//! A page has a thousand entries, and a general reader and a check of each of its events took most of the time of a
//! listing. An entry is plain if it consists of elements without attributes that hold text alone, with no references but
//! to XML's own five entities, and if it has all that it must have, once. Of such an entry there is one reading. Any other
//! entry, whatever is special about it or wrong with it, is left to [`document`](crate::s3::document), and so is all that
//! is no entry.

use std::borrow::Cow;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use crate::s3::{document::Skimmed, wire::plain::ListedObject};

/// Takes plain entries off the front of what follows in a page, up to the first thing that is none.
pub(super) fn skim(follows: &str, entries: &mut Vec<ListedObject>) -> Skimmed {
    let (before, mut rest, mut last) = (entries.len(), follows, None);
    while let Some((entry, after)) = entry(rest, &mut last) {
        entries.push(entry);
        rest = after;
    }
    Skimmed { bytes: follows.len() - rest.len(), entries: (entries.len() - before) as u64 }
}

/// A plain entry at the front of `text`, and what follows it. `last` is the time of the entry before, as text and in seconds
/// since 1970: neighbours are often of one second.
fn entry<'a>(text: &'a str, last: &mut Option<(&'a str, i64)>) -> Option<(ListedObject, &'a str)> {
    let mut rest = text.trim_ascii_start().strip_prefix("<Contents>")?;
    let (mut key, mut size, mut tag, mut modified_s) = (None, None, None, None);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(rest) = rest.strip_prefix("</Contents>") {
            let entry = ListedObject { key: Some(key?), size: Some(size?), tag: Some(tag?), modified_s };
            return Some((entry, rest));
        }
        let (name, text, after) = element(rest)?;
        rest = after;
        let is_again = match name {
            "Key" => key.replace(some(text)?.into_owned()).is_some(),
            "ETag" => tag.replace(some(text)?.into_owned()).is_some(),
            "Size" => size.replace(u64::try_from(text.parse::<i64>().ok()?).ok()?).is_some(),
            "LastModified" => {
                let known = last.filter(|(known, _)| *known == text).map(|(_, second)| second);
                let read = || Some(DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok()?.secs());
                let second = known.or_else(read)?;
                *last = Some((text, second));
                modified_s.replace(second).is_some()
            }
            // Of others only the form matters; a reference may be one that XML does not know.
            _ => text.contains('&'),
        };
        if is_again {
            return None;
        }
    }
}

/// An element of a name of letters that holds text alone: its name, the text as it is written, and what follows.
fn element(text: &str) -> Option<(&str, &str, &str)> {
    let inside = text.strip_prefix('<')?;
    let length = inside.bytes().position(|byte| !byte.is_ascii_alphabetic()).filter(|length| *length > 0)?;
    let (name, rest) = inside.split_at(length);
    let rest = rest.strip_prefix('>')?;
    let (text, rest) = rest.split_at(rest.bytes().position(|byte| byte == b'<')?);
    let rest = rest.strip_prefix("</")?.strip_prefix(name)?.strip_prefix('>')?;
    Some((name, text, rest))
}

/// What a text means that is not empty, if it has no references but to XML's own five entities.
fn some(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = text.bytes().position(|byte| byte == b'&') else {
        return (!text.is_empty()).then_some(Cow::Borrowed(text));
    };
    let mut meant = String::with_capacity(text.len());
    let (before, mut rest) = text.split_at(first);
    meant.push_str(before);
    while let Some(reference) = rest.strip_prefix('&') {
        let (name, after) = reference.split_once(';')?;
        meant.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        let (plain, references) = after.split_at(after.bytes().position(|byte| byte == b'&').unwrap_or(after.len()));
        meant.push_str(plain);
        rest = references;
    }
    Some(Cow::Owned(meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "<Contents><Key>a%20b</Key><LastModified>2025-01-01T00:00:00.500Z</LastModified>\
        <ETag>&quot;1&amp;&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>";

    fn skimmed(page: &str) -> (usize, Vec<ListedObject>) {
        let mut entries = Vec::new();
        let Skimmed { bytes, entries: count } = skim(page, &mut entries);
        assert_eq!(count, entries.len() as u64);
        (bytes, entries)
    }

    #[test]
    fn plain_entries_are_taken_and_no_more() {
        let page = format!("{ENTRY}\n {}</ListBucketResult>", ENTRY.replace("2025", "2026"));
        let (bytes, entries) = skimmed(&page);
        assert_eq!(&page[bytes..], "</ListBucketResult>");
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| (entry.key.as_deref(), entry.size, entry.tag.as_deref(), entry.modified_s))
            .collect();
        let entry = |modified_s| (Some("a%20b"), Some(7), Some("\"1&\""), Some(modified_s));
        assert_eq!(shown, [entry(1_735_689_600), entry(1_767_225_600)]);
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for (from, to) in [
            ("<Contents>", "<Contents a=\"b\">"),
            ("<Contents>", "<Contents >"),
            ("<Contents>", "<Contents>text"),
            ("<Contents>", "<Contents><Owner><ID>o</ID></Owner>"),
            ("<Contents>", "<Contents><!-- none -->"),
            ("<Contents>", "<Contents><Prefix/>"),
            ("<Contents>", "<CommonPrefixes>"),
            ("</Contents>", "</Contents >"),
            ("</Contents>", ""),
            ("</Contents>", "</Content>"),
            ("<Key>a%20b</Key>", ""),
            ("<Key>a%20b</Key>", "<Key></Key>"),
            ("<Key>a%20b</Key>", "<Key>a</Key><Key>b</Key>"),
            ("a%20b", "a&#7;b"),
            ("a%20b", "a&b"),
            ("a%20b", "a<![CDATA[b]]>"),
            ("</Key>", "</key>"),
            ("<Size>7</Size>", ""),
            ("<Size>7</Size>", "<Size>-7</Size>"),
            ("<Size>7</Size>", "<Size>7 </Size>"),
            ("<Size>7</Size>", "<Size>9223372036854775808</Size>"),
            ("&quot;1&amp;&quot;", ""),
            ("&amp;", "&amp"),
            ("&amp;", "&nbsp;"),
            ("STANDARD", "&nbsp;"),
            ("2025-01", "2025-31"),
            ("2025-01-01T00:00:00.500Z", ""),
        ] {
            assert!(ENTRY.contains(from), "{from}");
            let (bytes, entries) = skimmed(&ENTRY.replacen(from, to, 1));
            assert_eq!((bytes, entries.len()), (0, 0), "{from} as {to}");
        }
        for cut in 0..ENTRY.len() {
            assert_eq!(skimmed(&ENTRY[..cut]).0, 0, "cut at {cut}");
        }
    }
}
