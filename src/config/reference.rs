//! The settings as others need them: properties for VS Code's package.json, and docs/configuration.md.

use serde_json::{Map, Value, json};

use crate::config::Options;

/// One setting, from its field.
struct Entry {
    key: String,
    description: String,
    /// JSON schema without the null that stands for "not set".
    schema: Map<String, Value>,
    default: Value,
}

/// `contributes.configuration.properties` of the VS Code extension.
pub fn package_json_properties() -> Value {
    let properties = entries().into_iter().map(|entry| {
        let mut property = entry.schema;
        property.insert("markdownDescription".to_owned(), json!(entry.description));
        if !entry.default.is_null() {
            property.insert("default".to_owned(), entry.default);
        }
        (format!("foretype.{}", entry.key), Value::Object(property))
    });
    Value::Object(properties.collect())
}

/// The text of docs/configuration.md.
pub fn reference_markdown() -> String {
    let mut text = String::from(HEAD);
    for entry in entries() {
        let default = match &entry.default {
            Value::Null => "not set".to_owned(),
            value => format!("`{value}`"),
        };
        text.push_str(&format!("### `{}`\n\n{}\n\nDefault: {default}.", entry.key, entry.description));
        if let Some(values) = entry.schema.get("enum").and_then(Value::as_array) {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            text.push_str(&format!(" One of {}.", values.join(", ")));
        }
        if let (Some(least), Some(most)) = (entry.schema.get("minimum"), entry.schema.get("maximum")) {
            text.push_str(&format!(" From {least} to {most}."));
        }
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

const HEAD: &str = "\
# Configuration

<!-- Generated from src/config/options.rs; `UPDATE_GENERATED=1 cargo test --test generated` writes it anew. -->

Nothing needs to be set. Settings come from these places; the first that sets a key wins:

1. `initializationOptions` of the editor's LSP client,
2. the section `foretype` of the editor's settings (`workspace/configuration`),
3. `.foretype.toml` in the root of the workspace; it can't name a path of a model or a remote,
4. `foretype/config.toml` in the user's folder for configuration (`~/.config` on Linux).

```toml
# .foretype.toml
maxTokens = 48
multiline = \"never\"
languages = { markdown = false }
exclude = [\"generated/**\"]
```

An unknown key or a value of a wrong type is named once, and the rest is used.

## Settings

";

fn entries() -> Vec<Entry> {
    let schema = schemars::schema_for!(Options);
    let defaults = serde_json::to_value(Options::defaults()).unwrap_or_default();
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let entry = |(key, schema): (&String, &Value)| {
        let mut schema = schema.as_object().cloned().unwrap_or_default();
        // A setting that may be missing is either its type or null.
        if let Some(Value::Array(either)) = schema.remove("anyOf") {
            let typed = either.into_iter().find(|schema| schema.get("type") != Some(&json!("null")));
            schema.extend(typed.and_then(|schema| schema.as_object().cloned()).unwrap_or_default());
        }
        if let Some(Value::Array(types)) = schema.get("type").cloned() {
            let typed = types.into_iter().find(|name| name != "null").unwrap_or_default();
            schema.insert("type".to_owned(), typed);
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        let description = schema.remove("description").and_then(|text| text.as_str().map(str::to_owned));
        schema.remove("default");
        schema.remove("format");
        let default = round(defaults.get(key).cloned().unwrap_or_default());
        Entry { key: key.clone(), description: description.unwrap_or_default(), schema, default }
    };
    properties.iter().map(entry).collect()
}

/// An f32 as f64 has digits that nobody wrote.
fn round(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() => json!((number * 1e6).round() / 1e6),
        _ => value,
    }
}
