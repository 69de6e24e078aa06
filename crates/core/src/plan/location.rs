//! Locations: `scheme://SITE/CONTAINER[/PREFIX]`, and places, to see whether two of them overlap.

use std::{
    fmt,
    path::{Component, Path},
};

use crate::{
    model::{Key, SiteName},
    plan::{
        site::{Endpoint, Site},
        values::Bad,
    },
};

/// The kind of place of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// A bucket of S3 or a compatible server.
    S3,
    /// A table of `DynamoDB` or a compatible server.
    DynamoDb,
    /// A directory of this machine.
    File,
}

impl Scheme {
    /// The scheme as a location writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::DynamoDb => "dynamodb",
            Scheme::File => "file",
        }
    }
}

/// `scheme://SITE/CONTAINER[/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The kind of place.
    pub scheme: Scheme,
    /// The site that holds it.
    pub site: SiteName,
    /// Bucket, table, or the path below the site's directory.
    pub container: String,
    /// Prefix in a bucket: empty, or ending in `/`. Empty for tables and directories.
    pub prefix: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme.as_str(), self.site, self.container)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

/// The document that tells applications the lead: one object, one file, or an item of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The kind of place.
    pub scheme: Scheme,
    /// The site that holds it.
    pub site: SiteName,
    /// Bucket, table, or the file's path below the site's directory.
    pub container: String,
    /// The object's key; empty for tables and files.
    pub key: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme.as_str(), self.site, self.container)?;
        if !self.key.is_empty() {
            write!(f, "/{}", self.key)?;
        }
        Ok(())
    }
}

fn bad<T>(message: impl Into<String>, mend: impl Into<String>) -> Result<T, Bad> {
    Err(Bad { message: message.into(), mend: mend.into() })
}

impl Location {
    /// Reads a dataset's location. A prefix is a folder: it gets its trailing `/`.
    pub(super) fn parse(text: &str) -> Result<Self, Bad> {
        let (scheme, site, container, rest) = split(text)?;
        let prefix = if rest.is_empty() || rest.ends_with('/') { rest.to_owned() } else { format!("{rest}/") };
        Ok(Self { scheme, site, container, prefix })
    }
}

impl Route {
    /// The folder of the route's document, as a location, and the document's name there.
    pub fn folder_and_name(&self) -> (Location, Key) {
        let path = if self.scheme == Scheme::File { &self.container } else { &self.key };
        let (folder, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
        let (container, prefix) = match self.scheme {
            Scheme::File => (folder.to_owned(), String::new()),
            _ if folder.is_empty() => (self.container.clone(), String::new()),
            _ => (self.container.clone(), format!("{folder}/")),
        };
        (Location { scheme: self.scheme, site: self.site.clone(), container, prefix }, Key::from(name))
    }

    /// Reads a route's location.
    pub(super) fn parse(text: &str) -> Result<Self, Bad> {
        let (scheme, site, container, key) = split(text)?;
        if scheme == Scheme::S3 && (key.is_empty() || key.ends_with('/')) {
            return bad(format!("{text:?} names no object"), "a route is one object: s3://SITE/BUCKET/KEY");
        }
        if scheme == Scheme::File && text.ends_with('/') {
            return bad(format!("{text:?} names no file"), "a route is one file: file://SITE/PATH");
        }
        Ok(Self { scheme, site, container, key: key.to_owned() })
    }
}

const SHAPE: &str = "write s3://SITE/BUCKET[/PREFIX], dynamodb://SITE/TABLE or file://SITE/PATH";

/// Scheme, site, container, and the rest after a bucket.
fn split(text: &str) -> Result<(Scheme, SiteName, String, &str), Bad> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return bad(format!("{text:?} is not a location"), SHAPE);
    };
    let scheme = match scheme {
        "s3" => Scheme::S3,
        "dynamodb" => Scheme::DynamoDb,
        "file" => Scheme::File,
        other => return bad(format!("{other:?} is not a kind of place"), SHAPE),
    };
    let (site, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let Ok(site) = SiteName::new(site) else {
        let mend = if scheme == Scheme::File && site.is_empty() {
            "name a site and a path below its directory: file://SITE/PATH"
        } else {
            SHAPE
        };
        return bad(format!("{site:?} in {text:?} is not the name of a site"), mend);
    };
    if scheme == Scheme::File {
        return Ok((scheme, site, directory(text, rest)?, ""));
    }
    let (container, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let kind = if scheme == Scheme::S3 { "bucket" } else { "table" };
    if container.is_empty() {
        return bad(format!("{text:?} names no {kind}"), SHAPE);
    }
    if !is_container_name(container) {
        let mend = "use 3 to 255 letters, digits, '-', '_' or '.', beginning with a letter or digit";
        return bad(format!("{container:?} is not the name of a {kind}"), mend);
    }
    if scheme == Scheme::DynamoDb && text.matches('/').count() > 3 {
        return bad(format!("{text:?} says more than a table"), "a table has no parts: dynamodb://SITE/TABLE");
    }
    Ok((scheme, site, container.to_owned(), rest))
}

/// The characters of `DynamoDB`'s tables and of S3's buckets, old and compatible ones included.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>,
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
fn is_container_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (3..=255).contains(&name.len()) && name.bytes().all(legal) && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// A path below a site's directory, without a trailing `/`; it stays below.
fn directory(text: &str, path: &str) -> Result<String, Bad> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return bad(format!("{text:?} names no directory"), "name a path below the site's directory: file://SITE/PATH");
    }
    if path.starts_with('/') {
        return bad(format!("the path in {text:?} is absolute"), "write it relative to the site's directory");
    }
    if path.split('/').any(|part| part == "..") {
        return bad(format!("the path in {text:?} leaves the site's directory"), "write it without \"..\"");
    }
    if path.split('/').any(|part| part.is_empty() || part == ".") || path.contains('\0') {
        return bad(format!("the path in {text:?} is not plain"), "write it without empty parts, \".\" and NUL");
    }
    Ok(path.to_owned())
}

/// The real place of a location, so that two names of the same data are recognised as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The server; empty for a directory of this machine.
    server: String,
    /// What decides about containment: path components, or bucket and prefix.
    path: PlacePath,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PlacePath {
    Bucket { bucket: String, prefix: String },
    Table(String),
    Directory(Vec<String>),
}

impl Place {
    /// The place of a dataset's location. Relative directories start at `plan_directory`.
    pub(super) fn of(location: &Location, site: &Site, plan_directory: &Path) -> Self {
        Self::at(location.scheme, &location.container, &location.prefix, site, plan_directory)
    }

    /// The place of a route.
    pub(super) fn of_route(route: &Route, site: &Site, plan_directory: &Path) -> Self {
        Self::at(route.scheme, &route.container, &route.key, site, plan_directory)
    }

    fn at(scheme: Scheme, container: &str, prefix: &str, site: &Site, plan_directory: &Path) -> Self {
        match scheme {
            // A bucket's name is unique in all of AWS, whatever the region or account.
            Scheme::S3 => Self {
                server: site
                    .s3
                    .as_ref()
                    .filter(|s3| !crate::plan::endpoint::is_aws(&s3.url))
                    .map_or("aws".to_owned(), server),
                path: PlacePath::Bucket { bucket: container.to_owned(), prefix: prefix.to_owned() },
            },
            // A table's name is unique in a region of an account; credentials identify the account.
            Scheme::DynamoDb => Self {
                server: match &site.dynamodb {
                    Some(endpoint) => format!("{} {:?}", server(endpoint), site.credentials),
                    None => format!("aws {:?} {:?}", site.region, site.credentials),
                },
                path: PlacePath::Table(container.to_owned()),
            },
            Scheme::File => {
                let directory = site.directory.as_deref().unwrap_or(Path::new(""));
                let path = plan_directory.join(directory).join(container);
                Self { server: String::new(), path: PlacePath::Directory(components(&path)) }
            }
        }
    }

    /// Where the place lies, as a text: two places overlap if, and only if, one's text begins with the other's.
    pub(super) fn trail(&self) -> String {
        let Self { server, path } = self;
        match path {
            PlacePath::Bucket { bucket, prefix } => format!("s3\0{server}\0{bucket}\0{prefix}"),
            PlacePath::Table(table) => format!("dynamodb\0{server}\0{table}\0"),
            PlacePath::Directory(parts) => {
                std::iter::once("file").chain(parts.iter().map(String::as_str)).flat_map(|part| [part, "\0"]).collect()
            }
        }
    }

    /// Whether one of the two is the other, or lies in it.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.server == other.server
            && match (&self.path, &other.path) {
                (PlacePath::Bucket { bucket: a, prefix: p }, PlacePath::Bucket { bucket: b, prefix: q }) => {
                    a == b && (p.starts_with(q.as_str()) || q.starts_with(p.as_str()))
                }
                (PlacePath::Table(a), PlacePath::Table(b)) => a == b,
                (PlacePath::Directory(a), PlacePath::Directory(b)) => a.starts_with(b) || b.starts_with(a),
                _ => false,
            }
    }

    /// The path of the other place below this one: empty if it is the same, `None` if it does not lie in it.
    pub(super) fn holds(&self, other: &Self) -> Option<String> {
        if self.server != other.server {
            return None;
        }
        match (&self.path, &other.path) {
            (PlacePath::Bucket { bucket: a, prefix: p }, PlacePath::Bucket { bucket: b, prefix: q }) if a == b => {
                q.strip_prefix(p.as_str()).map(str::to_owned)
            }
            (PlacePath::Table(a), PlacePath::Table(b)) => (a == b).then(String::new),
            (PlacePath::Directory(a), PlacePath::Directory(b)) => {
                Some(b.strip_prefix(a.as_slice())?.iter().flat_map(|part| [part.as_str(), "/"]).collect())
            }
            _ => None,
        }
    }
}

fn server(endpoint: &Endpoint) -> String {
    endpoint.url.to_ascii_lowercase()
}

/// The components of a path, with `.` and `..` removed as far as the text allows; symbolic links are the store's task.
fn components(path: &Path) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if parts.last().is_some_and(|last| last != ".." && last != "/") => {
                parts.pop();
            }
            other => parts.push(other.as_os_str().to_string_lossy().into_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_and_shown() {
        for (text, shown) in [
            ("s3://beijing/shop/static/", "s3://beijing/shop/static/"),
            ("s3://beijing/shop/static", "s3://beijing/shop/static/"),
            ("s3://beijing/shop", "s3://beijing/shop"),
            ("s3://beijing/shop/", "s3://beijing/shop"),
            ("s3://beijing/shop//", "s3://beijing/shop//"),
            ("dynamodb://beijing/accounts", "dynamodb://beijing/accounts"),
            ("file://beijing/shop/static/", "file://beijing/shop/static"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn bad_locations_are_refused() {
        for text in [
            "",
            "beijing/shop",
            "gs://beijing/shop",
            "s3://beijing",
            "s3://beijing/",
            "s3:///shop",
            "s3://bei jing/shop",
            "s3://beijing/ab",
            "s3://beijing/.shop",
            "s3://beijing/sh op/x",
            "dynamodb://beijing/accounts/x",
            "dynamodb://beijing/accounts/",
            "file://beijing",
            "file://beijing/",
            "file://beijing//etc",
            "file:///etc",
            "file://beijing/a/../../b",
            "file://beijing/..",
            "file://beijing/a//b",
            "file://beijing/./a",
        ] {
            assert!(Location::parse(text).is_err(), "{text:?} was taken as a location");
        }
    }

    #[test]
    fn routes_name_one_document() {
        assert_eq!(Route::parse("s3://a/bucket/r/x.json").unwrap().key, "r/x.json");
        assert_eq!(Route::parse("file://a/r/x.json").unwrap().container, "r/x.json");
        assert_eq!(Route::parse("dynamodb://a/routes").unwrap().to_string(), "dynamodb://a/routes");
        for text in ["s3://a/bucket", "s3://a/bucket/r/", "file://a/r/", "file://a/../r"] {
            assert!(Route::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_names_of_one_directory_overlap() {
        let site = |directory: &str| Site {
            directory: Some(directory.into()),
            ..Site::empty(SiteName::new("a").expect("a name"))
        };
        let place = |directory: &str, path: &str| {
            let location = Location::parse(&format!("file://a/{path}")).unwrap();
            Place::of(&location, &site(directory), Path::new("plans"))
        };
        assert!(place("../data", "x/y").overlaps(&place("../data/x", "y")));
        assert!(place("../data", "x").overlaps(&place("../plans/../data", "x/y/z")));
        assert!(!place("../data", "x").overlaps(&place("../data", "xy")));
        assert_eq!(place("../data", "x").holds(&place("../data/x", "y/z")).as_deref(), Some("y/z/"));
        assert_eq!(place("../data", "x").holds(&place("../data", "x")).as_deref(), Some(""));
        assert_eq!(place("../data", "x/y").holds(&place("../data", "x")), None);
        assert!(!place("../data", "x").overlaps(&place("data", "x")));
    }

    #[test]
    fn a_bucket_holds_its_prefixes_and_no_other_bucket() {
        let place = |text: &str| {
            let location = Location::parse(text).unwrap();
            Place::of(&location, &Site::empty(location.site.clone()), Path::new(""))
        };
        let outer = place("s3://a/bucket/x");
        assert_eq!(outer.holds(&place("s3://b/bucket/x/in/y/")).as_deref(), Some("in/y/"));
        assert_eq!(outer.holds(&place("s3://a/bucket/x/")).as_deref(), Some(""));
        assert_eq!(outer.holds(&place("s3://a/bucket")), None);
        assert_eq!(outer.holds(&place("s3://a/other/x/in")), None);
        assert_eq!(outer.holds(&place("file://a/bucket/x/in")), None);
    }
}
