//! A layout as a JSON schema, of the fields as [`json`](crate::json) writes them.

use mycelium_transports::untyped::{ChoiceLayout, FieldKind, Layout};
use serde_json::{Map, Value, json};

use crate::json::is_tuple;

/// Returns the JSON schema of messages with this layout.
pub(crate) fn schema(layout: &Layout) -> Value {
    let fields = || layout.fields().iter().filter(|field| !field.is_padding());
    if is_tuple(layout) {
        let items: Vec<Value> = fields().map(|field| kind(field.kind())).collect();
        return json!({"type": "array", "prefixItems": items});
    }
    let properties = fields().map(|field| (field.name().to_owned(), kind(field.kind())));
    let properties: Map<String, Value> = properties.collect();
    let required: Vec<&str> = fields().map(|field| field.name()).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn kind(found: &FieldKind) -> Value {
    match found {
        FieldKind::Unsigned(_) | FieldKind::U256 => json!({"type": "integer", "minimum": 0}),
        FieldKind::Signed(_) => json!({"type": "integer"}),
        FieldKind::F32 | FieldKind::F64 | FieldKind::Duration => json!({"type": "number"}),
        FieldKind::Bool => json!({"type": "boolean"}),
        FieldKind::Text { .. } | FieldKind::String | FieldKind::Char | FieldKind::IpAddr => {
            json!({"type": "string"})
        }
        FieldKind::Array { item, len } => {
            json!({"type": "array", "items": kind(item), "minItems": len, "maxItems": len})
        }
        FieldKind::List { item, capacity } => {
            json!({"type": "array", "items": kind(item), "maxItems": capacity})
        }
        FieldKind::Sequence { item } => json!({"type": "array", "items": kind(item)}),
        FieldKind::Struct(layout) => schema(layout),
        FieldKind::Enum(layout) => {
            let names: Vec<&str> = layout.variants().map(|(_, name)| name).collect();
            json!({"type": "string", "enum": names})
        }
        FieldKind::Option { item, .. } => json!({"oneOf": [kind(item), {"type": "null"}]}),
        FieldKind::Map { entry } => match &**entry {
            FieldKind::Struct(layout) => {
                let value = layout.fields().get(1).map(|field| kind(field.kind()));
                let value = value.unwrap_or(Value::Bool(true));
                json!({"type": "object", "additionalProperties": value})
            }
            _ => json!({"type": "object"}),
        },
        FieldKind::Choice(layout) => choice(layout),
        // A value in postcard, or a type of a later version: anything.
        _ => json!({}),
    }
}

/// Returns the schema of an enum with data: a text for a variant without fields, or an object with
/// the variant as its only key.
fn choice(layout: &ChoiceLayout) -> Value {
    let variants = layout.variants().map(|(name, fields)| {
        let data = match (is_tuple(fields), fields.fields()) {
            (_, []) => return json!({"type": "string", "const": name}),
            (true, [only]) => kind(only.kind()),
            _ => schema(fields),
        };
        let mut properties = Map::new();
        properties.insert(name.to_owned(), data);
        json!({"type": "object", "properties": properties, "required": [name]})
    });
    json!({"oneOf": variants.collect::<Vec<Value>>()})
}
