//! Which server a client speaks to, as far as its address tells.

use migrate_store::EndpointId;

use crate::credentials::AwsCredentials;

/// The server at `url`, or AWS's own in a region, for one identity.
pub(crate) fn endpoint_id(region: &str, url: Option<&str>, credentials: &AwsCredentials) -> EndpointId {
    let at = url.map_or_else(|| format!("AWS {region}"), ToOwned::to_owned);
    EndpointId::Server { at: at.into(), identity: credentials.identity() }
}

/// Whether an address names this machine.
pub(crate) fn is_this_machine(url: &str) -> bool {
    let uri = url.parse::<hyper::Uri>();
    let host = uri.as_ref().ok().and_then(hyper::Uri::host).unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for url in ["http://127.0.0.1:9000", "http://127.8.7.6", "http://[::1]:9000", "https://localhost:9000/"] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in ["", "https://s3.example.com", "http://10.0.0.1:9000", "http://localhost.example.com"] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
