//! Who signed a request: Signature Version 4, checked over the body that arrived.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::{collections::BTreeMap, sync::Arc};

use hyper::{HeaderMap, Method, Uri, header::AUTHORIZATION};
use sha2::{Digest as _, Sha256};

use super::answers::Answer;
use crate::{caller::Caller, identities::Identities};

/// The service that requests are signed for.
const SERVICE: &str = "dynamodb";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The caller of a request whose signature holds.
pub(super) fn caller(
    identities: &Identities,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Arc<Caller>, Answer> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = text(AUTHORIZATION.as_str()) else {
        return Err(Answer::refusal("MissingAuthenticationTokenException", "Request is missing Authentication Token"));
    };
    let incomplete = || Answer::refusal("IncompleteSignatureException", "Authorization header is not understood.");
    let signed = Signed::read(authorization).ok_or_else(incomplete)?;
    let time = text("x-amz-date").filter(|time| time.starts_with(signed.date)).ok_or_else(incomplete)?;
    if signed.service != SERVICE {
        let text = format!("Credential should be scoped to correct service: '{SERVICE}'.");
        return Err(Answer::refusal("InvalidSignatureException", &text));
    }
    let known = identities.caller(signed.access_key).zip(identities.secret(signed.access_key));
    let Some((caller, secret)) = known else {
        let text = "The security token included in the request is invalid.";
        return Err(Answer::refusal("UnrecognizedClientException", text));
    };
    let canonical = signed.canonical(method, uri, headers, body).ok_or_else(incomplete)?;
    let Signed { date, region, .. } = signed;
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let start = format!("AWS4{secret}").into_bytes();
    let key = [date, region, SERVICE, "aws4_request"].iter().fold(start, |key, part| hmac(&key, part).to_vec());
    if hex::encode(hmac(&key, &to_sign)) == signed.signature {
        return Ok(caller);
    }
    let text = "The request signature we calculated does not match the signature you provided.";
    Err(Answer::refusal("InvalidSignatureException", text))
}

/// The parts of an `Authorization` header.
struct Signed<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    headers: &'a str,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    fn read(authorization: &'a str) -> Option<Self> {
        let parts = authorization.strip_prefix(ALGORITHM)?.split(',');
        let parts: BTreeMap<_, _> = parts.filter_map(|part| part.trim().split_once('=')).collect();
        let mut scope = parts.get("Credential")?.split('/');
        let (access_key, date, region, service) = (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
        let ends = scope.next() == Some("aws4_request") && scope.next().is_none();
        let (headers, signature) = (*parts.get("SignedHeaders")?, *parts.get("Signature")?);
        ends.then_some(Self { access_key, date, region, service, headers, signature })
    }

    /// `None` if the headers that say where the request goes are not signed, or one that is signed is missing.
    fn canonical(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let names: Vec<&str> = self.headers.split(';').collect();
        if !names.contains(&"host") || !names.contains(&"x-amz-target") {
            return None;
        }
        let line = |name: &&str| {
            let value = headers.get(*name)?.to_str().ok()?;
            let words: Vec<_> = value.split(' ').filter(|word| !word.is_empty()).collect();
            Some(format!("{name}:{}\n", words.join(" ")))
        };
        let lines: String = names.iter().map(line).collect::<Option<_>>()?;
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let hash = hex::encode(Sha256::digest(body));
        Some(format!("{method}\n{path}\n{query}\n{lines}\n{}\n{hash}", self.headers))
    }
}

/// HMAC-SHA-256: <https://www.rfc-editor.org/rfc/rfc2104>.
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// <https://www.rfc-editor.org/rfc/rfc4231>, cases 2 and 6.
    #[test]
    fn the_code_of_a_message_is_that_of_the_standard() {
        let code = hex::encode(hmac(b"Jefe", "what do ya want for nothing?"));
        assert_eq!(code, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let code = hex::encode(hmac(&[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(code, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn only_a_whole_header_is_understood() {
        let good = "AWS4-HMAC-SHA256 Credential=AK/20260101/r/dynamodb/aws4_request, SignedHeaders=host, Signature=ab";
        let signed = Signed::read(good).unwrap();
        assert_eq!((signed.access_key, signed.date, signed.region), ("AK", "20260101", "r"));
        for wrong in ["", "AWS4-HMAC-SHA256", &good.replace("Signature", "S"), &good.replace("/aws4_request", "")] {
            assert!(Signed::read(wrong).is_none(), "{wrong}");
        }
    }
}
