//! `migrate schema`: the JSON Schema of plans, and that of all that is printed as JSON.

use clap::Args;

use crate::cli::{error::Code, term};

/// The schema of all that is printed as JSON. Written by hand; the tests hold every answer that they see against it.
const OUTPUT: &str = include_str!("../output.schema.json");

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  migrate schema > plan.schema.json
  migrate schema --output > output.schema.json")]
pub(in crate::cli) struct SchemaArgs {
    /// The schema of what `--json` prints, in place of that of plans
    #[arg(long)]
    output: bool,
}

pub(in crate::cli) fn schema(args: &SchemaArgs) -> Code {
    if args.output {
        term::answer(OUTPUT.trim_end());
        return Code::Done;
    }
    term::answer(&serde_json::to_string_pretty(&migrate_core::plan::schema()).expect("a schema is plain data"));
    Code::Done
}
