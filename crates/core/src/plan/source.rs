//! Reads text into a tree that keeps the position of every value.
//!
//! TOML and JSON become the same [`Node`]s, each with the bytes of the text that it came from, so that every later
//! check can point at its cause in either format.

use std::ops::Range;

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and the bytes of the text that it came from.
#[derive(Debug, Clone)]
pub struct Node {
    /// Byte offsets into the text.
    pub span: Range<usize>,
    /// The value, without its position.
    pub value: Value,
}

/// A value of a plan's text.
#[derive(Debug, Clone)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number that is not whole, or too large.
    Float(f64),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Node>),
    /// Keys and values, in the order of the text.
    Table(Vec<Entry>),
    /// A value that no key of the language takes: "a date", "null".
    Foreign(&'static str),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Byte offsets of the key.
    pub key_span: Range<usize>,
    /// The value with its position.
    pub node: Node,
}

/// Why a text is not TOML or JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offsets into the text.
    pub span: Range<usize>,
    /// The parser's message.
    pub message: String,
    /// If a key is there twice: where the first of the two begins, if that is known.
    pub first: Option<usize>,
}

impl Node {
    /// The value of `key`, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The element at `index`, if this is an array that long.
    pub fn element(&self, index: usize) -> Option<&Node> {
        match &self.value {
            Value::Array(elements) => elements.get(index),
            _ => None,
        }
    }

    /// The text, if the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The tree without its positions.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::String(value) => value.as_str().into(),
            Value::Array(elements) => elements.iter().map(Node::to_json).collect(),
            Value::Table(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Foreign(_) => serde_json::Value::Null,
        }
    }
}

/// Reads TOML. The error holds all syntax errors.
pub fn from_toml(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let (tree, errors) = from_broken_toml(text);
    if errors.is_empty() { Ok(tree) } else { Err(errors) }
}

/// Reads TOML as far as it goes, and all its syntax errors. Of two equal keys the tree has the first.
pub(super) fn from_broken_toml(text: &str) -> (Node, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let end = text.trim_end().len();
    let errors = errors.into_iter().map(|error| SyntaxError {
        span: error.span().unwrap_or(end..end),
        message: error.message().to_owned(),
        first: None,
    });
    (Node { span: 0..0, value: toml_table(table.get_ref()) }, errors.collect())
}

fn toml_table(table: &DeTable<'_>) -> Value {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry { key: key.get_ref().to_string(), key_span: key.span(), node: toml_node(value) })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Value::Table(entries)
}

fn toml_node(node: &Spanned<DeValue<'_>>) -> Node {
    let value = match node.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Foreign("a number that is too large"),
        },
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Foreign("a number"), Value::Float),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Foreign("a date or time"),
        DeValue::Array(elements) => Value::Array(elements.iter().map(toml_node).collect()),
        DeValue::Table(table) => toml_table(table),
    };
    Node { span: node.span(), value }
}

/// What the parser of TOML says of a key that is there twice.
pub(super) const DUPLICATE: &str = "duplicate key";

/// Reads JSON, strictly: no comments, no trailing commas, no key twice.
pub fn from_json(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &strict).map_err(|error| {
        let range = error.range();
        let mut message = error.kind().to_string();
        // The parser begins its sentences with a capital; ours follow "FILE:LINE:COL: ".
        if let Some(first) = message.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        vec![SyntaxError { span: range.start..range.end, message, first: None }]
    })?;
    let Some(value) = parsed.value else {
        return Err(vec![SyntaxError { span: 0..0, message: "the file is empty".to_owned(), first: None }]);
    };
    let mut errors = Vec::new();
    let node = json_node(&value, &mut errors);
    if errors.is_empty() { Ok(node) } else { Err(errors) }
}

fn json_node(value: &ast::Value<'_>, errors: &mut Vec<SyntaxError>) -> Node {
    let range = value.range();
    let value = match value {
        ast::Value::StringLit(text) => Value::String(text.value.to_string()),
        ast::Value::NumberLit(number) => json_number(number.value),
        ast::Value::BooleanLit(value) => Value::Boolean(value.value),
        ast::Value::NullKeyword(_) => Value::Foreign("null"),
        ast::Value::Array(array) => Value::Array(array.elements.iter().map(|node| json_node(node, errors)).collect()),
        ast::Value::Object(object) => {
            let mut entries: Vec<Entry> = Vec::new();
            for property in &object.properties {
                let key = property.name.as_str().to_owned();
                let span = property.name.range();
                let key_span = span.start..span.end;
                if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                    let first = Some(first.key_span.start);
                    errors.push(SyntaxError { span: key_span.clone(), message: DUPLICATE.to_owned(), first });
                }
                entries.push(Entry { key, key_span, node: json_node(&property.value, errors) });
            }
            Value::Table(entries)
        }
    };
    Node { span: range.start..range.end, value }
}

fn json_number(text: &str) -> Value {
    if let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    text.parse().map_or(Value::Foreign("a number"), Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice<'t>(text: &'t str, node: &Node) -> &'t str {
        &text[node.span.clone()]
    }

    #[test]
    fn both_formats_become_the_same_tree_with_spans() {
        let toml = "name = \"β\"\n[sites.a]\nregion = 'x'\n[[phase]]\nn = 3\n[[phase]]\nn = 4\n";
        let json = r#"{"name": "β", "sites": {"a": {"region": "x"}}, "phase": [{"n": 3}, {"n": 4}]}"#;
        let (from_toml, from_json) = (from_toml(toml).unwrap(), from_json(json).unwrap());
        assert_eq!(from_toml.to_json(), from_json.to_json());
        let second = |tree: &Node| tree.get("phase").unwrap().node.element(1).unwrap().get("n").unwrap().node.clone();
        assert_eq!(slice(toml, &second(&from_toml)), "4");
        assert_eq!(slice(json, &second(&from_json)), "4");
        let header = &from_toml.get("sites").unwrap().node.get("a").unwrap().node;
        assert!(slice(toml, header).starts_with("[sites.a]"), "{:?}", slice(toml, header));
    }

    #[test]
    fn json_is_strict() {
        for (text, said) in [
            ("{\"a\": 1,}", "trailing"),
            ("{\"a\": 1 // why\n}", "omments"),
            ("{\"a\": 1, \"a\": 2}", "duplicate key"),
            ("{a: 1}", "object property"),
            ("", "empty"),
        ] {
            let errors = from_json(text).unwrap_err();
            assert!(errors[0].message.contains(said), "{text}: {errors:?}");
        }
    }

    #[test]
    fn toml_tells_all_its_syntax_errors() {
        let errors = from_toml("a = \nb = 1\nb = 2\nc = [\n").unwrap_err();
        assert!(errors.len() >= 2, "{errors:?}");
    }

    #[test]
    fn numbers_keep_their_kind() {
        let tree = from_toml("a = 0x10\nb = 1.5\nc = 99999999999999999999\nd = 2026-01-01\n").unwrap();
        assert!(matches!(tree.get("a").unwrap().node.value, Value::Integer(16)));
        assert!(matches!(tree.get("b").unwrap().node.value, Value::Float(_)));
        assert!(matches!(tree.get("c").unwrap().node.value, Value::Foreign(_)));
        assert!(matches!(tree.get("d").unwrap().node.value, Value::Foreign(_)));
    }
}
