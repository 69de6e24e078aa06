//! The addresses of endpoints.

use std::net::IpAddr;

use crate::plan::values::Bad;

/// The host of an endpoint, which is a scheme, a host and perhaps a port, and nothing more.
pub(crate) fn host_of(url: &str) -> Result<String, Bad> {
    let bad = |message: String| Bad { message, mend: "write https://host or https://host:port".to_owned() };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| bad(format!("{url:?} is not an http or https URL")))?;
    let authority = rest.trim_end_matches('/');
    if authority.contains(['/', '?', '#']) {
        return Err(bad(format!("{url:?} has more than a host and a port")));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let legal = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
    };
    if !legal || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(bad(format!("{url:?} is not an http or https URL")));
    }
    Ok(bare.unwrap_or(host).to_ascii_lowercase())
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an endpoint is one of AWS's own, VPC and FIPS endpoints included.
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
pub(crate) fn is_aws(url: &str) -> bool {
    let aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    url.starts_with("https://") && host_of(url).is_ok_and(|host| aws.iter().any(|suffix| host.ends_with(suffix)))
}
