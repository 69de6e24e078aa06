//! Signatures of version 4, as S3 takes them.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
//!
//! The text that is signed is written here, and the library signs it with a key that it derives once a second. To write
//! that text the library makes some eighty small allocations, half of all that a hot request needs. Tests hold both
//! against each other.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as Signer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Uri,
    header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use sha2::{Digest as _, Sha256};

use super::{
    asked::{Asked, not_made},
    place::Place,
};
use crate::failed::Failed;
use migrate_core::model;

/// The hash of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// As the user agent of a request that the SDK sends names the program, which signs it not.
const PROGRAM: &str = concat!("migrate/", env!("CARGO_PKG_VERSION"), " app/migrate");

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs the requests to one server.
#[derive(Default)]
pub(super) struct Signing {
    latest: RwLock<Option<Arc<Moment>>>,
}

/// What all signatures of one second, identity and region share.
struct Moment {
    second: Duration,
    credentials: Credentials,
    region: Box<str>,
    /// As the header `x-amz-date` shows it.
    time: String,
    date: HeaderValue,
    token: Option<HeaderValue>,
    scope: String,
    key: Box<[u8]>,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").finish_non_exhaustive()
    }
}

impl Signing {
    /// The request as it is sent: every header is signed, and the hash of the body with them.
    pub(super) fn signed(
        &self,
        asked: &Asked,
        place: &Place,
        signer: &Signer,
        time: SystemTime,
    ) -> Result<Request<Full<Bytes>>, Failed> {
        let credentials = signer.data::<Credentials>().ok_or_else(|| not_made("there are no keys to sign it with"))?;
        let moment = self.moment(credentials, &place.region, time)?;
        let (body, digest) = match &asked.body {
            Some((body, hash)) => (body.clone(), HeaderValue::try_from(hash.to_string()).map_err(not_made)?),
            None => (Bytes::new(), HeaderValue::from_static(EMPTY)),
        };
        // With room for those below and for a proxy's.
        let mut headers = HeaderMap::with_capacity(asked.headers.len() + 7);
        for (name, value) in &asked.headers {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(X_AMZ_CONTENT_SHA256, digest.clone());
        headers.insert(X_AMZ_DATE, moment.date.clone());
        if let Some(token) = &moment.token {
            headers.insert(X_AMZ_SECURITY_TOKEN, token.clone());
        }
        headers.insert(HOST, place.host.clone());
        let (text, names) = canonical(asked.method.as_str(), &asked.path, &headers, digest.as_bytes());
        let mut authorization = HeaderValue::try_from(moment.authorization(&text, &names)).map_err(not_made)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(USER_AGENT, HeaderValue::from_static(PROGRAM));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = Uri::try_from(&*asked.path).map_err(not_made)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn moment(&self, credentials: &Credentials, region: &str, time: SystemTime) -> Result<Arc<Moment>, Failed> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(not_made)?;
        let second = Duration::from_secs(since.as_secs());
        let is_now =
            |moment: &&Arc<Moment>| moment.second == second && *moment.region == *region && moment.is_of(credentials);
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(moment) = latest.as_ref().filter(is_now) {
            return Ok(Arc::clone(moment));
        }
        drop(latest);
        let moment = Arc::new(Moment::new(second, credentials, region)?);
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&moment));
        Ok(moment)
    }
}

impl Moment {
    fn new(second: Duration, credentials: &Credentials, region: &str) -> Result<Self, Failed> {
        let at = SystemTime::UNIX_EPOCH + second;
        let mut time = DateTime::from(at).fmt(DateTimeFormat::DateTime).map_err(not_made)?;
        time.retain(|letter| !matches!(letter, '-' | ':'));
        let day = time.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{region}/s3/aws4_request");
        let key = v4::generate_signing_key(credentials.secret_access_key(), at, region, "s3").as_ref().into();
        let date = HeaderValue::try_from(&time).map_err(not_made)?;
        let mut token = credentials.session_token().map(HeaderValue::try_from).transpose().map_err(not_made)?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { second, credentials: credentials.clone(), region: region.into(), time, date, token, scope, key })
    }

    /// Whether these keys are those that it was made with.
    fn is_of(&self, other: &Credentials) -> bool {
        self.credentials.access_key_id() == other.access_key_id()
            && self.credentials.secret_access_key() == other.secret_access_key()
            && self.credentials.session_token() == other.session_token()
    }

    /// The header `authorization` of a request, by its canonical text and the names of its headers.
    fn authorization(&self, canonical: &[u8], names: &str) -> String {
        let Self { time, scope, key, credentials, .. } = self;
        let hash = model::Sha256(Sha256::digest(canonical).into());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let signature = v4::calculate_signature(key, to_sign.as_bytes());
        let id = credentials.access_key_id();
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

/// The text of a request whose hash is signed, and the names of its headers, which it has in their order; path and query are
/// encoded.
fn canonical(method: &str, path_and_query: &str, headers: &HeaderMap, digest: &[u8]) -> (Vec<u8>, String) {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut query: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    query.sort_unstable();
    let mut sorted: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    sorted.sort_unstable();
    let mut text = Vec::with_capacity(1000);
    let mut push = |pieces: &[&[u8]]| pieces.iter().for_each(|piece| text.extend_from_slice(piece));
    push(&[method.as_bytes(), b"\n", path.as_bytes(), b"\n"]);
    for (index, (name, value)) in query.iter().enumerate() {
        push(&[if index == 0 { b"" } else { b"&" }, name.as_bytes(), b"=", value.as_bytes()]);
    }
    push(&[b"\n"]);
    let names = sorted.join(";");
    for name in sorted {
        push(&[name.as_bytes(), b":"]);
        // Values of one name keep their order.
        for (index, value) in headers.get_all(name).into_iter().enumerate() {
            push(&[if index == 0 { b"" } else { b"," }]);
            // Spaces at the ends are left out, and of several in a row all but one.
            let words = value.as_bytes().split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            words.enumerate().for_each(|(index, word)| push(&[if index == 0 { b"" } else { b" " }, word]));
        }
        push(&[b"\n"]);
    }
    push(&[b"\n", names.as_bytes(), b"\n", digest]);
    (text, names)
}

fn pair(text: &str) -> (&str, &str) {
    text.split_once('=').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use hyper::Method;
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::s3::convert::push_encoded;
    use migrate_core::digest::Body;

    /// The headers that the library adds, by its own way to write what is signed.
    fn by_the_library(asked: &Asked, place: &Place, signer: &Signer, time: SystemTime) -> BTreeMap<String, String> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder().identity(signer).region(&place.region).name("s3");
        let params = params.time(time).settings(settings).build().unwrap().into();
        let hash = asked.body.as_ref().map_or_else(|| EMPTY.to_owned(), |(_, hash)| hash.to_string());
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        let headers: Vec<_> = asked.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let (method, url) = (asked.method.as_str(), place.url(&asked.path));
        let signable = SignableRequest::new(method, url, headers, SignableBody::Precomputed(hash));
        let (added, _) = sign(signable.unwrap(), &params).unwrap().into_parts().0.into_parts();
        added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect()
    }

    /// Signs on both ways, and returns what was sent beside what was asked.
    fn alike(signing: &Signing, asked: &Asked, place: &Place, signer: &Signer, time: SystemTime) {
        let request = signing.signed(asked, place, signer, time).unwrap();
        assert_eq!(request.uri(), &*asked.path, "at {place:?}");
        let expected = by_the_library(asked, place, signer, time);
        for name in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"] {
            let sent = request.headers().get(name);
            let sent = sent.map(|value| value.to_str().unwrap());
            assert_eq!(sent, expected.get(name).map(String::as_str), "{name} of {asked:?} at {place:?}");
        }
        // The host and the user agent are not told by the library.
        let own = expected.len() + 2;
        assert_eq!(request.headers().iter().count(), asked.headers.len() + own);
    }

    fn text(random: &mut StdRng, of: &[&str], most: usize) -> String {
        (0..random.random_range(0..=most)).map(|_| of[random.random_range(0..of.len())]).collect()
    }

    #[test]
    fn requests_are_signed_as_the_library_signs_them() {
        let mut random = StdRng::seed_from_u64(11);
        let signing = Signing::default();
        let signers: [Signer; 3] = [
            Credentials::new("AKIDEXAMPLE", "a-secret", None, None, "test").into(),
            Credentials::new("AKIDEXAMPLE", "another", None, None, "test").into(),
            Credentials::new("ASIAEXAMPLE", "a-secret", Some("a/token+=".to_owned()), None, "test").into(),
        ];
        let places = [
            Place::at("http://127.0.0.1:9000/data", "us-east-1").unwrap(),
            Place::at("https://data.s3.eu-central-1.amazonaws.com/", "eu-central-1").unwrap(),
            Place::at("https://s3.example.com:443/base/data", "r").unwrap(),
            Place::at("http://s3.example.com:80", "us-east-1").unwrap(),
            Place::at("http://[::1]:9000/b", "us-east-1").unwrap(),
        ];
        let words =
            ["a", "B", "é", " ", "/", "//", "..", "+", "%", "~", "=", "&", "?", "#", "\u{1f600}", "*", "'", "("];
        let values = ["a", "é", " ", "  ", "\t", ",", "=", "\"", "z"];
        for _ in 0..2000 {
            let place = &places[random.random_range(0..places.len())];
            let mut url = place.path_of(&text(&mut random, &words, 8));
            match random.random_range(0..4) {
                0 => url.push_str("?x-id=GetObject"),
                1 => url.push_str("?tagging"),
                2 => {
                    url.push_str("?list-type=2&encoding-type=url&prefix=");
                    push_encoded(&mut url, &text(&mut random, &words, 5), false);
                    url.push_str("&continuation-token=");
                    push_encoded(&mut url, &text(&mut random, &words, 5), false);
                }
                _ => {}
            }
            let method = [Method::GET, Method::PUT, Method::HEAD][random.random_range(0..3)].clone();
            let mut asked = Asked::new(method, url);
            for name in
                ["if-match", "content-type", "x-amz-tagging", "x-amz-meta-one", "x-amz-meta-a", "x-amz-meta-one"]
            {
                let value = random.random_bool(0.5).then(|| text(&mut random, &values, 6));
                asked.header(HeaderName::from_static(name), value).unwrap();
            }
            if random.random_bool(0.3) {
                let body = Body::new(Bytes::from(text(&mut random, &words, 3)));
                asked.body = Some((body.bytes().clone(), body.sha256()));
            }
            // Within a second, a second later, and on another day.
            let time = Duration::from_millis(1_709_164_799_000 + [0, 500, 1000, 90_000_000][random.random_range(0..4)]);
            let signer = &signers[random.random_range(0..signers.len())];
            alike(&signing, &asked, place, signer, SystemTime::UNIX_EPOCH + time);
        }
        assert!(!format!("{signing:?}").contains("a-secret"));
    }
}
