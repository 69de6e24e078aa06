//! The arguments of `migrate init`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::plan_file::FOUND;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate init ./photos s3://my-bucket/photos               # a directory, to a bucket of AWS
  migrate init ./photos /backup/photos s3://my-bucket       # to two places: the source is read for both at once
  migrate init s3+https://s3.example.com/shop s3://my-shop  # from a server that is compatible with S3
  migrate init dynamodb://accounts dynamodb+http://127.0.0.1:8000/accounts

A place is one of
  DIRECTORY                            of this machine; also file:///DIRECTORY
  s3://BUCKET[/PREFIX]                 a bucket of AWS
  s3+https://HOST[:PORT]/BUCKET[/...]  a bucket of another server; also s3+http
  dynamodb://TABLE                     a table of AWS
  dynamodb+https://HOST[:PORT]/TABLE   a table of another server; also dynamodb+http

No place is asked. The plan can be run as it is written, and says in comments what to look at and what else
it can hold. Between tables a directory holds a table, in the format of DynamoDB's exports.")]
pub(in crate::cli) struct InitArgs {
    /// What is to be copied
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// Where to
    #[arg(value_name = "TARGET", required = true)]
    pub(super) targets: Vec<String>,
    /// Write this file, which must not be there; `-` for standard output
    #[arg(long, value_name = "FILE", default_value = FOUND)]
    pub(super) out: PathBuf,
    /// The plan's name, which also names its state; without it, the name of what is copied
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
}
