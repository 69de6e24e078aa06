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
use aws_sdk_s3::{
    config::http::HttpRequest,
    primitives::{DateTime, DateTimeFormat, SdkBody},
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as Signer;
use sha2::{Digest as _, Sha256};

use super::{
    asked::{Asked, not_made},
    place::Place,
};
use crate::failed::Failed;

/// The hash of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// As the user agent of a request that the SDK sends names the program, which signs it not.
const USER_AGENT: &str = concat!("migrate/", env!("CARGO_PKG_VERSION"), " app/migrate");

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
    ) -> Result<HttpRequest, Failed> {
        let credentials = signer.data::<Credentials>().ok_or_else(|| not_made("there are no keys to sign it with"))?;
        let moment = self.moment(credentials, &place.region, time)?;
        let digest = asked.body.as_ref().map_or_else(|| EMPTY.to_owned(), |(_, hash)| hash.to_string());
        let token = credentials.session_token().map(|token| ("x-amz-security-token", token));
        let added = [("x-amz-content-sha256", &*digest), ("x-amz-date", &*moment.time)];
        let added = || added.into_iter().chain(token);
        let authorization = {
            let given = asked.headers.iter().map(|(name, value)| (&**name, &**value));
            let mut headers: Vec<_> = given.chain(added()).chain([("host", &*place.host)]).collect();
            // Values of one name keep their order.
            headers.sort_by_key(|(name, _)| *name);
            let (text, names) = canonical(asked.method, place.path_and_query(&asked.url), &headers, &digest);
            moment.authorization(&text, &names)
        };
        let body = asked.body.as_ref().map_or_else(|| SdkBody::from(""), |(bytes, _)| SdkBody::from(bytes.clone()));
        let mut request = HttpRequest::new(body);
        request.set_method(asked.method).map_err(not_made)?;
        request.set_uri(&*asked.url).map_err(not_made)?;
        let headers = request.headers_mut();
        for (name, value) in &asked.headers {
            headers.try_append(name.clone(), value.clone()).map_err(not_made)?;
        }
        for (name, value) in added() {
            headers.try_insert(name, value.to_owned()).map_err(not_made)?;
        }
        headers.try_insert("authorization", authorization).map_err(not_made)?;
        headers.insert("user-agent", USER_AGENT);
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
        Ok(Self { second, credentials: credentials.clone(), region: region.into(), time, scope, key })
    }

    /// Whether these keys are those that it was made with.
    fn is_of(&self, other: &Credentials) -> bool {
        self.credentials.access_key_id() == other.access_key_id()
            && self.credentials.secret_access_key() == other.secret_access_key()
    }

    /// The header `authorization` of a request, by its canonical text and the names of its headers.
    fn authorization(&self, canonical: &str, names: &str) -> String {
        let Self { time, scope, key, credentials, .. } = self;
        let hash = hex::encode(Sha256::digest(canonical));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let signature = v4::calculate_signature(key, to_sign.as_bytes());
        let id = credentials.access_key_id();
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

/// The text of a request whose hash is signed, and the names of its headers, which are sorted; path and query are encoded.
fn canonical(method: &str, path_and_query: &str, headers: &[(&str, &str)], digest: &str) -> (String, String) {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut query: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    query.sort_unstable();
    let mut text = String::with_capacity(1024);
    text.extend([method, "\n", path, "\n"]);
    for (index, (name, value)) in query.iter().enumerate() {
        text.extend([if index == 0 { "" } else { "&" }, name, "=", value]);
    }
    text.push('\n');
    let mut names = String::with_capacity(256);
    for same in headers.chunk_by(|(one, _), (other, _)| one == other) {
        for (index, (name, value)) in same.iter().enumerate() {
            if index == 0 {
                names.extend([if names.is_empty() { "" } else { ";" }, name]);
                text.extend([name, ":"]);
            } else {
                text.push(',');
            }
            // Spaces at the ends are left out, and of several in a row all but one.
            let mut words = value.split(' ').filter(|word| !word.is_empty());
            text.push_str(words.next().unwrap_or_default());
            words.for_each(|word| text.extend([" ", word]));
        }
        text.push('\n');
    }
    text.extend(["\n", &names, "\n", digest]);
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
    use bytes::Bytes;
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
        let headers = asked.headers.iter().map(|(name, value)| (&**name, value.as_str()));
        let signable = SignableRequest::new(asked.method, &*asked.url, headers, SignableBody::Precomputed(hash));
        let (added, _) = sign(signable.unwrap(), &params).unwrap().into_parts().0.into_parts();
        added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect()
    }

    /// Signs on both ways, and returns what was sent beside what was asked.
    fn alike(signing: &Signing, asked: &Asked, place: &Place, signer: &Signer, time: SystemTime) {
        let request = signing.signed(asked, place, signer, time).unwrap();
        let expected = by_the_library(asked, place, signer, time);
        for name in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"] {
            let sent = request.headers().get(name);
            assert_eq!(sent, expected.get(name).map(String::as_str), "{name} of {asked:?} at {place:?}");
        }
        let own = expected.len() + 1;
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
            let mut url = place.url_of(&text(&mut random, &words, 8));
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
            let mut asked = Asked::new(["GET", "PUT", "HEAD"][random.random_range(0..3)], url);
            for name in
                ["if-match", "content-type", "x-amz-tagging", "x-amz-meta-one", "x-amz-meta-a", "x-amz-meta-one"]
            {
                asked.header(name, random.random_bool(0.5).then(|| text(&mut random, &values, 6)));
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
