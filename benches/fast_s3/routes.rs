//! Which operation a request asks for.

use bytes::Bytes;
use hyper::{Method, Request, StatusCode, body::Incoming, http::request::Parts};

use crate::{
    answer::{Answer, Failure, document, empty},
    configure::{buckets, make, setting},
    endpoint::Endpoint,
    lists,
    payload::Payload,
    reads::read,
    request::Named,
    signature::Signed,
    uploads, writes,
};

/// Answers one request, after the latency of the endpoint.
pub(crate) async fn answer(endpoint: &Endpoint, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    if let Some(answer) = about_itself(endpoint, &head) {
        return answer;
    }
    let latency = endpoint.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let mut answer = served(endpoint, &head, body).await.unwrap_or_else(Failure::answer);
    if head.method == Method::HEAD && !answer.status().is_success() {
        answer = empty(answer.status());
    }
    answer
}

/// What `benches/compare` asks an endpoint of itself.
fn about_itself(endpoint: &Endpoint, head: &Parts) -> Option<Answer> {
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/-/counts") => Some(document(StatusCode::OK, "application/json", endpoint.counts.json())),
        (&Method::POST, "/-/counts") => {
            endpoint.counts.reset();
            Some(empty(StatusCode::OK))
        }
        (&Method::POST, "/-/empty") => {
            endpoint.empty();
            Some(empty(StatusCode::OK))
        }
        (&Method::POST, "/-/latency") => {
            let Some(ms) = head.uri.query().and_then(|ms| ms.parse().ok()) else {
                return Some(Failure::INVALID.answer());
            };
            endpoint.set_latency(ms);
            Some(empty(StatusCode::OK))
        }
        _ => None,
    }
}

async fn served(endpoint: &Endpoint, head: &Parts, body: Incoming) -> Result<Answer, Failure> {
    let signed = Signed::check(&endpoint.keys, head)?;
    let named = Named::of(head)?;
    endpoint.counts.request(&head.method, head.method == Method::GET && named.key.is_empty());
    if named.key.is_empty() {
        of_bucket(endpoint, head, &named)
    } else {
        of_object(endpoint, head, &named, signed, body).await
    }
}

fn of_bucket(endpoint: &Endpoint, head: &Parts, named: &Named) -> Result<Answer, Failure> {
    let has = |name| named.parameter(name).is_some();
    let bucket = || endpoint.bucket(&named.bucket).ok_or(Failure::NO_BUCKET);
    match head.method {
        Method::GET if named.bucket.is_empty() => Ok(buckets(endpoint)),
        Method::HEAD => bucket().map(|_| empty(StatusCode::OK)),
        Method::PUT if head.uri.query().is_none_or(|query| query.starts_with("x-id")) => Ok(make(endpoint, named)),
        Method::GET if has("uploads") => Ok(lists::uploads(&*bucket()?, named)),
        Method::GET if has("versions") => lists::versions(&*bucket()?, named),
        Method::GET => {
            let bucket = bucket()?;
            setting(named).unwrap_or_else(|| lists::objects(&bucket, named))
        }
        _ => Err(Failure::NOT_IMPLEMENTED),
    }
}

async fn of_object(
    endpoint: &Endpoint,
    head: &Parts,
    named: &Named,
    signed: Signed,
    body: Incoming,
) -> Result<Answer, Failure> {
    let has = |name| named.parameter(name).is_some();
    let bucket = || endpoint.bucket(&named.bucket).ok_or(Failure::NO_BUCKET);
    let headers = &head.headers;
    match head.method {
        Method::PUT if has("tagging") => {
            let document = whole(head, signed, body).await?;
            writes::set_tags(&*bucket()?, named, &document)
        }
        Method::PUT if has("partNumber") && headers.contains_key("x-amz-copy-source") => Err(Failure::NOT_IMPLEMENTED),
        Method::PUT if has("partNumber") => uploads::put_part(endpoint, named, headers, signed, body).await,
        Method::PUT if headers.contains_key("x-amz-copy-source") => writes::copy(endpoint, named, headers),
        Method::PUT if has("acl") || has("retention") || has("legal-hold") => Err(Failure::NOT_IMPLEMENTED),
        Method::PUT => writes::put(endpoint, named, headers, signed, body).await,
        Method::POST if has("uploads") => uploads::begin(endpoint, named, headers),
        Method::POST if has("uploadId") => {
            let document = whole(head, signed, body).await?;
            uploads::complete(endpoint, named, headers, &document)
        }
        Method::DELETE if has("uploadId") => uploads::abort(&*bucket()?, named),
        Method::DELETE if has("tagging") => Err(Failure::NOT_IMPLEMENTED),
        Method::DELETE => writes::delete(&*bucket()?, named, headers),
        Method::GET if has("uploadId") => uploads::list_parts(&*bucket()?, named),
        Method::GET if has("tagging") => writes::tags(&*bucket()?, named),
        Method::GET if has("acl") || has("attributes") => Err(Failure::NOT_IMPLEMENTED),
        Method::GET | Method::HEAD => read(&*bucket()?, named, (&head.method, headers), &endpoint.counts),
        _ => Err(Failure::NOT_IMPLEMENTED),
    }
}

/// A document that a request carries. The checksums in the headers of a finish are those of the object.
async fn whole(head: &Parts, signed: Signed, body: Incoming) -> Result<Bytes, Failure> {
    let mut headers = head.headers.clone();
    if head.method == Method::POST {
        let of_object: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with("x-amz-checksum-")).cloned().collect();
        for name in of_object {
            headers.remove(name);
        }
    }
    let payload = Payload::read(&headers, signed, body, false).await?;
    Ok(payload.pieces.unwrap_or_default().concat().into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_latency_is_changed_and_nothing_else_is_one() {
        let endpoint = Endpoint::parse("name:latency=100").unwrap();
        let asked = |method: &str, uri: &str| {
            let head = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
            about_itself(&endpoint, &head).map(|answer| answer.status().as_u16())
        };
        for (method, uri, status, ms) in [
            ("POST", "/-/latency?50", Some(200), 50),
            ("POST", "/-/latency?-1", Some(400), 50),
            ("POST", "/-/latency", Some(400), 50),
            ("GET", "/-/latency?7", None, 50),
            ("POST", "/-/latency?0", Some(200), 0),
        ] {
            assert_eq!((asked(method, uri), endpoint.latency()), (status, Duration::from_millis(ms)), "{method} {uri}");
        }
    }
}
