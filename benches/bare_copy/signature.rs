//! Signatures of version 4, with a key that is derived once:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

const REGION: &str = "us-east-1";
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_IN_PATHS: AsciiSet = ENCODED.remove(b'/');

/// As it is signed, and sent.
pub(crate) fn encoded(text: &str, is_path: bool) -> String {
    utf8_percent_encode(text, if is_path { &ENCODED_IN_PATHS } else { &ENCODED }).to_string()
}

/// Signs the requests to one server.
pub(crate) struct Signer {
    /// `HOST:PORT`.
    pub(crate) host: String,
    /// The time of all requests: a copy takes seconds, and servers allow for minutes.
    pub(crate) time: String,
    access_key: String,
    scope: String,
    key: [u8; 32],
}

impl Signer {
    /// For `http://HOST:PORT`.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").with_context(|| format!("{url} is no http://HOST:PORT"))?.to_owned();
        let variable = |name| std::env::var(name).with_context(|| format!("set {name}"));
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        Ok(Self::at(host, variable("AWS_ACCESS_KEY_ID")?, &variable("AWS_SECRET_ACCESS_KEY")?, time))
    }

    fn at(host: String, access_key: String, secret: &str, time: String) -> Self {
        let (day, _) = time.split_once('T').unwrap_or_default();
        let begin = hmac(format!("AWS4{secret}").as_bytes(), day);
        let key = [REGION, "s3", "aws4_request"].iter().fold(begin, |key, word| hmac(&key, word));
        Self { host, access_key, scope: format!("{day}/{REGION}/s3/aws4_request"), key, time }
    }

    /// The header `authorization` of a request; its query is sorted and encoded, `digest` is that of its body.
    pub(crate) fn sign(&self, method: &str, path_and_query: &str, digest: &str) -> String {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let Self { host, time, scope, access_key, .. } = self;
        let signed = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{time}\n\n{signed}\n{digest}"
        );
        let hash = hex::encode(Sha256::digest(canonical));
        let signature = hex::encode(hmac(&self.key, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}")));
        format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}")
    }
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with botocore, and known to `benches/fast_s3` too.
    #[test]
    fn a_signature_is_that_of_botocore() {
        let signer = Signer::at("127.0.0.1:9000".into(), "bench".into(), "bench-secret", "20240102T030405Z".into());
        let header = signer.sign("GET", "/data/a%20b?list-type=2&prefix=x%2Fy", "UNSIGNED-PAYLOAD");
        let right = "Signature=5c17d5fcf58eb3edbaaf7fb984e2839f3dd586260e4a4795c7f0bba79bfbcf38";
        assert!(header.ends_with(right), "{header}");
    }
}
