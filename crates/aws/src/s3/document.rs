//! Checks XML answers before anything in them is believed.
//!
//! The SDK's reader takes a document that stops anywhere for one that has ended there, and an entry without a size
//! for an empty object. A proxy, a load balancer or a server that fails in the middle can cut an answer and still
//! frame it well, so HTTP does not tell either. A listing cut in the middle would pass for its end: the missing
//! keys would never be copied, and would be deleted at targets that already hold them.
//!
//! So every answer of every operation goes through [`check`], called where answers come in (`wire/sdk/whole.rs`) and
//! not by each operation, which would have to remember it. An answer is
//!
//! - **whole**: one well-formed document of at most [`ANSWER_BYTES_MAX`] up to the closing tag of its root, and
//!   nothing but white space behind it;
//! - **the expected one**: with the root that the operation answers with, and the elements that we read;
//! - **complete**, if it is a page of a listing: it says whether more comes, and then where that begins; every
//!   entry has what an entry needs; and if it counts its entries, the count is right.
//!
//! Anything else is an error that may pass. Answers without XML are left alone: bodies of objects, which stream,
//! and answers of status and headers.

use std::io::BufRead as _;

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use crate::failed::Unsound;
use migrate_store::ErrorKind;

/// The longest accepted answer, bodies of objects aside. A page of 1,000 keys of 1,024 bytes, each byte escaped, is
/// below 7 MiB.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The answer of an operation that succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// A body that is never XML or is ignored, or no body.
    Unread,
    /// A document of this shape.
    Document(&'static Shape),
    /// A document missing in this table, or none.
    Unknown,
}

/// The parts of a document that we read.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    root: &'static str,
    /// Elements right under the root.
    needs: &'static [Need],
    /// The element that holds the entries, if it is not the root.
    within: Option<&'static str>,
    /// The elements of entries, with what each must hold.
    entries: &'static [(&'static str, &'static [Need])],
    /// Set for a page of a listing.
    page: Option<Page>,
}

/// The elements that say how a page goes on.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// Start of the next page; required if there is one.
    next: &'static str,
    /// Number of entries, on servers that tell it.
    count: Option<&'static str>,
}

/// A required element.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// Its text must not be empty.
    Text(&'static str),
    /// Its text may be empty.
    Any(&'static str),
}

impl Need {
    fn name(&self) -> &'static str {
        let (Self::Text(name) | Self::Any(name)) = self;
        name
    }
}

use Need::{Any, Text};

const TRUNCATED: &str = "IsTruncated";

const OBJECTS: Shape = Shape {
    root: "ListBucketResult",
    needs: &[Text(TRUNCATED)],
    within: None,
    entries: &[("Contents", &[Text("Key"), Text("Size"), Text("ETag")]), ("CommonPrefixes", &[Text("Prefix")])],
    page: Some(Page { next: "NextContinuationToken", count: Some("KeyCount") }),
};

const VERSIONS: Shape = Shape {
    root: "ListVersionsResult",
    needs: &[Text(TRUNCATED)],
    within: None,
    entries: &[
        ("Version", &[Text("Key"), Text("VersionId"), Text("Size"), Text("ETag")]),
        ("DeleteMarker", &[Text("Key"), Text("VersionId")]),
    ],
    page: Some(Page { next: "NextKeyMarker", count: None }),
};

const UPLOADS: Shape = Shape {
    root: "ListMultipartUploadsResult",
    needs: &[Text(TRUNCATED)],
    within: None,
    entries: &[("Upload", &[Text("Key"), Text("UploadId")])],
    page: Some(Page { next: "NextKeyMarker", count: None }),
};

const PARTS: Shape = Shape {
    root: "ListPartsResult",
    needs: &[Text(TRUNCATED)],
    within: None,
    entries: &[("Part", &[Text("PartNumber"), Text("Size"), Text("ETag")])],
    page: Some(Page { next: "NextPartNumberMarker", count: None }),
};

const TAGS: Shape = Shape {
    root: "Tagging",
    needs: &[Any("TagSet")],
    within: Some("TagSet"),
    entries: &[("Tag", &[Text("Key"), Any("Value")])],
    page: None,
};

const fn plain(root: &'static str, needs: &'static [Need]) -> Shape {
    Shape { root, needs, within: None, entries: &[], page: None }
}

const BEGUN: Shape = plain("InitiateMultipartUploadResult", &[Text("UploadId")]);
/// Some servers leave its `ETag` empty.
const COMPLETED: Shape = plain("CompleteMultipartUploadResult", &[]);
const COPIED: Shape = plain("CopyObjectResult", &[]);
const PART_COPIED: Shape = plain("CopyPartResult", &[]);
const ERROR: Shape = plain("Error", &[]);

fn answer(operation: &str) -> Answer {
    Answer::Document(match operation {
        "ListObjectsV2" => &OBJECTS,
        "ListObjectVersions" => &VERSIONS,
        "ListMultipartUploads" => &UPLOADS,
        "ListParts" => &PARTS,
        "GetObjectTagging" => &TAGS,
        "CreateMultipartUpload" => &BEGUN,
        "CompleteMultipartUpload" => &COMPLETED,
        "CopyObject" => &COPIED,
        "UploadPartCopy" => &PART_COPIED,
        "GetObject"
        | "HeadObject"
        | "HeadBucket"
        | "PutObject"
        | "PutObjectTagging"
        | "UploadPart"
        | "DeleteObject"
        | "DeleteObjectTagging"
        | "AbortMultipartUpload" => return Answer::Unread,
        _ => return Answer::Unknown,
    })
}

/// Whether the body of an answer is that of an object, which streams and is no document.
pub(super) fn streams(operation: &str, success: bool) -> bool {
    success && operation == "GetObject"
}

/// Hears what a document holds while it is checked, so that it is walked only once. What was heard counts only if the check
/// finds nothing wrong.
pub(super) trait Reads {
    /// An element begins.
    fn begins(&mut self, name: &str);
    /// Text of the element that began last and has not ended.
    fn text(&mut self, text: &str);
    /// A reference in that text, without `&` and `;`.
    fn refers(&mut self, name: &str);
    /// The element ends that began last.
    fn ends(&mut self);
    /// Takes whole entries of a listing of objects, each with all that it must hold, from the front of what follows.
    /// Returns how many, and of how many bytes they are.
    fn skim(&mut self, follows: &str) -> Skimmed;
}

/// What was taken off the front of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Skimmed {
    pub(super) bytes: usize,
    pub(super) entries: u64,
}

/// Hears nothing.
struct Deaf;

impl Reads for Deaf {
    fn begins(&mut self, _: &str) {}
    fn text(&mut self, _: &str) {}
    fn refers(&mut self, _: &str) {}
    fn ends(&mut self) {}
    fn skim(&mut self, _: &str) -> Skimmed {
        Skimmed::default()
    }
}

/// Checks the body of an answer; `success` is whether the status is one.
pub(super) fn check(operation: &str, success: bool, body: &[u8]) -> Result<(), Unsound> {
    check_reading(operation, success, body, &mut Deaf)
}

/// [`check`], while the document is read.
pub(super) fn check_reading(
    operation: &str,
    success: bool,
    body: &[u8],
    reads: &mut impl Reads,
) -> Result<(), Unsound> {
    let shape = match answer(operation) {
        // For an error without a body, the status says what it is.
        _ if !success && body.is_empty() => return Ok(()),
        _ if !success => Some(&ERROR),
        Answer::Unread => return Ok(()),
        Answer::Unknown if body.is_empty() => return Ok(()),
        Answer::Unknown => None,
        Answer::Document(shape) => Some(shape),
    };
    // S3 reports some failures after it has already answered 200, and sends white space before it knows the
    // outcome: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
    let mut checked = Checked::new(shape);
    let read = checked.read(body.trim_ascii_start(), reads);
    let other = checked.root.as_deref().filter(|root| shape.is_some_and(|shape| shape.root != *root));
    let unsound = |kind, detail| {
        let begins = body.trim_ascii_start();
        // S3 sends no document type; an HTML page begins with one.
        let foreign = !begins.starts_with(b"<")
            || begins.get(..2).is_some_and(|two| two == b"<!")
            || other.is_some_and(|root| root != ERROR.root);
        Err(Unsound { kind, foreign, detail })
    };
    if let Err(reason) = read {
        return unsound(ErrorKind::Unavailable, format!("the answer is not one whole XML document: {reason}"));
    }
    match other {
        Some(root) if success && root == ERROR.root && may_fail_late(operation) => Ok(()),
        Some(root) => {
            let expected = shape.map_or("", |shape| shape.root);
            unsound(ErrorKind::Garbled, format!("the answer is <{root}> in place of <{expected}>"))
        }
        None => match checked.complete() {
            Err(reason) => unsound(ErrorKind::Garbled, format!("the answer is not complete: {reason}")),
            Ok(()) => Ok(()),
        },
    }
}

/// Whether a success status of this operation may carry an error.
fn may_fail_late(operation: &str) -> bool {
    matches!(operation, "CompleteMultipartUpload" | "CopyObject" | "UploadPartCopy")
}

/// The bit of the first required element of an entry that began; those of the others follow.
const STARTED: u32 = 1 << 16;

/// An open element.
#[derive(Debug)]
enum Open {
    Root,
    /// The element that holds the entries.
    Within,
    /// An entry of this kind, with one bit per required element that was seen, and one more, from [`STARTED`] on, per one that began.
    Entry(usize, u32),
    /// A required element of an entry.
    Field(u32),
    /// A required element right under the root.
    RootField(&'static str),
    Other,
}

/// A document as far as it was read.
struct Checked {
    shape: Option<&'static Shape>,
    /// Name of the root.
    root: Option<String>,
    open: Vec<Open>,
    /// Text of the current element.
    text: String,
    /// The required elements found right under the root.
    found: Vec<(&'static str, String)>,
    entries: u64,
    /// The first entry that lacks an element, and the element.
    without: Option<(&'static str, &'static str)>,
}

impl Checked {
    fn new(shape: Option<&'static Shape>) -> Self {
        let (root, without) = (None, None);
        Self { shape, root, open: Vec::new(), text: String::new(), found: Vec::new(), entries: 0, without }
    }

    /// Reads to the end. The error says why this is not one whole document.
    fn read(&mut self, body: &[u8], reads: &mut impl Reads) -> Result<(), String> {
        let text = std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => reads.begins(self.start(&start)?),
                // The reader has compared its name with the open one.
                Event::End(_) => {
                    self.end();
                    reads.ends();
                    // The reader stands behind a closing tag, so whole elements can be taken off without it.
                    if self.shape == Some(&OBJECTS) && matches!(self.open[..], [Open::Root]) {
                        let skimmed = reads.skim(&text[text.len() - reader.get_ref().len()..]);
                        reader.stream().consume(skimmed.bytes);
                        self.entries += skimmed.entries;
                    }
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| error.to_string())?;
                    self.text(&text)?;
                    reads.text(&text);
                }
                Event::CData(text) => {
                    let text = text.decode().map_err(|error| error.to_string())?;
                    self.text(&text)?;
                    reads.text(&text);
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| error.to_string())?;
                    refers(&name)?;
                    // Only its presence matters here, not its meaning.
                    self.text("&")?;
                    reads.refers(&name);
                }
                Event::DocType(_) => return Err("it has a document type".to_owned()),
                Event::Eof => break,
                // Each part of it is in quotes.
                Event::Decl(declared) => drop(declared.version().map_err(|error| error.to_string())?),
                Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
            }
        }
        match (&self.root, self.open.len()) {
            (None, _) => Err(if body.is_empty() { "it is empty" } else { "it has no root" }.to_owned()),
            (Some(_), 0) => Ok(()),
            (Some(root), depth) => Err(format!("it ends inside <{root}>, with {depth} elements open")),
        }
    }

    /// An element begins; returns its name.
    fn start<'a>(&mut self, start: &'a BytesStart<'_>) -> Result<&'a str, String> {
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            named(attribute.key.as_ref())?;
        }
        let name = named(start.name().into_inner())?;
        let open = match self.open.last_mut() {
            None if self.root.is_some() => return Err(format!("<{name}> follows its root")),
            None => {
                self.root = Some(name.to_owned());
                Open::Root
            }
            Some(Open::Root) => self.under_root(name),
            Some(Open::Within) => self.entry(name),
            Some(Open::Entry(kind, seen)) => {
                let needs = self.shape.map_or(&[][..], |shape| shape.entries[*kind].1);
                match needs.iter().position(|need| need.name() == name) {
                    // Of two, one reader might believe the first, and another the last.
                    Some(index) if *seen & (STARTED << index) != 0 => {
                        return Err(format!("an entry has <{name}> twice"));
                    }
                    Some(index) => {
                        *seen |= STARTED << index;
                        Open::Field(1 << index)
                    }
                    None => Open::Other,
                }
            }
            Some(Open::Field(_) | Open::RootField(_) | Open::Other) => Open::Other,
        };
        if matches!(open, Open::Field(_) | Open::RootField(_)) {
            self.text.clear();
        }
        self.open.push(open);
        Ok(name)
    }

    fn under_root(&mut self, name: &str) -> Open {
        let Some(shape) = self.shape else { return Open::Other };
        if shape.within == Some(name) {
            self.found.push((shape.within.unwrap_or_default(), String::new()));
            return Open::Within;
        }
        let pages = shape.page.iter().flat_map(|page| [Some(page.next), page.count]).flatten();
        match shape.needs.iter().map(Need::name).chain(pages).find(|known| *known == name) {
            Some(known) => Open::RootField(known),
            None if shape.within.is_none() => self.entry(name),
            None => Open::Other,
        }
    }

    fn entry(&mut self, name: &str) -> Open {
        let kinds = self.shape.map_or(&[][..], |shape| shape.entries);
        kinds.iter().position(|(kind, _)| *kind == name).map_or(Open::Other, |kind| Open::Entry(kind, 0))
    }

    fn end(&mut self) {
        let closed = self.open.pop();
        let Some(shape) = self.shape else { return };
        match closed {
            Some(Open::RootField(name)) => self.found.push((name, std::mem::take(&mut self.text))),
            Some(Open::Field(bit)) => {
                if let Some(Open::Entry(kind, seen)) = self.open.last_mut() {
                    let need = &shape.entries[*kind].1[bit.trailing_zeros() as usize];
                    if matches!(need, Any(_)) || !self.text.is_empty() {
                        *seen |= bit;
                    }
                }
            }
            Some(Open::Entry(kind, seen)) => {
                self.entries += 1;
                let (name, needs) = shape.entries[kind];
                let missing = needs.iter().enumerate().find(|(index, _)| seen & (1 << index) == 0);
                if let Some((_, need)) = missing {
                    self.without.get_or_insert((name, need.name()));
                }
            }
            Some(Open::Root | Open::Within | Open::Other) | None => {}
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last() {
            None if text.trim_ascii().is_empty() => {}
            None => return Err("there is text outside its root".to_owned()),
            Some(Open::Field(_) | Open::RootField(_)) => self.text.push_str(text),
            Some(_) => {}
        }
        Ok(())
    }

    /// Whether the document holds everything it must. The error names what is missing.
    fn complete(&self) -> Result<(), String> {
        let Some(shape) = self.shape else { return Ok(()) };
        let found = |name: &str| self.found.iter().find(|(known, _)| *known == name).map(|(_, text)| text.trim_ascii());
        let mut names = self.found.iter().map(|(name, _)| *name).enumerate();
        if let Some((_, twice)) = names.find(|(at, name)| self.found[..*at].iter().any(|(known, _)| known == name)) {
            return Err(format!("<{}> has <{twice}> twice", shape.root));
        }
        let missing = shape.needs.iter().find(|need| match need {
            Text(name) => found(name).is_none_or(str::is_empty),
            Any(name) => found(name).is_none(),
        });
        if let Some(need) = missing {
            return Err(format!("<{}> has no <{}>", shape.root, need.name()));
        }
        if let Some((entry, need)) = self.without {
            return Err(format!("a <{entry}> has no <{need}>"));
        }
        let Some(page) = &shape.page else { return Ok(()) };
        let follows = match found(TRUNCATED) {
            Some("true") => true,
            Some("false") => false,
            other => return Err(format!("<{TRUNCATED}> is {:?}", other.unwrap_or_default())),
        };
        if follows && found(page.next).is_none_or(str::is_empty) {
            return Err(format!("more follows, and no <{}> says where", page.next));
        }
        match page.count.and_then(|count| Some((count, found(count)?))) {
            Some((name, text)) if text.parse() != Ok(self.entries) => Err(format!(
                "<{name}> is {text:?}, and {} came",
                migrate_core::report::count(self.entries, "entry", "entries")
            )),
            _ => Ok(()),
        }
    }
}

/// A name of an element or attribute: <https://www.w3.org/TR/xml/#NT-Name>, and any letter beyond ASCII.
fn named(name: &[u8]) -> Result<&str, String> {
    let name = std::str::from_utf8(name).map_err(|error| error.to_string())?;
    let begins = |letter: char| letter.is_alphabetic() || "_:".contains(letter);
    let is_name =
        name.starts_with(begins) && name.chars().all(|letter| letter.is_alphanumeric() || "_:-.".contains(letter));
    if is_name { Ok(name) } else { Err(format!("{name:?} is no name")) }
}

/// Accepts a reference to one of XML's five own entities, or to a character by number.
///
/// S3 writes control characters of keys as such references, which XML 1.0 does not allow, so the number is not checked.
fn refers(name: &str) -> Result<(), String> {
    let known = match name.strip_prefix('#') {
        None => ["amp", "lt", "gt", "quot", "apos"].contains(&name),
        Some(number) => match number.strip_prefix('x') {
            Some(hex) => !hex.is_empty() && hex.bytes().all(|digit| digit.is_ascii_hexdigit()),
            None => !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()),
        },
    };
    if known { Ok(()) } else { Err(format!("&{name}; is no entity that XML knows")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix/>",
        "<KeyCount>2</KeyCount><IsTruncated>false</IsTruncated>",
        "<Contents><Key>a&amp;&#x7;b</Key><ETag>&quot;1&quot;</ETag><Size>0</Size><Owner><ID>o</ID></Owner></Contents>",
        "<Contents><Key>b</Key><ETag>\"2\"</ETag><Size>7</Size></Contents></ListBucketResult>\n",
    );

    fn kind(operation: &str, success: bool, body: &str) -> Option<ErrorKind> {
        check(operation, success, body.as_bytes()).err().map(|unsound| unsound.kind)
    }

    fn page(body: &str) -> Result<(), String> {
        check("ListObjectsV2", true, body.as_bytes()).map_err(|unsound| unsound.to_string())
    }

    #[test]
    fn a_document_that_is_cut_anywhere_is_refused() {
        page(PAGE).unwrap();
        for end in 0..PAGE.trim_end().len() {
            let cut = kind("ListObjectsV2", true, &PAGE[..end]);
            assert_eq!(cut, Some(ErrorKind::Unavailable), "{:?}", &PAGE[..end]);
        }
        page(&format!("  \n{PAGE}   \n\n")).unwrap();
        page(&format!("\u{feff}{PAGE}")).unwrap();
    }

    #[test]
    fn only_one_well_formed_document_is_taken() {
        for (from, to) in [
            ("</Size></Contents>", "</Contents>"),
            ("<Size>7</Size>", "<Size>7</size>"),
            ("&amp;", "&nbsp;"),
            ("&amp;", "&#;"),
            ("&amp;", "&#x;"),
            ("&amp;", "& "),
            ("<Prefix/>", "<Prefix a=1/>"),
            ("<Prefix/>", "<Prefix a=\"1\" a=\"2\"/>"),
            ("?>\n<List", "?>\n<!DOCTYPE x><List"),
            ("</ListBucketResult>", "</ListBucketResult>x"),
            ("</ListBucketResult>", "</ListBucketResult><ListBucketResult/>"),
            ("</ListBucketResult>", "</ListBucketResult></ListBucketResult>"),
        ] {
            assert!(PAGE.contains(from), "{from}");
            let text = PAGE.replace(from, to);
            assert_eq!(kind("ListObjectsV2", true, &text), Some(ErrorKind::Unavailable), "{from} as {to}");
        }
        let latin = check("ListObjectsV2", true, b"<ListBucketResult>\xfc</ListBucketResult>").unwrap_err();
        assert_eq!((latin.kind, latin.foreign), (ErrorKind::Unavailable, false));
    }

    #[test]
    fn a_page_is_complete_or_refused_and_named() {
        for (from, to, reason) in [
            ("<KeyCount>2", "<KeyCount>10", "<KeyCount> is \"10\", and 2 entries came"),
            ("<KeyCount>2", "<KeyCount>", "<KeyCount> is \"\", and 2 entries came"),
            ("<IsTruncated>false</IsTruncated>", "", "<ListBucketResult> has no <IsTruncated>"),
            ("<IsTruncated>false</IsTruncated>", "<IsTruncated/>", "<ListBucketResult> has no <IsTruncated>"),
            (">false<", ">perhaps<", "<IsTruncated> is \"perhaps\""),
            (">false<", ">true<", "more follows, and no <NextContinuationToken> says where"),
            ("<Size>7</Size>", "", "a <Contents> has no <Size>"),
            ("<Size>7</Size>", "<Size/>", "a <Contents> has no <Size>"),
            ("<Key>b</Key>", "", "a <Contents> has no <Key>"),
            ("<ETag>\"2\"</ETag>", "", "a <Contents> has no <ETag>"),
            ("<Owner><ID>o</ID></Owner>", "<Owner><Size>1</Size></Owner>", ""),
            ("<KeyCount>2</KeyCount>", "", ""),
            ("<IsTruncated>false", "<NextContinuationToken>t</NextContinuationToken><IsTruncated>true", ""),
        ] {
            assert!(PAGE.contains(from), "{from}");
            match page(&PAGE.replace(from, to)) {
                Ok(()) => assert_eq!(reason, "", "{from} as {to}"),
                Err(said) => assert_eq!(said, format!("the answer is not complete: {reason}"), "{from} as {to}"),
            }
        }
        // A size in another element is not the entry's.
        let elsewhere = PAGE.replace("<Size>0</Size><Owner>", "<Owner><Size>0</Size>");
        assert!(page(&elsewhere).unwrap_err().contains("no <Size>"));
    }

    #[test]
    fn every_operation_has_its_root_and_its_needs() {
        for (operation, good, lacking) in [
            (
                "ListParts",
                "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>1</Size>\
                 <ETag>e</ETag></Part></ListPartsResult>",
                "<Size>1</Size>",
            ),
            (
                "ListMultipartUploads",
                "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><Upload>\
                 <Key>k</Key><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>",
                "<NextKeyMarker>k</NextKeyMarker>",
            ),
            (
                "ListObjectVersions",
                "<ListVersionsResult><IsTruncated>false</IsTruncated><DeleteMarker><Key>k</Key><VersionId>v</VersionId>\
                 </DeleteMarker></ListVersionsResult>",
                "<VersionId>v</VersionId>",
            ),
            ("GetObjectTagging", "<Tagging><TagSet/></Tagging>", "<TagSet/>"),
            ("GetObjectTagging", "<Tagging><TagSet><Tag><Key>k</Key><Value/></Tag></TagSet></Tagging>", "<Value/>"),
            (
                "CreateMultipartUpload",
                "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
                "<UploadId>u</UploadId>",
            ),
        ] {
            assert_eq!(kind(operation, true, good), None, "{good}");
            assert!(good.contains(lacking));
            assert_eq!(kind(operation, true, &good.replace(lacking, "")), Some(ErrorKind::Garbled), "{good}");
            assert_eq!(kind(operation, true, "<Other/>"), Some(ErrorKind::Garbled));
            assert_eq!(kind(operation, true, ""), Some(ErrorKind::Unavailable));
            assert_eq!(kind(operation, true, "<Error/>"), Some(ErrorKind::Garbled), "no success ends so");
        }
        for operation in ["CompleteMultipartUpload", "CopyObject", "UploadPartCopy"] {
            assert_eq!(kind(operation, true, "  \n<Error><Code>InternalError</Code></Error>"), None);
            assert_eq!(kind(operation, true, "<Error><Code>Internal"), Some(ErrorKind::Unavailable));
            assert_eq!(kind(operation, true, "   "), Some(ErrorKind::Unavailable));
        }
        assert_eq!(kind("PutObject", true, "anything"), None);
        assert_eq!(kind("NewOperation", true, ""), None);
        assert_eq!(kind("NewOperation", true, "<Whatever/>"), None);
        assert_eq!(kind("NewOperation", true, "<Whatever>"), Some(ErrorKind::Unavailable), "none is forgotten");
    }

    /// Of two that differ, one reader might believe the first, and another the last.
    #[test]
    fn what_is_there_twice_is_not_believed() {
        for (once, twice) in [
            ("<IsTruncated>false</IsTruncated>", "<IsTruncated>false</IsTruncated><IsTruncated>true</IsTruncated>"),
            ("<KeyCount>2</KeyCount>", "<KeyCount>2</KeyCount><KeyCount>3</KeyCount>"),
            ("<Key>b</Key>", "<Key>b</Key><Key>c</Key>"),
            ("<Key>b</Key>", "<Key/><Key>b</Key>"),
            ("<Size>7</Size>", "<Size>7</Size><Size>7</Size>"),
        ] {
            assert!(PAGE.contains(once));
            let told = page(&PAGE.replacen(once, twice, 1)).unwrap_err();
            assert!(told.contains("twice"), "{told}");
        }
    }

    #[test]
    fn an_error_is_whole_or_has_no_body() {
        assert_eq!(kind("GetObject", false, "<Error><Code>NoSuchKey</Code></Error>"), None);
        assert_eq!(kind("HeadObject", false, ""), None);
        for (body, foreign) in [("<Error><Code>NoSuch", false), ("<?xml ver", false), ("404 page not found\n", true)] {
            let unsound = check("GetObject", false, body.as_bytes()).unwrap_err();
            assert_eq!((unsound.kind, unsound.foreign), (ErrorKind::Unavailable, foreign), "{body}");
        }
        assert!(check("GetObject", false, b"<html><body>no</body></html>").unwrap_err().foreign);
        assert!(check("PutObject", false, b"<!doctype html>\n<html lang=en></html>").unwrap_err().foreign);
    }

    #[test]
    fn what_is_no_name_begins_no_element() {
        for broken in [
            PAGE.replacen(" xmlns=", " ;mlns=", 1),
            PAGE.replacen(" xmlns=", " <mlns=", 1),
            PAGE.replacen("version=\"1", "version=&1", 1),
            PAGE.replacen("<Prefix/>", "<1Prefix/>", 1),
        ] {
            assert_eq!(kind("ListObjectsV2", true, &broken), Some(ErrorKind::Unavailable), "{broken}");
        }
    }
}
