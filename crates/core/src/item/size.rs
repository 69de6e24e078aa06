//! How large an item is, by the rules of `DynamoDB`: what its limits and its capacity units are counted in.
//!
//! The size in JSON is another one. `DynamoDB` itself calls the sizes of numbers approximate; its own answer decides.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>

use crate::item::{
    number::Number,
    value::{Item, Value},
};

/// The largest item, in bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// What a list or a map takes, whatever it holds; and each of its elements.
const NESTED: usize = 3;
const ELEMENT: usize = 1;

/// The size of an item in bytes: names and values of its attributes.
pub fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

/// The size of a value in bytes, without the name of its attribute.
pub fn value_size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Number(number) => number_size(*number),
        Value::Binary(bytes) => bytes.len(),
        Value::Bool(_) | Value::Null => 1,
        Value::Map(entries) => {
            NESTED + entries.iter().map(|(name, value)| name.len() + value_size(value) + ELEMENT).sum::<usize>()
        }
        Value::List(values) => NESTED + values.iter().map(|value| value_size(value) + ELEMENT).sum::<usize>(),
        Value::Texts(set) => set.iter().map(String::len).sum(),
        Value::Numbers(set) => set.iter().map(|number| number_size(*number)).sum(),
        Value::Binaries(set) => set.iter().map(bytes::Bytes::len).sum(),
    }
}

/// One byte for two digits, one for the exponent, and one for a minus sign: at most the 21 bytes that are documented.
fn number_size(number: Number) -> usize {
    let (digits, _) = number.parts();
    let digits = digits.checked_ilog10().map_or(0, |log| log as usize + 1);
    digits.div_ceil(2) + 1 + usize::from(number.signum() < 0)
}

/// The read units that a strong read of this many bytes takes: one for every 4 KB begun.
pub fn read_units(bytes: usize) -> u64 {
    units(bytes, 4096)
}

/// The write units that a write of this many bytes takes: one for every KB begun.
pub fn write_units(bytes: usize) -> u64 {
    units(bytes, 1024)
}

fn units(bytes: usize, unit: usize) -> u64 {
    bytes.div_ceil(unit).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::json::item_from_json;

    #[test]
    fn sizes_follow_the_documented_rules() {
        for (json, expected) in [
            (r"{}", 0),
            (r#"{"id":{"S":""}}"#, 2),
            (r#"{"id":{"S":"é"}}"#, 4),
            (r#"{"n":{"N":"0"}}"#, 2),
            (r#"{"n":{"N":"100"}}"#, 3),
            (r#"{"n":{"N":"-123"}}"#, 5),
            (r#"{"n":{"N":"-12345678901234567890123456789012345678"}}"#, 22),
            (r#"{"b":{"B":"AAEC"}}"#, 4),
            (r#"{"b":{"BOOL":true},"n":{"NULL":true}}"#, 4),
            (r#"{"m":{"M":{}}}"#, 4),
            (r#"{"m":{"M":{"ab":{"S":"c"}}}}"#, 8),
            (r#"{"l":{"L":[{"S":"ab"},{"L":[]}]}}"#, 11),
            (r#"{"s":{"SS":["a","bc"]},"x":{"NS":["1","2"]},"y":{"BS":["AAE="]}}"#, 12),
        ] {
            assert_eq!(item_size(&item_from_json(json.as_bytes()).unwrap()), expected, "{json}");
        }
    }

    #[test]
    fn units_are_begun_ones() {
        assert_eq!([0, 1, 4096, 4097].map(read_units), [1, 1, 1, 2]);
        assert_eq!([0, 1024, 1025, ITEM_BYTES_MAX].map(write_units), [1, 1, 2, 400]);
    }
}
