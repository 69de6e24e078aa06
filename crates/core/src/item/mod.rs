//! Items of tables: values, numbers, keys, and the one encoding that their digests are made of.

mod canonical;
mod item_key;
mod json;
mod number;
mod value;

pub use canonical::{digest, key_digest};
pub use item_key::{ItemKey, KeyNames};
pub use json::{BadItem, item_from_json, item_to_json};
pub use number::{BadNumber, Number};
pub use value::{Item, Value};
