//! Where the requests to a bucket go, by the SDK's own rules for endpoints.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use hyper::Uri;

use crate::s3::{client::S3Config, convert::push_encoded};

/// The address of a bucket, and what requests to it are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The URL of the bucket, without a slash at its end.
    pub(super) url: Box<str>,
    pub(super) region: Box<str>,
    /// As the header `host` names it.
    pub(super) host: Box<str>,
    /// Where in the URL the path begins.
    path_at: usize,
}

impl Place {
    /// `None` if a bucket needs more than the plain signatures of S3, as directory buckets and access points of
    /// several regions do, or cannot be resolved: the SDK knows how, or what is wrong.
    pub(super) fn of(config: &S3Config, bucket: &str) -> Option<Self> {
        let mut params = Params::builder().bucket(bucket).region(&config.region);
        if let Some(server) = &config.endpoint {
            params = params.endpoint(&server.url).force_path_style(server.path_style);
        }
        let params = params.build().ok()?;
        let rules = DefaultResolver::new();
        // The rules are computed at once: nothing is waited for.
        let resolved = pin!(rules.resolve_endpoint(&params)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(endpoint)) = resolved else { return None };
        let [scheme] = endpoint.auth_schemes() else { return None };
        let said = |name| scheme.get(name)?.as_string();
        let is_plain = scheme.name() == "sigv4" && said("signingName") == Some("s3");
        if !is_plain || endpoint.headers().next().is_some() || endpoint.url().contains('?') {
            return None;
        }
        Self::at(endpoint.url(), said("signingRegion")?)
    }

    /// The bucket at a URL. `None` if it is no URL of a server.
    pub(super) fn at(url: &str, region: &str) -> Option<Self> {
        let url = url.strip_suffix('/').unwrap_or(url);
        let parsed: Uri = url.parse().ok()?;
        let authority = parsed.authority()?.as_str();
        let is_usual = matches!((parsed.scheme_str()?, parsed.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        // What is sent names no port that goes without saying.
        let host = if is_usual { parsed.host()? } else { authority };
        let path_at = url.find("://")? + "://".len() + authority.len();
        Some(Self { url: url.into(), region: region.into(), host: host.into(), path_at })
    }

    /// What follows the server in a URL that begins with that of the bucket.
    pub(super) fn path_and_query<'a>(&self, url: &'a str) -> &'a str {
        url.get(self.path_at..).unwrap_or_default()
    }

    /// The URL of a key in the bucket, or of the bucket for an empty one, up to the query.
    pub(super) fn url_of(&self, key: &str) -> String {
        // Room for a usual query, and for keys that need few escapes.
        let mut url = String::with_capacity(self.url.len() + key.len() + 64);
        url.push_str(&self.url);
        url.push('/');
        push_encoded(&mut url, key, true);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credentials::AwsCredentials, s3::client::S3Endpoint};

    fn place(bucket: &str, region: &str, endpoint: Option<(&str, bool)>) -> Option<Place> {
        let endpoint = endpoint.map(|(url, path_style)| S3Endpoint { url: url.to_owned(), path_style, ca_pem: None });
        let config = S3Config {
            site: "t".to_owned(),
            region: region.to_owned(),
            endpoint,
            credentials: AwsCredentials::Ambient,
            expected_bucket_owner: None,
        };
        Place::of(&config, bucket)
    }

    #[test]
    fn a_bucket_is_in_the_path_or_in_the_host() {
        for (bucket, region, endpoint, url) in [
            ("data", "eu-central-1", None, "https://data.s3.eu-central-1.amazonaws.com"),
            ("data", "cn-north-1", None, "https://data.s3.cn-north-1.amazonaws.com.cn"),
            ("da.ta", "eu-central-1", None, "https://s3.eu-central-1.amazonaws.com/da.ta"),
            ("data", "us-east-1", Some(("http://127.0.0.1:9000", true)), "http://127.0.0.1:9000/data"),
            ("data", "us-east-1", Some(("http://127.0.0.1:9000/", true)), "http://127.0.0.1:9000/data"),
            ("data", "us-east-1", Some(("https://s3.example.com", false)), "https://data.s3.example.com"),
        ] {
            let found = place(bucket, region, endpoint).unwrap();
            assert_eq!((&*found.url, &*found.region), (url, region), "{bucket} {endpoint:?}");
        }
    }

    #[test]
    fn what_is_signed_in_another_way_is_left_to_the_sdk() {
        for bucket in [
            "data--use1-az4--x-s3",
            "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap",
            "arn:aws:s3-outposts:us-east-1:123456789012:outpost:op-01234567890123456:accesspoint:reports",
        ] {
            assert_eq!(place(bucket, "us-east-1", None), None, "{bucket}");
        }
    }

    #[test]
    fn keys_are_escaped_once_and_never_shortened() {
        let place = place("b", "r", Some(("http://h", true))).unwrap();
        for (key, url) in [
            ("a b+c%", "http://h/b/a%20b%2Bc%25"),
            ("/a//../b/", "http://h/b//a//../b/"),
            ("ü~-_.", "http://h/b/%C3%BC~-_."),
            ("", "http://h/b/"),
        ] {
            assert_eq!(place.url_of(key), url);
        }
    }
}
