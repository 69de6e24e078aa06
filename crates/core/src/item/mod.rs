//! Items of tables: values, numbers, keys, and the one encoding that their digests are made of.

mod canonical;
mod item_key;
mod json;
mod number;
#[cfg(test)]
mod samples;
mod size;
mod value;

pub use canonical::{digest, key_digest};
pub use item_key::{ItemKey, KeyNames};
pub use json::{BadItem, JsonItem, JsonItemRef, item_from_json, item_to_json};
pub use number::{BadNumber, Number};
pub use size::{ITEM_BYTES_MAX, item_size, read_units, value_size, write_units};
pub use value::{Item, Value};
