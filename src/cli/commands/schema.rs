//! `migrate schema`: the JSON Schema of plans.

use crate::cli::{error::Code, term};

pub(in crate::cli) fn schema() -> Code {
    term::answer(&serde_json::to_string_pretty(&migrate_core::plan::schema()).expect("a schema is plain data"));
    Code::Done
}
