//! Where the requests to a bucket go, by the SDK's own rules for endpoints.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use hyper::{Uri, header::HeaderValue};

use crate::s3::{client::S3Config, convert::push_encoded};

/// The address of a bucket, and what requests to it are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Scheme and authority.
    pub(super) server: Uri,
    /// The path of the bucket, without a slash at its end.
    path: Box<str>,
    pub(super) region: Box<str>,
    /// As the header `host` names it.
    pub(super) host: HeaderValue,
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
        let parsed: Uri = url.parse().ok()?;
        let (scheme, authority) = (parsed.scheme()?, parsed.authority()?);
        let is_usual = matches!((scheme.as_str(), parsed.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        // What is sent names no port that goes without saying.
        let host = HeaderValue::from_str(if is_usual { parsed.host()? } else { authority.as_str() }).ok()?;
        let path = parsed.path().trim_end_matches('/').into();
        let server = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/").build();
        Some(Self { server: server.ok()?, path, region: region.into(), host })
    }

    /// The path of a key in the bucket, or of the bucket for an empty one, up to the query.
    pub(super) fn path_of(&self, key: &str) -> String {
        // Room for a usual query, and for keys that need few escapes.
        let mut path = String::with_capacity(self.path.len() + key.len() + 64);
        path.push_str(&self.path);
        path.push('/');
        push_encoded(&mut path, key, true);
        path
    }

    /// The URL of a path and a query at the server.
    #[cfg(test)]
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.to_string().trim_end_matches('/'))
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
            let found_url = found.url(&found.path_of("k"));
            assert_eq!((&*found_url, &*found.region), (&*format!("{url}/k"), region), "{bucket} {endpoint:?}");
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
            assert_eq!(place.url(&place.path_of(key)), url);
        }
    }
}
