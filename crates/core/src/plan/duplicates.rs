//! Where the first of two keys stands that a TOML text has twice.

use crate::plan::source::{Node, Value};

/// The offset of the key that the one at `offset` repeats, in a tree that holds the first of both. `None` if it cannot
/// be told for certain.
pub(super) fn first_of(tree: &Node, text: &str, offset: usize) -> Option<usize> {
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next()?;
    let header = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    if line.trim_start().starts_with('[') {
        // A table that is begun again: the tree has only one of the two.
        let earlier = text[..line_start].split_inclusive('\n').scan(0, |at, line| {
            *at += line.len();
            Some((*at - line.len(), line))
        });
        if let Some((first, _)) = earlier.into_iter().find(|(_, earlier)| header(earlier) == header(line)) {
            return Some(first);
        }
    }
    let key = key_at(text, offset)?;
    let table = if line.trim_start().starts_with('[') && !text[line_start..offset].contains('=') {
        // The key is a part of a header: what comes before it there names its table.
        let before = text[line_start..offset].trim_start().trim_start_matches('[');
        named(tree, before.trim_end_matches('.'), offset)?
    } else {
        let header = text[..line_start].lines().rev().map(str::trim).find(|line| line.starts_with('['));
        let path = header.map_or("", |header| header.trim_start_matches('[').split(']').next().unwrap_or_default());
        let table = named(tree, path, offset)?;
        inline(table, offset)
    };
    let first = table.get(&key)?.key_span.start;
    (first < offset).then_some(first)
}

/// The key that begins at an offset, without quotes.
fn key_at(text: &str, offset: usize) -> Option<String> {
    let rest = text.get(offset..)?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let key = match quote {
        Some(quote) => rest[1..].split(quote).next()?,
        None => rest.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_'))).next()?,
    };
    (!key.is_empty()).then(|| key.to_owned())
}

/// The table that a header names, as it was open at an offset.
fn named<'n>(tree: &'n Node, path: &str, offset: usize) -> Option<&'n Node> {
    let mut keys = path.split('.').map(|key| key.trim().trim_matches(['"', '\''])).filter(|key| !key.is_empty());
    keys.try_fold(tree, |node, key| {
        let found = &node.get(key)?.node;
        match &found.value {
            // The last element that had begun.
            Value::Array(elements) => elements.iter().rev().find(|element| element.span.start <= offset),
            _ => Some(found),
        }
    })
}

/// The inline table that the offset is in, if it is in one of this table's values.
fn inline(table: &Node, offset: usize) -> &Node {
    let Value::Table(entries) = &table.value else { return table };
    let holds = |node: &Node| node.span.start < offset && offset < node.span.end;
    let is_inline = |node: &Node| matches!(node.value, Value::Table(_)) && holds(node);
    match entries.iter().map(|entry| &entry.node).find(|node| is_inline(node)) {
        Some(inner) => inline(inner, offset),
        None => table,
    }
}
