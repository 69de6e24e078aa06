//! A checker of JSON Schema 2020-12, as far as the schema of the output uses it. It knows no other keyword, so that
//! nothing in that schema goes unheld.

use std::{collections::BTreeSet, sync::LazyLock};

use regex_automata::meta::Regex;
use serde_json::{Map, Value};

/// The schema that the program prints.
pub(crate) static OUTPUT: LazyLock<Value> = LazyLock::new(|| {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_migrate")).args(["schema", "--output"]).output().unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
});

/// What a value breaks of the definition of this name, each with where; nothing if it keeps to it.
pub(crate) fn broken(definition: &str, value: &Value) -> Vec<String> {
    let mut check = Check { root: &OUTPUT, broken: Vec::new() };
    let schema = &OUTPUT["$defs"][definition];
    assert!(schema.is_object(), "the schema defines no {definition}");
    let _seen = check.value(schema, value, definition);
    check.broken
}

struct Check<'s> {
    root: &'s Value,
    broken: Vec<String>,
}

/// Properties that a schema has looked at: `unevaluatedProperties` is about the others.
type Seen = BTreeSet<String>;

impl Check<'_> {
    fn value(&mut self, schema: &Value, value: &Value, at: &str) -> Seen {
        let mut seen = Seen::new();
        let Some(schema) = schema.as_object() else { panic!("a schema is an object: {schema}") };
        for (keyword, rule) in schema {
            match keyword.as_str() {
                "description" | "title" | "$schema" | "$id" | "$defs" | "unevaluatedProperties" => {}
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    let definition = &self.root["$defs"][name];
                    assert!(definition.is_object(), "the schema defines no {name}");
                    seen.extend(self.value(definition, value, at));
                }
                "allOf" => {
                    for one in rule.as_array().unwrap() {
                        seen.extend(self.value(one, value, at));
                    }
                }
                "anyOf" | "oneOf" => seen.extend(self.one_of(rule, value, at)),
                "type" => self.hold(is_of(rule, value), at, || format!("is no {rule}: {value}")),
                "const" => self.hold(value == rule, at, || format!("is {value}, not {rule}")),
                "enum" => {
                    self.hold(rule.as_array().unwrap().contains(value), at, || format!("{value} is none of {rule}"));
                }
                "pattern" => {
                    let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                    self.hold(value.as_str().is_none_or(|text| pattern.is_match(text)), at, || {
                        format!("{value} does not match {rule}")
                    });
                }
                "minimum" => {
                    self.hold(value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()), at, || format!("{value}"));
                }
                "maximum" => {
                    self.hold(value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()), at, || format!("{value}"));
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        let _of_its_own = self.value(rule, item, &format!("{at}[{number}]"));
                    }
                }
                "required" => {
                    for name in rule.as_array().unwrap() {
                        let there = value.as_object().is_none_or(|fields| fields.contains_key(name.as_str().unwrap()));
                        self.hold(there, at, || format!("lacks {name}"));
                    }
                }
                "properties" => seen.extend(self.properties(rule, value, at)),
                "additionalProperties" => {
                    assert_eq!(*rule, Value::Bool(false), "{at}");
                    let known = schema.get("properties").and_then(Value::as_object);
                    self.no_others(value, at, |name| known.is_some_and(|known| known.contains_key(name)));
                }
                other => panic!("{at}: the checker does not know {other}"),
            }
        }
        if schema.get("unevaluatedProperties").is_some() {
            let known = seen.clone();
            self.no_others(value, at, |name| known.contains(name));
        }
        seen
    }

    fn properties(&mut self, rule: &Value, value: &Value, at: &str) -> Seen {
        let mut seen = Seen::new();
        for (name, schema) in rule.as_object().unwrap() {
            if let Some(value) = value.get(name) {
                seen.insert(name.clone());
                let _of_its_own = self.value(schema, value, &format!("{at}.{name}"));
            }
        }
        seen
    }

    /// One of the schemas holds. All that the first of them sees counts as seen.
    fn one_of(&mut self, rule: &Value, value: &Value, at: &str) -> Seen {
        let mut first = Vec::new();
        for one in rule.as_array().unwrap() {
            let mut check = Check { root: self.root, broken: Vec::new() };
            let seen = check.value(one, value, at);
            if check.broken.is_empty() {
                return seen;
            }
            first.extend(check.broken.into_iter().take(1));
        }
        self.broken.push(format!("{at}: none holds: {}", first.join("; ")));
        Seen::new()
    }

    fn no_others(&mut self, value: &Value, at: &str, is_known: impl Fn(&str) -> bool) {
        let none = Map::new();
        for name in value.as_object().unwrap_or(&none).keys() {
            self.hold(is_known(name), at, || format!("has an unknown field {name}"));
        }
    }

    fn hold(&mut self, holds: bool, at: &str, why: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(format!("{at}: {}", why()));
        }
    }
}

fn is_of(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    };
    match rule {
        Value::Array(any) => any.iter().any(|name| is(name.as_str().unwrap())),
        one => is(one.as_str().unwrap()),
    }
}

#[test]
fn the_checker_sees_what_is_missing_wrong_or_unknown() {
    let good = serde_json::json!({ "digests": 1, "versions": 0, "bytes": 0 });
    assert_eq!(broken("decided", &good), Vec::<String>::new());
    let bad = serde_json::json!({ "digests": -1, "versions": "0", "more": 0 });
    let said = broken("decided", &bad).join("\n");
    for part in ["lacks \"bytes\"", "unknown field more", "decided.versions: is no", "decided.digests"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let early = serde_json::json!({ "code": "Not a word", "message": "m", "mend": null, "next": "run it" });
    assert_eq!(broken("error", &early).len(), 2, "{:?}", broken("error", &early));
}

#[test]
fn every_definition_is_reached_from_the_root() {
    let mut reached = BTreeSet::new();
    let mut open = vec![OUTPUT.clone()];
    open[0]["$defs"] = Value::Null;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    let name = name.strip_prefix("#/$defs/").unwrap().to_owned();
                    if reached.insert(name.clone()) {
                        open.push(OUTPUT["$defs"][&name].clone());
                    }
                }
                open.extend(fields.into_iter().map(|(_, value)| value));
            }
            Value::Array(all) => open.extend(all),
            _ => {}
        }
    }
    let defined: BTreeSet<_> = OUTPUT["$defs"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(reached, defined);
}
