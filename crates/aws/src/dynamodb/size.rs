//! How long items are as they are sent: JSON is longer than what `DynamoDB` counts as the size of an item.

use migrate_core::item::{Item, Value};
use migrate_store::table::ItemWrite;

/// The longest request. <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
/// says 16 MB for all of it; what is estimated here has no headers and punctuation of the request around it.
const REQUEST_BYTES_MAX: usize = 15 << 20;

/// The writes, in as many requests as their lengths need.
pub(super) fn in_requests(writes: &[ItemWrite]) -> Vec<(u64, Vec<&ItemWrite>)> {
    let mut requests: Vec<(u64, Vec<&ItemWrite>)> = Vec::new();
    for write in writes {
        let length = match write {
            ItemWrite::Put(item) => of_item(item),
            // A key is at most 3 KB: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
            ItemWrite::Delete(_) => 24 << 10,
        } as u64;
        match requests.last_mut() {
            Some((sum, request)) if *sum + length <= REQUEST_BYTES_MAX as u64 => {
                *sum += length;
                request.push(write);
            }
            _ => requests.push((length, vec![write])),
        }
    }
    requests
}

/// What surrounds a value: `{"SS":[]},`, and the quotes and the comma of an element of a set.
const AROUND: usize = 12;

fn of_item(item: &Item) -> usize {
    AROUND + item.iter().map(|(name, value)| of_text(name) + of_value(value)).sum::<usize>()
}

fn of_value(value: &Value) -> usize {
    let binary = |length: usize| AROUND + length.div_ceil(3) * 4;
    AROUND
        + match value {
            Value::Text(text) => of_text(text),
            // 38 digits, and up to 130 places.
            Value::Number(_) => 180,
            Value::Binary(bytes) => binary(bytes.len()),
            Value::Bool(_) | Value::Null => 5,
            Value::Map(entries) => of_item(entries),
            Value::List(values) => values.iter().map(of_value).sum(),
            Value::Texts(set) => set.iter().map(|text| of_text(text)).sum(),
            Value::Numbers(set) => set.len() * 180,
            Value::Binaries(set) => set.iter().map(|bytes| binary(bytes.len())).sum(),
        }
}

fn of_text(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        // `\u0001`
        0..0x20 => 6,
        _ => 1,
    };
    AROUND + text.bytes().map(escaped).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(size: usize, with: char) -> ItemWrite {
        ItemWrite::Put([("a".to_owned(), Value::Text(with.to_string().repeat(size)))].into())
    }

    #[test]
    fn large_items_go_in_several_requests_and_in_order() {
        let small: Vec<_> = (0..25).map(|_| put(100, 'a')).collect();
        assert_eq!(in_requests(&small).len(), 1);
        let large: Vec<_> = (0..25).map(|_| put(400 << 10, 'a')).collect();
        assert_eq!(in_requests(&large).len(), 1, "25 items of 400 KB are below 16 MB");
        let escaped: Vec<_> = (0..25).map(|_| put(400 << 10, '\u{1}')).collect();
        let requests = in_requests(&escaped);
        assert!(requests.len() > 3 && requests.iter().all(|(sum, _)| *sum <= REQUEST_BYTES_MAX as u64));
        let flat: Vec<_> = requests.into_iter().flat_map(|(_, request)| request).collect();
        assert!(flat.iter().zip(&escaped).all(|(one, other)| std::ptr::eq(*one, other)) && flat.len() == 25);
        assert!(in_requests(&[]).is_empty());
    }
}
