//! A place as an operator types it, before there is a plan with sites.

use std::{
    fmt, io,
    path::{Component, Path, PathBuf},
};

use crate::cli::error::{Code, Failure};

/// The kinds of places, for a message.
const SHAPES: &str = "write a directory, s3://BUCKET/PREFIX, s3+https://HOST/BUCKET/PREFIX, dynamodb://TABLE or \
                      dynamodb+https://HOST/TABLE";

/// What is to be copied, or where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory of this machine: the one that holds it, and its name there.
    Directory { parent: PathBuf, name: String },
    /// A part of a bucket; the server is AWS if none is named.
    Bucket { endpoint: Option<String>, bucket: String, prefix: String },
    /// A table; the server is AWS if none is named.
    Table { endpoint: Option<String>, table: String },
}

impl Place {
    /// Reads a place.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::new(Code::Wrong, format!("{text:?} {why}")).mended_by(SHAPES);
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::directory(Path::new(text));
        };
        let (kind, endpoint, rest) = match scheme.split_once('+') {
            Some((kind, http @ ("http" | "https"))) => {
                let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
                if host.is_empty() {
                    return Err(wrong("names no server"));
                }
                (kind, Some(format!("{http}://{host}")), rest)
            }
            _ => (scheme, None, rest),
        };
        match kind {
            "file" if endpoint.is_none() => Self::directory(Path::new(rest)),
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let (bucket, prefix) = (bucket.to_owned(), prefix.trim_end_matches('/').to_owned());
                if bucket.is_empty() {
                    Err(wrong("names no bucket"))
                } else {
                    Ok(Self::Bucket { endpoint, bucket, prefix })
                }
            }
            "dynamodb" if rest.is_empty() => Err(wrong("names no table")),
            "dynamodb" => Ok(Self::Table { endpoint, table: rest.trim_end_matches('/').to_owned() }),
            "http" | "https" => Err(wrong("does not say what kind of server this is").mended_by(format!(
                "write s3+{text} for a server that is compatible with S3, dynamodb+{text} for one with tables"
            ))),
            _ => Err(wrong("is no place")),
        }
    }

    fn directory(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(Code::Wrong, format!("{:?} {why}", path.to_string_lossy()))
                .mended_by("name a directory by a path that ends in its name")
        };
        if path.as_os_str().is_empty() {
            return Err(wrong("names no directory".to_owned()));
        }
        let is_named = matches!(path.components().next_back(), Some(Component::Normal(_)));
        // "." has a name only from the root on.
        let path_buf = if is_named { Ok(path.to_owned()) } else { absolute(path) };
        let named = path_buf.map_err(|error| wrong(format!("cannot be resolved: {error}")))?;
        match (named.parent(), named.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) => {
                let name = name.to_str().ok_or_else(|| wrong("is not UTF-8, and a plan is".to_owned()))?;
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                Ok(Self::Directory { parent: parent.to_owned(), name: name.to_owned() })
            }
            _ => Err(wrong("has no name of its own".to_owned())),
        }
    }

    /// The same place, named from the root on: for a plan that is not in the working directory.
    pub(super) fn seen_from_root(self) -> io::Result<Self> {
        match self {
            Self::Directory { parent, name } => Ok(Self::Directory { parent: absolute(&parent)?, name }),
            other => Ok(other),
        }
    }

    /// The last part of its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Directory { name, .. } => name,
            Self::Bucket { bucket, prefix, .. } => {
                prefix.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(bucket)
            }
            Self::Table { table, .. } => table,
        }
    }

    /// Its location in a plan, at this site.
    pub(super) fn location(&self, site: &str) -> String {
        match self {
            Self::Directory { name, .. } => format!("file://{site}/{name}"),
            Self::Bucket { bucket, prefix, .. } if prefix.is_empty() => format!("s3://{site}/{bucket}"),
            Self::Bucket { bucket, prefix, .. } => format!("s3://{site}/{bucket}/{prefix}/"),
            Self::Table { table, .. } => format!("dynamodb://{site}/{table}"),
        }
    }

    /// The server of its own that it is on.
    pub(super) fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Directory { .. } => None,
            Self::Bucket { endpoint, .. } | Self::Table { endpoint, .. } => endpoint.as_deref(),
        }
    }
}

/// From the root on, without "." and "..", as far as that can be told without asking the disk.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    Ok(plain)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.endpoint().unwrap_or("AWS");
        match self {
            Self::Directory { parent, name } => write!(f, "the directory {}", parent.join(name).display()),
            Self::Bucket { bucket, prefix, .. } if prefix.is_empty() => write!(f, "the bucket {bucket} at {at}"),
            Self::Bucket { bucket, prefix, .. } => write!(f, "{prefix}/ in the bucket {bucket} at {at}"),
            Self::Table { table, .. } => write!(f, "the table {table} at {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_its_users_write_it() {
        for (typed, location, told) in [
            ("photos/", "file://x/photos", "the directory ./photos"),
            ("../in/photos", "file://x/photos", "the directory ../in/photos"),
            ("file:///data/photos", "file://x/photos", "the directory /data/photos"),
            ("s3://shop", "s3://x/shop", "the bucket shop at AWS"),
            ("s3://shop/a/b/", "s3://x/shop/a/b/", "a/b/ in the bucket shop at AWS"),
            ("s3+http://127.0.0.1:9000/shop", "s3://x/shop", "the bucket shop at http://127.0.0.1:9000"),
            ("dynamodb://users", "dynamodb://x/users", "the table users at AWS"),
            (
                "dynamodb+https://ddb.example.com/users",
                "dynamodb://x/users",
                "the table users at https://ddb.example.com",
            ),
        ] {
            let place = Place::read(typed).unwrap();
            assert_eq!((place.location("x").as_str(), place.to_string().as_str()), (location, told), "{typed}");
        }
    }

    #[test]
    fn a_directory_without_a_name_gets_the_one_that_it_has_from_the_root_on() {
        let here = std::env::current_dir().unwrap();
        let Place::Directory { parent, name } = Place::read(".").unwrap() else { panic!("a directory") };
        assert_eq!(parent.join(name), here);
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_would_be_one() {
        for (typed, said) in [
            ("https://s3.example.com/shop", "s3+https://s3.example.com/shop for a server"),
            ("gs://shop", "write a directory, s3://BUCKET"),
            ("s3://", "names no bucket"),
            ("s3+http:///shop", "names no server"),
            ("dynamodb://", "names no table"),
            ("/", "has no name"),
            ("", "names no directory"),
        ] {
            let refused = Place::read(typed).unwrap_err();
            assert_eq!(refused.code, Code::Wrong);
            assert!(refused.to_text().contains(said), "{typed}: {}", refused.to_text());
        }
    }
}
