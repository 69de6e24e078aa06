//! Metadata that is not ASCII: encoded-words, as S3 gives them back.
//!
//! S3 decodes encoded-words of a header before it stores the value, and encodes a value that is not
//! ASCII before it returns it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>, RFC 2047). So values
//! are compared decoded and sent encoded; a server that does neither gives back what it was sent,
//! which decodes to the same.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// Bytes of text in one encoded-word: RFC 2047 allows 75 characters of it in all.
const WORD_BYTES_MAX: usize = 42;

/// A value as a header carries it.
pub(super) fn encode(value: &str) -> String {
    // A control character cannot be in a header either.
    if value.chars().all(|c| matches!(c, ' '..='~')) {
        return value.to_owned();
    }
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

/// A value as a header has it, decoded if all of it is encoded-words of UTF-8; else as it is.
pub(super) fn decode(value: &str) -> String {
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
