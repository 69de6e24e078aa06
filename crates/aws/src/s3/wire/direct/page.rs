//! Documents as they were read: a page of a listing, an error.
//!
//! [`document`](crate::s3::document) has found a page whole and complete before it is read here.

use std::{borrow::Cow, collections::BTreeMap};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use quick_xml::{Reader, events::Event};

use crate::s3::wire::plain::{Listed, ListedObject};

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

/// A page of a listing of objects. The error says what cannot be read.
pub(super) fn page(body: &[u8]) -> Result<Listed<ListedObject>, String> {
    let mut listed = Listed { entries: Vec::new(), follows: None, next: None, is_encoded: false };
    let mut entry = blank();
    read(body, |path, text| {
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
            ["ListBucketResult", "Contents"] => listed.entries.push(std::mem::replace(&mut entry, blank())),
            _ => {}
        }
        Ok(())
    })?;
    Ok(listed)
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
    use super::*;

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
        assert!(page(b"<ListBucketResult><Contents><Key>&#xD800;</Key></Contents></ListBucketResult>").is_err());
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
