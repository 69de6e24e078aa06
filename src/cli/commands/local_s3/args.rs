//! The arguments of `migrate local-s3`.

use std::str::FromStr;

use clap::Args;

use migrate_local_cloud::{IfMatchQuirk, MetadataQuirk, Quirks, Untyped};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate local-s3                         # one server, until ctrl-c
  migrate local-s3 origin mirror           # two
  migrate local-s3 ceph=rgw users=dynamodb

It prints a line for each server, `NAME ENDPOINT`. The keys of all are `local` and `local-secret`. A server for
objects has an empty bucket `data`. Nothing is kept when it stops, and only this machine can reach it.

With --orders, lines of standard input change objects behind a tool's back, to see what a verification finds:
  flip NAME KEY          changes a byte            put NAME KEY TEXT   writes
  delete NAME KEY        deletes                   dress NAME KEY      adds tags and odd metadata
  count NAME             answers with a number     show NAME PREFIX    answers with all objects, in JSON")]
pub(in crate::cli) struct LocalS3Args {
    /// The servers; `LIKE` is aws (the default), rgw, garage or strict for S3 as these keep to it, or dynamodb
    #[arg(value_name = "NAME[=LIKE]", default_value = "store")]
    pub(super) servers: Vec<Wanted>,
    /// Take orders from standard input, and stop when that ends
    #[arg(long)]
    pub(super) orders: bool,
}

/// A server that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a server is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// For objects, with what makes it differ from AWS.
    Objects(Box<Quirks>),
    /// For tables.
    Tables,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, like) = text.split_once('=').unwrap_or((text, "aws"));
        let kind = match like {
            "dynamodb" => Kind::Tables,
            like => Kind::Objects(Box::new(quirks(like).ok_or("LIKE is aws, rgw, garage, strict or dynamodb")?)),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err("the name of a server is one word".to_owned());
        }
        Ok(Self { name: name.to_owned(), kind })
    }
}

/// The quirks of a server.
fn quirks(like: &str) -> Option<Quirks> {
    let aws = Quirks::default();
    Some(match like {
        "aws" => aws,
        "rgw" => Quirks {
            if_match: IfMatchQuirk::BareOnly,
            drop_upload_tags: true,
            metadata: MetadataQuirk::Raw,
            untyped: Untyped::ApplicationOctetStream,
            ..aws
        },
        "garage" => Quirks {
            swallow_leading_slash: true,
            busy_above_511_bytes: true,
            metadata: MetadataQuirk::Raw,
            untyped: Untyped::None,
            failing_get_object_attributes: true,
            errors_without_message: true,
            ..aws
        },
        // A server whose conditions cannot be relied on.
        "strict" => Quirks {
            if_match: IfMatchQuirk::NeverMatches,
            ignore_conditions_on_complete: true,
            metadata: MetadataQuirk::Raw,
            untyped: Untyped::Empty,
            etag_not_md5: true,
            empty_etag_on_complete: true,
            ..aws
        },
        _ => return None,
    })
}
