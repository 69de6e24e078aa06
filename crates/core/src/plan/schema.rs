//! The JSON Schema of the plan language, derived from the types of [`syntax`](crate::plan::syntax).

use serde_json::Value;

use crate::plan::syntax::PlanFile;

/// The JSON Schema (draft 2020-12) of a plan.
///
/// A plan that does not set a key leaves it out: `null` is not among its values, since TOML has none and one way to
/// say nothing is enough.
pub fn schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<PlanFile>().to_value();
    drop_null(&mut schema);
    schema
}

/// Removes `null` from every type that schemars derived from an `Option`.
fn drop_null(schema: &mut Value) {
    match schema {
        Value::Array(elements) => elements.iter_mut().for_each(drop_null),
        Value::Object(entries) => {
            if let Some(Value::Array(types)) = entries.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    entries.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = entries.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    entries.remove("anyOf");
                    entries.extend(only);
                }
            }
            if entries.get("default").is_some_and(Value::is_null) {
                entries.remove("default");
            }
            entries.values_mut().for_each(drop_null);
        }
        _ => {}
    }
}

/// The schema that `schema` refers to, or itself.
pub(super) fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?))
        .unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_no_value_and_descriptions_are_there() {
        let schema = schema();
        assert!(!schema.to_string().contains("\"null\""));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Site"]["properties"]["region"]["type"], "string");
        let description = schema["$defs"]["Dataset"]["properties"]["lead"]["description"].as_str().unwrap();
        assert!(description.contains("leads after the cutover"));
        assert!(schema["$defs"]["Cutover"]["properties"]["fence"].get("$ref").is_some());
    }
}
