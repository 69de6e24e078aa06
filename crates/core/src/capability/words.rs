//! User metadata that is not ASCII: raw UTF-8, encoded words (RFC 2047), and what servers make of them.
//!
//! AWS decodes encoded words before it stores a value, and turns a value that is not ASCII into words again before
//! it shows it (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>). Other servers show
//! exactly what they were sent: there `=?UTF-8?Q?caf=C3=A9?=` and `café` are two values, and a client reads the one
//! or the other. So a value is kept as it is shown, and copied so that a client of the target reads the same: words
//! stay these words everywhere; raw UTF-8 is sent raw to a server that shows it raw, and as words to one that shows
//! words; to any other server it is not sent at all.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Bytes of text in one encoded-word: RFC 2047 allows 75 characters of it in all.
const WORD_BYTES_MAX: usize = 42;

/// What a server does with user metadata that is not ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataForm {
    /// It shows what it was sent: raw UTF-8 as raw UTF-8, encoded words as these words.
    Raw,
    /// It shows values that are not ASCII as encoded words, in a form of its own: two values are equal if they
    /// decode to the same text.
    Words,
    /// It shows ASCII as it was sent, and takes or shows nothing else unchanged.
    Ascii,
}

impl MetadataForm {
    /// The header form of a value that a client reads back as the same value; `None` if there is no such form.
    pub fn sent(self, value: &str) -> Option<Cow<'_, str>> {
        if value.chars().all(|c| matches!(c, ' '..='~')) {
            return Some(Cow::Borrowed(value));
        }
        match self {
            Self::Raw => (!value.contains(char::is_control)).then_some(Cow::Borrowed(value)),
            Self::Words => Some(Cow::Owned(encode(value))),
            Self::Ascii => None,
        }
    }

    /// Whether a client reads both values as the same, if one of two stores has this form. The only comparison of
    /// metadata values.
    pub fn reads_alike(self, one: &str, other: &str) -> bool {
        one == other || (self == Self::Words && decode(one) == decode(other))
    }
}

/// A value as encoded words.
fn encode(value: &str) -> String {
    let mut words = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let end = (0..=WORD_BYTES_MAX.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end));
        let (word, after) = rest.split_at(end.filter(|end| *end > 0).unwrap_or(rest.len()));
        words.push(format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word)));
        rest = after;
    }
    words.join(" ")
}

/// A header's value, decoded if all of it is encoded-words of UTF-8; otherwise unchanged.
fn decode(value: &str) -> String {
    let bytes: Option<Vec<Vec<u8>>> = value.split_ascii_whitespace().map(decode_word).collect();
    let decoded = bytes.filter(|words| !words.is_empty()).and_then(|words| String::from_utf8(words.concat()).ok());
    decoded.unwrap_or_else(|| value.to_owned())
}

fn decode_word(word: &str) -> Option<Vec<u8>> {
    let mut fields = word.strip_prefix("=?")?.strip_suffix("?=")?.splitn(3, '?');
    let (charset, encoding, text) = (fields.next()?, fields.next()?, fields.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    match encoding {
        "B" | "b" => BASE64_STANDARD.decode(text).ok(),
        "Q" | "q" => decode_quoted(text),
        _ => None,
    }
}

fn decode_quoted(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let mut decoded = [0];
                hex::decode_to_slice([rest.next()?, rest.next()?], &mut decoded).ok()?;
                decoded[0]
            }
            byte => byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_value_survives(value in "\\PC{0,200}") {
            prop_assert_eq!(decode(&encode(&value)), value);
        }
    }

    #[test]
    fn a_value_is_sent_so_that_a_client_reads_the_same() {
        const WORD: &str = "=?UTF-8?Q?caf=C3=A9?=";
        for form in [MetadataForm::Raw, MetadataForm::Words, MetadataForm::Ascii] {
            for ascii in ["plain", "", WORD] {
                assert_eq!(form.sent(ascii).as_deref(), Some(ascii), "{form:?}");
            }
        }
        assert_eq!(MetadataForm::Raw.sent("caf\u{e9}").as_deref(), Some("caf\u{e9}"));
        assert_eq!(MetadataForm::Words.sent("caf\u{e9}").as_deref(), Some("=?UTF-8?B?Y2Fmw6k=?="));
        assert_eq!(MetadataForm::Ascii.sent("caf\u{e9}"), None);
        assert!(MetadataForm::Words.reads_alike("caf\u{e9}", WORD));
        assert!(!MetadataForm::Raw.reads_alike("caf\u{e9}", WORD), "a client would read the word");
        assert!(!MetadataForm::Words.reads_alike("caf\u{e9}", "cafe"));
    }

    #[test]
    fn words_are_short_and_ascii() {
        let encoded = encode(&"ü世😀".repeat(40));
        assert!(encoded.is_ascii());
        assert!(encoded.split(' ').all(|word| word.len() <= 75), "{encoded}");
    }

    #[test]
    fn both_encodings_are_understood_and_others_left_alone() {
        assert_eq!(decode("=?UTF-8?Q?caf=C3=A9_au_lait?="), "café au lait");
        assert_eq!(decode("=?utf-8?b?Y2Fmw6k=?="), "café");
        for other in ["plain", "", "=?ISO-8859-1?Q?caf=E9?=", "=?UTF-8?B?!?=", "a =?UTF-8?B?Y2Fmw6k=?="] {
            assert_eq!(decode(other), other);
        }
    }
}
