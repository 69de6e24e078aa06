//! Changes to the XML of an answer before it goes out: escapes that `s3s` leaves out, quirks, faults.

use bytes::Bytes;

use super::faults::{Fault, Strike};

/// Writes control characters as references, as S3 does. `s3s` leaves them as they are, and no XML parser
/// takes that. References to them are not legal XML 1.0 either, but many parsers read them.
pub(super) fn escape_controls(xml: Bytes) -> Bytes {
    let must_escape = |byte: u8| byte < b' ' && byte != b'\n' && byte != b'\t';
    if !xml.iter().copied().any(must_escape) {
        return xml;
    }
    let mut out = Vec::with_capacity(xml.len() + 64);
    for byte in xml {
        if must_escape(byte) {
            out.extend_from_slice(format!("&#x{byte:x};").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out.into()
}

/// Takes the content of the first element of this name out of an XML answer.
pub(super) fn without(xml: &Bytes, name: &str) -> Bytes {
    let text = String::from_utf8_lossy(xml);
    let open = format!("<{name}>");
    match (text.find(&open), text.find(&format!("</{name}>"))) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &text[..start + open.len()], &text[end..]).into(),
        _ => xml.clone(),
    }
}

/// The rest of a document after a fault.
pub(super) fn spoiled(xml: &Bytes, strike: Strike) -> Bytes {
    let text = String::from_utf8_lossy(xml);
    // A document without the white space behind its root is still whole.
    let end = text.rfind("</").unwrap_or(text.len());
    let cut = |at: usize| xml.slice(..at.min(xml.len()));
    match strike.fault {
        Fault::CutXml => cut(usize::try_from(strike.draw % (end.max(1) as u64)).expect("an index into memory fits")),
        Fault::UnclosedXml => cut(end),
        Fault::CutEntry => match last_entry(&text) {
            Some((start, name)) => cut(start + name.len() + "<>".len()),
            None => cut(end),
        },
        Fault::LostEntry => match last_entry(&text) {
            Some((start, name)) => {
                let close = format!("</{name}>");
                let after = text[start..].find(&close).map_or(end, |at| start + at + close.len());
                format!("{}{}", &text[..start], &text[after..]).into()
            }
            None => text.replace("<KeyCount>", "<KeyCount>1").into(),
        },
        _ => xml.clone(),
    }
}

/// Where the last entry of a listing begins, and the name of its element.
fn last_entry(text: &str) -> Option<(usize, &'static str)> {
    let entries = ["Contents", "Version", "DeleteMarker", "Upload", "Part", "Tag"];
    entries.into_iter().filter_map(|name| Some((text.rfind(&format!("<{name}>"))?, name))).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_references() {
        assert_eq!(escape_controls(Bytes::from_static(b"<K>a\x07\r\n</K>")), "<K>a&#x7;&#xd;\n</K>");
        assert_eq!(escape_controls(Bytes::from_static(b"<K>a</K>")), "<K>a</K>");
    }

    #[test]
    fn an_etag_is_emptied() {
        let xml = Bytes::from_static(b"<R><ETag>&quot;a&quot;</ETag><Key>k</Key></R>");
        assert_eq!(without(&xml, "ETag"), "<R><ETag></ETag><Key>k</Key></R>");
    }
    #[test]
    fn a_spoiled_document_is_shorter_in_the_way_that_was_asked_for() {
        let page = Bytes::from_static(b"<L><KeyCount>2</KeyCount><Contents>a</Contents><Contents>b</Contents></L>\n");
        let spoilt = |fault, draw| String::from_utf8(spoiled(&page, Strike { fault, draw }).to_vec()).unwrap();
        assert_eq!(spoilt(Fault::CutXml, 3), "<L>");
        assert!(spoilt(Fault::CutXml, u64::MAX).len() < page.len() - "\n".len());
        assert_eq!(
            spoilt(Fault::UnclosedXml, 9),
            "<L><KeyCount>2</KeyCount><Contents>a</Contents><Contents>b</Contents>"
        );
        assert_eq!(spoilt(Fault::CutEntry, 9), "<L><KeyCount>2</KeyCount><Contents>a</Contents><Contents>");
        assert_eq!(spoilt(Fault::LostEntry, 9), "<L><KeyCount>2</KeyCount><Contents>a</Contents></L>\n");
        let empty = Bytes::from_static(b"<L><KeyCount>0</KeyCount></L>");
        assert_eq!(spoiled(&empty, Strike { fault: Fault::LostEntry, draw: 0 }), "<L><KeyCount>10</KeyCount></L>");
    }
}
