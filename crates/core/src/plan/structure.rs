//! The tree against the JSON Schema: keys, types and choices, all problems at once.
//!
//! serde stops at the first problem and knows no columns, so the tree is checked before serde reads it, against the
//! very schema that is derived from serde's types: there is no second description of the language that could
//! disagree. The result is a tree that serde accepts: the most likely meaning replaces a misspelt key or choice,
//! and a stand-in, noted in the [`Report`], replaces an unreadable value, so that the checks of meaning can go on
//! without follow-up complaints.

use std::ops::Range;

use serde_json::Value as Schema;

use crate::plan::{
    diagnostics::{Report, closest},
    schema::resolve,
    secrets,
    source::{Entry, Node, Value},
};

/// The tree in a form that serde accepts; `None` if it is no plan at all. Problems go into `report`.
pub(super) fn check(tree: &Node, schema: &Schema, report: &mut Report) -> Option<Node> {
    find_secrets(tree, "", false, report);
    Checker { root: schema, report }.fit(tree, schema, "")
}

/// Looks for secrets in every text of the tree, unknown keys included.
fn find_secrets(node: &Node, path: &str, in_credentials: bool, report: &mut Report) {
    match &node.value {
        Value::Table(entries) => {
            for Entry { key, node, .. } in entries {
                let path = join(path, key);
                if node.as_str().is_some() && secrets::is_secret_name(key) {
                    refuse_secret(node, &path, &format!("{key:?} is a secret, and a plan holds none"), report);
                } else {
                    let in_credentials = in_credentials || matches!(key.as_str(), "credentials" | "canary");
                    find_secrets(node, &path, in_credentials, report);
                }
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                find_secrets(element, &format!("{path}[{index}]"), in_credentials, report);
            }
        }
        Value::String(text) => {
            let found = if in_credentials { secrets::in_credentials(text) } else { secrets::in_text(text) };
            if let Some(kind) = found {
                refuse_secret(node, path, &format!("this looks like {kind}, and a plan holds no secrets"), report);
            }
        }
        _ => {}
    }
}

fn refuse_secret(node: &Node, path: &str, message: &str, report: &mut Report) {
    let mend = "name where the secret is: credentials = { env = \"PREFIX\" } or { profile = \"name\" }; \
                and renew it if this file was shared";
    report.secret(path, node.span.clone(), message, mend.to_owned());
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

struct Checker<'a> {
    root: &'a Schema,
    report: &'a mut Report,
}

impl<'a> Checker<'a> {
    /// The node in the form that the schema wants; `None` if it cannot be made.
    fn fit(&mut self, node: &Node, schema: &'a Schema, path: &str) -> Option<Node> {
        let schema = resolve(self.root, schema);
        let choices = choices(schema);
        if !choices.is_empty() {
            return self.fit_choice(node, &choices, path);
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(Schema::as_array) {
            let found =
                alternatives.iter().map(|alternative| resolve(self.root, alternative)).find(|a| has_type(node, a));
            return match found {
                Some(alternative) => self.fit(node, alternative, path),
                None => self.wrong_type(node, schema, path),
            };
        }
        if !has_type(node, schema) {
            return self.wrong_type(node, schema, path);
        }
        let value = match &node.value {
            Value::Table(entries) => self.fit_table(entries, &node.span, schema, path),
            Value::Array(elements) => self.fit_array(elements, &node.span, schema, path),
            Value::String(text) if text.is_empty() && schema.get("minLength").is_some() => {
                self.refuse(node.span.clone(), path, "this must not be empty", example(schema));
                return None;
            }
            Value::Integer(number) if !in_range(*number, schema) => {
                let least = schema.get("minimum").and_then(Schema::as_i64).unwrap_or(i64::MIN);
                let message = if *number < least {
                    format!("{number} is less than {least}")
                } else {
                    format!("{number} is too large")
                };
                self.refuse(node.span.clone(), path, message, None);
                return None;
            }
            other => other.clone(),
        };
        Some(Node { span: node.span.clone(), value })
    }

    fn fit_choice(&mut self, node: &Node, choices: &[&str], path: &str) -> Option<Node> {
        let Some(text) = node.as_str() else {
            let message = format!("expected a string, found {}", kind_of(node));
            self.refuse(node.span.clone(), path, message, Some(one_of(choices)));
            return None;
        };
        if choices.contains(&text) {
            return Some(node.clone());
        }
        let meant = closest(text, choices.iter().copied());
        let mend = meant.map_or_else(|| one_of(choices), |meant| format!("did you mean {meant:?}?"));
        let message = format!("{text:?} is not a choice here");
        self.report.raw(node.span.clone(), path, message, Some(mend));
        if meant.is_none() {
            self.report.unread(path);
        }
        meant.map(|meant| Node { span: node.span.clone(), value: Value::String(meant.to_owned()) })
    }

    fn fit_table(&mut self, entries: &[Entry], span: &Range<usize>, schema: &'a Schema, path: &str) -> Value {
        let known = schema.get("properties").and_then(Schema::as_object);
        let names: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let rest = schema.get("additionalProperties").filter(|rest| rest.is_object());
        let mut fitted: Vec<Entry> = Vec::new();
        for entry in entries {
            let mut key = entry.key.as_str();
            let mut wanted = known.and_then(|known| known.get(key)).or(rest);
            if wanted.is_none() {
                let free = names.iter().copied().filter(|name| entries.iter().all(|entry| entry.key != *name));
                let meant = self.unknown_key(entry, closest(key, free), &names, path);
                wanted = meant.and_then(|meant| known?.get(meant));
                key = meant.unwrap_or(key);
            }
            let Some(wanted) = wanted else { continue };
            // Two misspelt keys may mean the same one: the first stands for it.
            if fitted.iter().any(|entry| entry.key == key) {
                continue;
            }
            if let Some(node) = self.fit(&entry.node, wanted, &join(path, key)) {
                fitted.push(Entry { key: key.to_owned(), key_span: entry.key_span.clone(), node });
            }
        }
        self.fill_required(&mut fitted, span, schema, path, entries);
        Value::Table(fitted)
    }

    /// Reports a key that the language does not have; returns the key that is meant.
    fn unknown_key<'n>(
        &mut self,
        entry: &Entry,
        meant: Option<&'n str>,
        names: &[&str],
        path: &str,
    ) -> Option<&'n str> {
        let mend = match (meant, self.header_of(entry)) {
            (Some(meant), _) => format!("did you mean {meant:?}?"),
            (None, Some(header)) => format!("write {header}, below what it belongs to"),
            (None, None) => format!("known keys: {}", names.join(", ")),
        };
        let message = format!("unknown key {:?}", entry.key);
        self.report.raw(entry.key_span.clone(), &join(path, &entry.key), message, Some(mend));
        meant
    }

    /// The header under which the language has a table of this key, if it is one, and somewhere else.
    fn header_of(&self, entry: &Entry) -> Option<String> {
        let is_tables = |node: &Node| matches!(node.value, Value::Table(_));
        let fits = match &entry.node.value {
            Value::Array(elements) => !elements.is_empty() && elements.iter().all(is_tables),
            _ => is_tables(&entry.node),
        };
        if fits { find_header(self.root, self.root, &entry.key, "") } else { None }
    }

    /// Reports missing required keys, and puts stand-ins in the place of missing or dropped values.
    fn fill_required(
        &mut self,
        fitted: &mut Vec<Entry>,
        span: &Range<usize>,
        schema: &'a Schema,
        path: &str,
        given: &[Entry],
    ) {
        let required =
            schema.get("required").and_then(Schema::as_array).into_iter().flatten().filter_map(Schema::as_str);
        for name in required {
            if fitted.iter().any(|entry| entry.key == name) {
                continue;
            }
            let property = &schema["properties"][name];
            let path = join(path, name);
            if given.iter().all(|entry| entry.key != name) {
                let mend =
                    example(property).map(|example| example.replacen("example ", &format!("example {name} = "), 1));
                self.report.raw(span.clone(), &path, format!("missing key {name:?}"), mend);
                self.report.unread(&path);
            }
            if let Some(value) = stand_in(resolve(self.root, property)) {
                let node = Node { span: span.clone(), value };
                fitted.push(Entry { key: name.to_owned(), key_span: span.clone(), node });
            }
        }
    }

    fn fit_array(&mut self, elements: &[Node], span: &Range<usize>, schema: &'a Schema, path: &str) -> Value {
        let least = schema.get("minItems").and_then(Schema::as_u64).unwrap_or(0);
        if (elements.len() as u64) < least {
            self.report.raw(span.clone(), path, "this must not be empty".to_owned(), example(schema));
            self.report.unread(path);
        }
        let Some(items) = schema.get("items") else {
            return Value::Array(elements.to_vec());
        };
        let unique = schema.get("uniqueItems").and_then(Schema::as_bool).unwrap_or(false);
        let mut fitted = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if unique && element.as_str().is_some_and(|text| elements[..index].iter().any(|e| e.as_str() == Some(text)))
            {
                self.report.raw(element.span.clone(), &path, "this is listed twice".to_owned(), None);
            }
            let stand_in = || Some(Node { span: element.span.clone(), value: stand_in(resolve(self.root, items))? });
            let stand_in = stand_in().filter(|_| !unique);
            fitted.extend(self.fit(element, items, &path).or(stand_in));
        }
        Value::Array(fitted)
    }

    fn wrong_type(&mut self, node: &Node, schema: &'a Schema, path: &str) -> Option<Node> {
        let found = kind_of(node);
        let header = header(path);
        let mend = match (&node.value, schema.get("type").and_then(Schema::as_str)) {
            (Value::Table(_), Some("array")) if items_are_tables(self.root, schema) => {
                Some(format!("write [[{header}]] with two brackets: there may be several"))
            }
            (Value::Array(_), Some("object")) => Some(format!("write [{header}] with one bracket: there is only one")),
            (Value::String(_), Some("array")) => Some("put it in brackets: [\"...\"]".to_owned()),
            _ => example(schema),
        };
        self.refuse(node.span.clone(), path, format!("expected {}, found {found}", wanted(self.root, schema)), mend);
        None
    }

    fn refuse(&mut self, span: Range<usize>, path: &str, message: impl Into<String>, mend: Option<String>) {
        self.report.raw(span, path, message.into(), mend);
        self.report.unread(path);
    }
}

/// The texts that a schema of an enum allows; empty for any other schema.
fn choices(schema: &Schema) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Schema::as_array).into_iter().flatten();
    let branches = ["oneOf", "anyOf"].iter().filter_map(|word| schema.get(word)?.as_array()).flatten();
    let nested = branches.flat_map(|branch| {
        branch.get("const").into_iter().chain(branch.get("enum").and_then(Schema::as_array).into_iter().flatten())
    });
    schema.get("const").into_iter().chain(listed).chain(nested).filter_map(Schema::as_str).collect()
}

fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
    if let [only] = quoted.as_slice() { format!("write {only}") } else { format!("write one of {}", quoted.join(", ")) }
}

fn has_type(node: &Node, schema: &Schema) -> bool {
    matches!(
        (schema.get("type").and_then(Schema::as_str), &node.value),
        (Some("object"), Value::Table(_))
            | (Some("array"), Value::Array(_))
            | (Some("string"), Value::String(_))
            | (Some("integer"), Value::Integer(_))
            | (Some("number"), Value::Integer(_) | Value::Float(_))
            | (Some("boolean"), Value::Boolean(_))
            | (None, _)
    )
}

fn in_range(number: i64, schema: &Schema) -> bool {
    let most = match schema.get("format").and_then(Schema::as_str) {
        Some("uint16") => i64::from(u16::MAX),
        Some("uint32") => i64::from(u32::MAX),
        _ => i64::MAX,
    };
    let least = schema.get("minimum").and_then(Schema::as_i64).unwrap_or(i64::MIN);
    (least..=most).contains(&number)
}

/// The header of the first table of this name in the language, as a plan writes it.
fn find_header(root: &Schema, schema: &Schema, name: &str, path: &str) -> Option<String> {
    let properties = schema.get("properties").and_then(Schema::as_object)?;
    let tables = || properties.iter().filter_map(|(key, property)| Some((key, table_of(root, property)?)));
    if let Some((key, (_, is_array))) = tables().find(|(key, _)| *key == name) {
        let path = join(path, key);
        return Some(if is_array { format!("[[{path}]]") } else { format!("[{path}]") });
    }
    tables().find_map(|(key, (table, _))| find_header(root, table, name, &join(path, key)))
}

/// The schema of a table or of the elements of an array of tables, and which of the two it is.
fn table_of<'s>(root: &'s Schema, property: &'s Schema) -> Option<(&'s Schema, bool)> {
    let property = resolve(root, property);
    match property.get("type").and_then(Schema::as_str) {
        Some("object") if property.get("properties").is_some() => Some((property, false)),
        Some("array") => table_of(root, property.get("items")?).map(|(table, _)| (table, true)),
        _ => None,
    }
}

fn items_are_tables(root: &Schema, schema: &Schema) -> bool {
    schema.get("items").is_some_and(|items| resolve(root, items)["type"] == "object")
}

fn kind_of(node: &Node) -> &'static str {
    match &node.value {
        Value::Boolean(_) => "true or false",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a fraction",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
        Value::Foreign(kind) => kind,
    }
}

fn wanted(root: &Schema, schema: &Schema) -> String {
    if let Some(alternatives) = schema.get("anyOf").and_then(Schema::as_array) {
        let all: Vec<String> =
            alternatives.iter().map(|alternative| wanted(root, resolve(root, alternative))).collect();
        return all.join(" or ");
    }
    match schema.get("type").and_then(Schema::as_str) {
        Some("object") => "a table",
        Some("array") if items_are_tables(root, schema) => "an array of tables",
        Some("array") => "an array",
        Some("integer") => "an integer",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        _ => "a string",
    }
    .to_owned()
}

/// The TOML header of a table: its path without the indices.
fn header(path: &str) -> String {
    let parts = path.split('.').map(|part| part.split('[').next().unwrap_or(part));
    parts.collect::<Vec<_>>().join(".")
}

fn example(schema: &Schema) -> Option<String> {
    schema.get("examples")?.get(0).map(|example| format!("for example {example}"))
}

/// A value that serde accepts in the place of a missing one.
fn stand_in(schema: &Schema) -> Option<Value> {
    if let Some(first) = choices(schema).first() {
        return Some(Value::String((*first).to_owned()));
    }
    match schema.get("type").and_then(Schema::as_str)? {
        "string" => Some(Value::String(String::new())),
        "array" => Some(Value::Array(Vec::new())),
        "integer" => Some(Value::Integer(1)),
        "boolean" => Some(Value::Boolean(false)),
        _ => None,
    }
}
