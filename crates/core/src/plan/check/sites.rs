//! Sites: endpoints, credentials and limits.

use std::{collections::BTreeMap, path::PathBuf};

use crate::plan::endpoint::{host_of, is_aws, is_loopback};
use crate::{
    model::SiteName,
    plan::{
        check::context::Context,
        diagnostics::Spot,
        site::{Credentials, Endpoint, Limits, Site},
        syntax, values,
    },
};

/// The region that S3-compatible servers expect if none is set.
const REGION_DEFAULT: &str = "us-east-1";

/// Checks every site.
pub(super) fn check(context: &mut Context<'_>) -> BTreeMap<SiteName, Site> {
    let mut sites = BTreeMap::new();
    for (name, site) in &context.file.sites {
        let sites_spot = context.root.key("sites");
        let Some(legal) = context.name::<SiteName>(&sites_spot.name_of(name), name) else { continue };
        let checked = check_site(context, &sites_spot.key(name), legal.clone(), site);
        sites.insert(legal, checked);
    }
    sites
}

fn check_site(context: &mut Context<'_>, spot: &Spot<'_>, name: SiteName, site: &syntax::Site) -> Site {
    if site.region.is_none() && site.s3.is_none() && site.dynamodb.is_none() && site.directory.is_none() {
        let message = format!("site {:?} does not say where it is", name.as_str());
        let mend = "add region = \"...\" (AWS), s3 or dynamodb = { endpoint = \"...\" }, or directory = \"...\"";
        context.lacks(spot, &["region", "s3", "dynamodb", "directory"], spot, message, mend);
    }
    let region = site.region.as_deref();
    check_region(context, &spot.key("region"), region);
    let s3 = site.s3.as_ref().map(|s3| check_endpoint(context, &spot.key("s3"), s3, region));
    let dynamodb = site.dynamodb.as_ref().map(|table| check_endpoint(context, &spot.key("dynamodb"), table, region));
    let given = site.credentials.as_ref();
    if given.is_none() {
        own_credentials(context, spot, &name, [("s3", s3.as_ref()), ("dynamodb", dynamodb.as_ref())]);
    }
    let credentials = given.and_then(|given| check_credentials(context, &spot.key("credentials"), given));
    if let Some(owner) = &site.expected_bucket_owner
        && !(owner.len() == 12 && owner.bytes().all(|b| b.is_ascii_digit()))
    {
        let message = format!("{owner:?} is not an AWS account");
        context.report.at(&spot.key("expected_bucket_owner"), message, "write its 12 digits, in quotes".to_owned());
    }
    Site {
        jurisdiction: site.jurisdiction.clone(),
        region: site.region.clone(),
        s3,
        dynamodb,
        directory: site.directory.as_ref().map(PathBuf::from),
        credentials: credentials.unwrap_or(Credentials::Ambient),
        limits: check_limits(context, &spot.key("limits"), site.limits.as_ref()),
        expected_bucket_owner: site.expected_bucket_owner.clone(),
        ..Site::empty(name)
    }
}

fn check_region(context: &mut Context<'_>, spot: &Spot<'_>, region: Option<&str>) {
    let legal = |region: &str| {
        !region.is_empty() && region.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if let Some(region) = region.filter(|region| !legal(region)) {
        context.report.at(spot, format!("{region:?} is not a region"), "for example \"us-west-1\"".to_owned());
    }
}

/// The AWS credential chain must not sign for a foreign server: it would receive the session token.
fn own_credentials(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    name: &SiteName,
    endpoints: [(&str, Option<&Endpoint>); 2],
) {
    let foreign = endpoints.into_iter().find(|(_, endpoint)| endpoint.is_some_and(|endpoint| !is_aws(&endpoint.url)));
    if let Some((kind, _)) = foreign {
        let message = "a custom endpoint needs credentials of its own: AWS's usual chain signs for AWS only".to_owned();
        let prefix = name.as_str().to_uppercase().replace('-', "_");
        let mend = format!("add credentials = {{ env = {prefix:?} }} or {{ profile = \"{name}\" }} to [sites.{name}]");
        context.lacks(spot, &["credentials"], &spot.key(kind).key("endpoint"), message, mend);
    }
}

fn check_endpoint(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    endpoint: &syntax::Endpoint,
    site_region: Option<&str>,
) -> Endpoint {
    let at = spot.key("endpoint");
    check_region(context, &spot.key("region"), endpoint.region.as_deref());
    let host = context.take(&at, host_of(&endpoint.endpoint));
    let plain = endpoint.endpoint.starts_with("http://");
    if plain && endpoint.insecure != Some(true) && host.is_some_and(|host| !is_loopback(&host)) {
        let message = "http:// shows data and requests to everybody on the way".to_owned();
        context.lacks(spot, &["insecure"], &at, message, "use https://, or accept it with insecure = true");
    }
    let region = endpoint.region.as_deref().or(site_region).unwrap_or(REGION_DEFAULT);
    Endpoint {
        url: endpoint.endpoint.trim_end_matches('/').to_owned(),
        region: region.to_owned(),
        path_style: endpoint.path_style.unwrap_or(false),
        ca_file: endpoint.ca_file.as_ref().map(PathBuf::from),
    }
}

/// Checks where credentials come from; `None` if it cannot be determined.
pub(super) fn check_credentials(
    context: &mut Context<'_>,
    spot: &Spot<'_>,
    given: &syntax::Credentials,
) -> Option<Credentials> {
    if context.report.is_unread_below(spot.path()) {
        return None;
    }
    if given.external_id.is_some() && given.role_arn.is_none() {
        let mend = "add role_arn, or take external_id out".to_owned();
        context.report.at(&spot.key("external_id"), "external_id goes with role_arn only", mend);
    }
    let found = match (&given.env, &given.profile, &given.role_arn) {
        (Some(prefix), None, None) => Credentials::Env { prefix: prefix.clone() },
        (None, Some(name), None) => Credentials::Profile { name: name.clone() },
        (None, None, Some(arn)) => Credentials::Role { arn: arn.clone(), external_id: given.external_id.clone() },
        _ => {
            let mend = "write { env = \"PREFIX\" }, { profile = \"name\" } or { role_arn = \"arn:...\" }".to_owned();
            context.report.at(spot, "credentials come from exactly one of env, profile and role_arn", mend);
            return None;
        }
    };
    let problem = match &found {
        Credentials::Env { prefix } if !is_variable_name(prefix) => Some((
            "env",
            format!("{prefix:?} cannot begin the name of an environment variable"),
            "for example \"BEIJING\"",
        )),
        Credentials::Profile { name } if name.trim().is_empty() => {
            Some(("profile", "this must not be empty".to_owned(), "name a profile of the AWS configuration files"))
        }
        Credentials::Role { arn, .. } if !(arn.starts_with("arn:") && arn.contains(":role/")) => Some((
            "role_arn",
            format!("{arn:?} is not the ARN of a role"),
            "for example \"arn:aws:iam::111122223333:role/migrator\"",
        )),
        _ => None,
    };
    if let Some((key, message, mend)) = problem {
        context.report.at(&spot.key(key), message, mend.to_owned());
        return None;
    }
    Some(found)
}

fn is_variable_name(prefix: &str) -> bool {
    prefix.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn check_limits(context: &mut Context<'_>, spot: &Spot<'_>, limits: Option<&syntax::SiteLimits>) -> Limits {
    let Some(limits) = limits else { return Limits::default() };
    let bandwidth = limits.bandwidth.as_deref().map(values::rate);
    let window = limits.window.as_deref().map(values::window);
    Limits {
        bandwidth: bandwidth.and_then(|value| context.take(&spot.key("bandwidth"), value)),
        requests_per_second: limits.requests_per_second,
        requests_at_once: limits.requests_at_once,
        window: window.and_then(|value| context.take(&spot.key("window"), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        for (url, host) in [
            ("https://s3.example.com", "s3.example.com"),
            ("https://s3.example.com:9000/", "s3.example.com"),
            ("http://[::1]:9000", "::1"),
            ("http://[::1]", "::1"),
            ("http://MinIO_1:9000", "minio_1"),
        ] {
            assert_eq!(host_of(url).as_deref(), Ok(host));
        }
        for url in [
            "",
            "s3.example.com",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://a?x",
            "https://a:b",
            "https://a:99999",
            "https://a b",
        ] {
            assert!(host_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn loopback_and_aws_are_known_by_their_hosts() {
        assert!(is_loopback("localhost") && is_loopback("127.3.2.1") && is_loopback("::1"));
        assert!(!is_loopback("localhost.example.com") && !is_loopback("10.0.0.1"));
        assert!(is_aws("https://s3.us-west-1.amazonaws.com") && is_aws("https://s3.cn-north-1.amazonaws.com.cn"));
        assert!(!is_aws("https://amazonaws.com.evil.example") && !is_aws("http://s3.us-west-1.amazonaws.com"));
        assert!(!is_aws("https://fakeamazonaws.com"));
    }
}
