//! Signatures of version 4: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{PoisonError, RwLock},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::{HeaderMap, http::request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::answer::Failure;

/// The only identity.
const ACCESS_KEY: &str = "bench";
const SECRET: &str = "bench-secret";

/// Every byte but these is encoded.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_IN_PATHS: AsciiSet = ENCODED.remove(b'/');

/// Keys that were derived before, by scope: deriving one costs four HMACs.
#[derive(Default)]
pub(crate) struct Keys(RwLock<HashMap<String, [u8; 32]>>);

impl Keys {
    /// The key of a scope `date/region/service/aws4_request`.
    fn of(&self, scope: &str) -> [u8; 32] {
        if let Some(key) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(scope) {
            return *key;
        }
        let begin = hmac(format!("AWS4{SECRET}").as_bytes(), scope.split('/').next().unwrap_or_default());
        let key = scope.split('/').skip(1).fold(begin, |key, word| hmac(&key, word));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(scope.to_owned(), key);
        key
    }
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// A request whose signature was found right: what the signatures of its chunks go on from.
pub(crate) struct Signed {
    key: [u8; 32],
    time: String,
    scope: String,
    last: String,
}

impl Signed {
    /// Checks the signature of a request.
    pub(crate) fn check(keys: &Keys, head: &Parts) -> Result<Self, Failure> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let given = header("authorization").and_then(|text| text.strip_prefix("AWS4-HMAC-SHA256"));
        let fields: HashMap<_, _> =
            given.ok_or(Failure::DENIED)?.split(',').filter_map(|field| field.trim().split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().ok_or(Failure::DENIED);
        let (access_key, scope) = field("Credential")?.split_once('/').ok_or(Failure::DENIED)?;
        if access_key != ACCESS_KEY {
            return Err(Failure::DENIED);
        }
        let time = header("x-amz-date").ok_or(Failure::DENIED)?.to_owned();
        let payload = header("x-amz-content-sha256").ok_or(Failure::INVALID)?;
        let canonical = canonical(head, field("SignedHeaders")?, payload)?;
        let mut signed =
            Self { key: keys.of(scope), time, scope: scope.to_owned(), last: field("Signature")?.to_owned() };
        let right = signed.sign("AWS4-HMAC-SHA256", None, &[&sha256(canonical.as_bytes())]);
        if right != signed.last {
            return Err(Failure::WRONG_SIGNATURE);
        }
        signed.last = right;
        Ok(signed)
    }

    fn sign(&self, algorithm: &str, last: Option<&str>, hashes: &[&str]) -> String {
        let mut text = format!("{algorithm}\n{}\n{}", self.time, self.scope);
        for line in last.iter().chain(hashes) {
            text.push('\n');
            text.push_str(line);
        }
        hex::encode(hmac(&self.key, &text))
    }

    /// Checks the signature of the next chunk, given the SHA-256 of its bytes.
    pub(crate) fn check_chunk(&mut self, digest: &str, signature: &str) -> Result<(), Failure> {
        let hashes = [&sha256(b""), digest];
        self.check_next("AWS4-HMAC-SHA256-PAYLOAD", &hashes, signature)
    }

    /// Checks the signature of the trailer, given as lines.
    pub(crate) fn check_trailer(&mut self, lines: &str, signature: &str) -> Result<(), Failure> {
        self.check_next("AWS4-HMAC-SHA256-TRAILER", &[&sha256(lines.as_bytes())], signature)
    }

    fn check_next(&mut self, algorithm: &str, hashes: &[&str], signature: &str) -> Result<(), Failure> {
        let right = self.sign(algorithm, Some(&self.last), hashes);
        if right != signature {
            return Err(Failure::WRONG_SIGNATURE);
        }
        self.last = right;
        Ok(())
    }
}

/// The request as it is signed.
fn canonical(head: &Parts, signed_headers: &str, payload: &str) -> Result<String, Failure> {
    let path: Vec<u8> = percent_decode_str(head.uri.path()).collect();
    let path = percent_encoding::percent_encode(&path, &ENCODED_IN_PATHS);
    let query = canonical_query(head.uri.query().unwrap_or_default())?;
    let mut text = format!("{}\n{path}\n{query}\n", head.method);
    for name in signed_headers.split(';') {
        let _ = writeln!(text, "{name}:{}", header_value(&head.headers, name));
    }
    let _ = write!(text, "\n{signed_headers}\n{payload}");
    Ok(text)
}

fn canonical_query(query: &str) -> Result<String, Failure> {
    let encoded = |text: &str| utf8_percent_encode(text, &ENCODED).to_string();
    let pairs = crate::request::pairs(query)?;
    let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    Ok(pairs.join("&"))
}

/// All values of a header, each without spaces at its ends and with one between its words.
fn header_value(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let words: Vec<_> = value.split(' ').filter(|word| !word.is_empty()).collect();
        words.join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn head(path: &str, signature: &str) -> Parts {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=bench/20240102/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
        );
        let request = Request::get(path)
            .header("host", "127.0.0.1:9000")
            .header("x-amz-date", "20240102T030405Z")
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .header("authorization", authorization);
        request.body(()).unwrap().into_parts().0
    }

    /// The right one was computed with botocore.
    #[test]
    fn one_signature_is_right() {
        let right = "5c17d5fcf58eb3edbaaf7fb984e2839f3dd586260e4a4795c7f0bba79bfbcf38";
        assert!(Signed::check(&Keys::default(), &head("/data/a%20b?list-type=2&prefix=x%2Fy", right)).is_ok());
        for (path, signature) in [("/data/a%20b?list-type=2&prefix=x%2Fz", right), ("/data/a%20b?list-type=2", "00")] {
            let refused = Signed::check(&Keys::default(), &head(path, signature)).err();
            assert_eq!(refused, Some(Failure::WRONG_SIGNATURE));
        }
    }
}
