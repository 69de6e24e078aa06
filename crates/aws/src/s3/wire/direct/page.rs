//! Documents as they were read: a page of a listing, an error.
//!
//! [`document`](crate::s3::document) has found a page whole and complete before it is read here.

use std::{borrow::Cow, collections::BTreeMap};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use quick_xml::{Reader, events::Event};

use super::entries::skim;
use crate::s3::{
    document::{Reads, Skimmed},
    wire::plain::{Listed, ListedObject},
};

/// Code and message of an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

/// What one step through a document shows.
enum Step<'a> {
    Begins(Cow<'a, str>),
    Ends,
    Text(Cow<'a, str>),
    Over,
}

/// The steps of a document in UTF-8. The error says what cannot be read.
struct Steps<'a>(Reader<&'a [u8]>);

impl<'a> Steps<'a> {
    fn new(body: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let mut reader = Reader::from_str(text.trim_ascii_start().trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        Ok(Self(reader))
    }

    fn next(&mut self) -> Result<Step<'a>, String> {
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        loop {
            return Ok(match self.0.read_event().map_err(|error| wrong(&error))? {
                Event::Start(start) => {
                    let name = std::str::from_utf8(start.name().into_inner()).map_err(|error| wrong(&error))?;
                    Step::Begins(Cow::Owned(name.to_owned()))
                }
                Event::End(_) => Step::Ends,
                Event::Text(text) => Step::Text(text.decode().map_err(|error| wrong(&error))?),
                Event::CData(text) => Step::Text(text.decode().map_err(|error| wrong(&error))?),
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| wrong(&error))?;
                    Step::Text(Cow::Owned(meant(&name).ok_or_else(|| format!("&{name};"))?.to_string()))
                }
                Event::Eof => Step::Over,
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => continue,
            });
        }
    }
}

/// The character that a reference stands for. S3 names control characters of keys by number, which XML 1.0 does not allow.
fn meant(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    })
}

/// The error in a body whose root is one. What is cut off after that does not make it a success.
pub(super) fn error_of(body: &[u8]) -> Option<Said> {
    let mut steps = Steps::new(body).ok()?;
    let root = loop {
        match steps.next().ok()? {
            Step::Begins(name) => break name,
            Step::Text(_) => {}
            Step::Ends | Step::Over => return None,
        }
    };
    if root != "Error" {
        return None;
    }
    let mut said = Said::default();
    let whole = read(body, |path, text| {
        match path {
            ["Error", "Code"] => said.code = Some(text.to_owned()),
            ["Error", "Message"] => said.message = Some(text.to_owned()),
            _ => {}
        }
        Ok(())
    });
    // As in the SDK, an error that cannot be read to its end has no code.
    Some(if whole.is_ok() { said } else { Said::default() })
}

/// A page of a listing of objects, heard while [`document`](crate::s3::document) checks it.
#[derive(Debug)]
pub(super) struct Page {
    listed: Listed<ListedObject>,
    /// The entry that is being read.
    entry: ListedObject,
    /// The names of the open elements, and the text right in each.
    open: Vec<(String, String)>,
    /// What cannot be read, first of all.
    unread: Option<String>,
}

impl Page {
    pub(super) fn new() -> Self {
        let listed = Listed { entries: Vec::new(), follows: None, next: None, is_encoded: false };
        Self { listed, entry: blank(), open: Vec::new(), unread: None }
    }

    /// The page, once it was found whole and complete. The error says what cannot be read.
    pub(super) fn listed(self) -> Result<Listed<ListedObject>, String> {
        self.unread.map_or(Ok(self.listed), Err)
    }

    /// An element ends.
    fn ended(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        let Self { listed, entry, .. } = self;
        match path {
            ["ListBucketResult", "IsTruncated"] => listed.follows = Some(text.parse().map_err(|_| unread(path, text))?),
            ["ListBucketResult", "NextContinuationToken"] => listed.next = Some(text.to_owned()),
            ["ListBucketResult", "EncodingType"] => listed.is_encoded = text == "url",
            ["ListBucketResult", "Contents", "Key"] => entry.key = Some(text.to_owned()),
            ["ListBucketResult", "Contents", "ETag"] => entry.tag = Some(text.to_owned()),
            ["ListBucketResult", "Contents", "Size"] => {
                entry.size = u64::try_from(text.parse::<i64>().map_err(|_| unread(path, text))?).ok();
            }
            ["ListBucketResult", "Contents", "LastModified"] => {
                let date = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset);
                entry.modified_s = Some(date.map_err(|_| unread(path, text))?.secs());
            }
            ["ListBucketResult", "Contents"] => listed.entries.push(std::mem::replace(entry, blank())),
            _ => {}
        }
        Ok(())
    }
}

impl Reads for Page {
    fn begins(&mut self, name: &str) {
        self.open.push((name.to_owned(), String::new()));
    }

    fn text(&mut self, text: &str) {
        if let Some((_, open)) = self.open.last_mut() {
            open.push_str(text);
        }
    }

    fn refers(&mut self, name: &str) {
        match meant(name) {
            Some(meant) => self.text(meant.encode_utf8(&mut [0; 4])),
            None => _ = self.unread.get_or_insert_with(|| format!("&{name};")),
        }
    }

    fn ends(&mut self) {
        let open = std::mem::take(&mut self.open);
        let path: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
        if let Err(reason) = self.ended(&path, open.last().map_or("", |(_, text)| text)) {
            self.unread.get_or_insert(reason);
        }
        self.open = open;
        self.open.pop();
    }

    fn skim(&mut self, follows: &str) -> Skimmed {
        skim(follows, &mut self.listed.entries)
    }
}

/// The tags of an object. The error says what cannot be read.
pub(super) fn tags(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let mut tags = BTreeMap::new();
    let (mut name, mut value) = (None, None);
    read(body, |path, text| {
        match path {
            ["Tagging", "TagSet", "Tag", "Key"] => name = Some(text.to_owned()),
            ["Tagging", "TagSet", "Tag", "Value"] => value = Some(text.to_owned()),
            ["Tagging", "TagSet", "Tag"] => {
                // `document` has found both.
                if let (Some(name), Some(value)) = (name.take(), value.take()) {
                    tags.insert(name, value);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(tags)
}

fn blank() -> ListedObject {
    ListedObject { key: None, size: None, tag: None, modified_s: None }
}

fn unread(path: &[&str], text: &str) -> String {
    format!("<{}> is {text:?}", path.last().unwrap_or(&""))
}

/// Shows each element at its end, by its path from the root, with the text right in it.
fn read(body: &[u8], mut ended: impl FnMut(&[&str], &str) -> Result<(), String>) -> Result<(), String> {
    let mut steps = Steps::new(body)?;
    let mut names: Vec<String> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    loop {
        match steps.next()? {
            Step::Begins(name) => {
                names.push(name.into_owned());
                texts.push(String::new());
            }
            Step::Text(text) => {
                if let Some(open) = texts.last_mut() {
                    open.push_str(&text);
                }
            }
            Step::Ends => {
                let path: Vec<&str> = names.iter().map(String::as_str).collect();
                ended(&path, texts.last().map_or("", String::as_str))?;
                names.pop();
                texts.pop();
            }
            Step::Over if names.is_empty() => return Ok(()),
            Step::Over => return Err("it ends inside an element".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

    use super::*;
    use crate::s3::document::check_reading;

    /// A page as it is asked for: it must be whole and complete too.
    fn page(body: &[u8]) -> Result<Listed<ListedObject>, String> {
        let mut page = Page::new();
        check_reading("ListObjectsV2", true, body, &mut page).map_err(|unsound| unsound.detail)?;
        page.listed()
    }

    #[test]
    fn a_page_is_read_to_its_last_entry() {
        let body = concat!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>b</Name><EncodingType>url</EncodingType>",
            "<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>",
            "<Contents><Key>a&amp;&#x7;<![CDATA[<b>]]></Key><LastModified>2024-01-02T03:04:05.678Z</LastModified>",
            "<ETag>&quot;1&quot;</ETag><Size>0</Size><Owner><ID>o</ID><Key>no</Key></Owner></Contents>",
            "<Contents><Size>7</Size><ETag>2</ETag><Key>b<!-- no -->c</Key></Contents>",
            "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>\n",
        );
        let page = page(body.as_bytes()).unwrap();
        assert_eq!((page.follows, page.next.as_deref(), page.is_encoded), (Some(true), Some("a&b"), true));
        let entries: Vec<_> = page
            .entries
            .iter()
            .map(|entry| (entry.key.as_deref(), entry.size, entry.tag.as_deref(), entry.modified_s))
            .collect();
        let first = (Some("a&\u{7}<b>"), Some(0), Some("\"1\""), Some(1_704_164_645));
        assert_eq!(entries, [first, (Some("bc"), Some(7), Some("2"), None)]);
    }

    #[test]
    fn what_is_no_number_is_no_page() {
        for (size, modified) in [("", "2024-01-02T03:04:05Z"), ("1 ", "2024-01-02T03:04:05Z"), ("1", "yesterday")] {
            let body = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>{size}</Size>\
                 <LastModified>{modified}</LastModified></Contents></ListBucketResult>"
            );
            assert!(page(body.as_bytes()).is_err(), "{size:?} {modified}");
        }
        assert!(page(b"<ListBucketResult><IsTruncated>yes</IsTruncated></ListBucketResult>").is_err());
        for (key, is_read) in [("&#xD7FF;", true), ("&#xD800;", false)] {
            let body = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key><Size>1</Size><ETag>t</ETag>\
                 </Contents></ListBucketResult>"
            );
            assert_eq!(page(body.as_bytes()).is_ok(), is_read, "{key}");
        }
    }

    /// Reads a page element by element.
    struct Slowly(Page);

    impl Reads for Slowly {
        fn begins(&mut self, name: &str) {
            self.0.begins(name);
        }
        fn text(&mut self, text: &str) {
            self.0.text(text);
        }
        fn refers(&mut self, name: &str) {
            self.0.refers(name);
        }
        fn ends(&mut self) {
            self.0.ends();
        }
        fn skim(&mut self, _: &str) -> Skimmed {
            Skimmed::default()
        }
    }

    /// Entries of which most are plain, in a page of which some are damaged.
    fn some_page(random: &mut StdRng) -> Vec<u8> {
        let mut body = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        for number in 0..random.random_range(0..5) {
            let mut fields = [
                format!("<Key>{number}{}</Key>", ["", "&amp;", "ü>", "&#7;", "]]>"][random.random_range(0..5)]),
                format!("<Size>{}</Size>", ["0", "7", "+7", "9007199254740993"][random.random_range(0..4)]),
                "<ETag>&quot;t&quot;</ETag>".to_owned(),
                ["", "<LastModified>2024-02-29T23:59:59Z</LastModified>", "<!-- -->"][random.random_range(0..3)]
                    .to_owned(),
                ["", "<StorageClass>STANDARD</StorageClass>\n", "<Owner><ID>o</ID></Owner>"][random.random_range(0..3)]
                    .to_owned(),
            ];
            fields.shuffle(random);
            body.extend([
                "<Contents>",
                &fields.concat(),
                "</Contents>",
                ["", "\n ", "<X/>"][random.random_range(0..3)],
            ]);
        }
        let mut bytes = (body + "</ListBucketResult>").into_bytes();
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes[at] = b"<>&;/x\"= 0"[random.random_range(0..10)],
            _ => {}
        }
        bytes
    }

    #[test]
    fn entries_are_read_the_same_at_once_and_element_by_element() {
        let (mut random, mut sound) = (StdRng::seed_from_u64(11), 0);
        for _ in 0..20_000 {
            let body = some_page(&mut random);
            let mut slowly = Slowly(Page::new());
            let checked = check_reading("ListObjectsV2", true, &body, &mut slowly).map_err(|unsound| unsound.detail);
            let slowly = checked.and_then(|()| slowly.0.listed()).map(|listed| format!("{listed:?}"));
            let at_once = page(&body).map(|listed| format!("{listed:?}"));
            sound += usize::from(at_once.is_ok());
            assert_eq!(at_once, slowly, "{}", String::from_utf8_lossy(&body));
        }
        assert!((10_000..20_000).contains(&sound), "{sound} pages were sound");
    }

    #[test]
    fn an_error_says_its_code() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>a &lt; b</Message><Key/></Error>";
        let said = error_of(body).unwrap();
        assert_eq!((said.code.as_deref(), said.message.as_deref()), (Some("SlowDown"), Some("a < b")));
        assert_eq!(error_of(b"<Error/>"), Some(Said::default()));
        assert_eq!(error_of(b"<ListBucketResult><Code>x</Code></ListBucketResult>"), None);
        assert_eq!(error_of(b"plain text"), None);
        for cut in ["<Error>", "<Error><Code>Slow", "<Error><Code>SlowDown</Code>"] {
            assert_eq!(error_of(cut.as_bytes()), Some(Said::default()), "{cut}");
        }
    }
}
