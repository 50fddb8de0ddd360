//! Values as JSON. Integers are exact, whatever their size; numbers that JSON has no form for are
//! texts. A duration is a number of seconds, a tuple an array, an absent value `null`. An enum with
//! data is an object whose only key is the variant, and a variant without data is a text.

use std::io::Write;

use mycelium_transports::untyped::{Hex, Items, Layout, StructView, Value};

/// Writes the fields of a message or of a struct. The tail of a message is not a field.
pub fn fields(out: &mut Vec<u8>, view: &StructView<'_>) {
    if is_tuple(view.layout()) {
        return list(out, view.fields().map(|(_, found)| found));
    }
    out.push(b'{');
    for (index, (field, found)) in view.fields().enumerate() {
        key(out, index, field.name());
        value(out, &found);
    }
    out.push(b'}');
}

/// Whether the fields are called `0`, `1` and so on.
pub(crate) fn is_tuple(layout: &Layout) -> bool {
    let mut fields = layout.fields().iter().enumerate();
    fields.len() > 0 && fields.all(|(index, field)| field.name().parse() == Ok(index))
}

fn list<'v>(out: &mut Vec<u8>, values: impl Iterator<Item = Value<'v>>) {
    out.push(b'[');
    for (index, found) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        value(out, &found);
    }
    out.push(b']');
}

/// Writes a variant and its data. A single value without a name is not in an array.
fn choice(out: &mut Vec<u8>, variant: &str, fields: &StructView<'_>) {
    if fields.layout().fields().is_empty() {
        return text(out, variant);
    }
    out.push(b'{');
    key(out, 0, variant);
    match (is_tuple(fields.layout()), fields.fields().next()) {
        (true, Some((_, only))) if fields.layout().fields().len() == 1 => value(out, &only),
        _ => self::fields(out, fields),
    }
    out.push(b'}');
}

/// Writes a map, whose keys are texts in JSON.
fn map(out: &mut Vec<u8>, entries: Items<'_>) {
    out.push(b'{');
    for (index, (name, found)) in entries.filter_map(|entry| entry.pair()).enumerate() {
        match name {
            Value::Text(name) | Value::Variant(name) => key(out, index, name),
            Value::Char(name) => key(out, index, name.encode_utf8(&mut [0; 4])),
            other => key(out, index, &other.to_string()),
        }
        value(out, &found);
    }
    out.push(b'}');
}

/// Writes the name of a field, after a comma if it is not the first one.
pub fn key(out: &mut Vec<u8>, index: usize, name: &str) {
    if index > 0 {
        out.push(b',');
    }
    text(out, name);
    out.push(b':');
}

/// Writes a value.
pub fn value(out: &mut Vec<u8>, found: &Value<'_>) {
    // Cannot fail, because it writes into memory.
    let _ = match found {
        Value::Unsigned(number) => write!(out, "{number}"),
        Value::Signed(number) => write!(out, "{number}"),
        Value::U256(number) => write!(out, "{number}"),
        Value::F32(number) if number.is_finite() => write!(out, "{number:?}"),
        Value::F64(number) if number.is_finite() => write!(out, "{number:?}"),
        Value::F32(number) => write!(out, "\"{number}\""),
        Value::F64(number) => write!(out, "\"{number}\""),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Text(found) | Value::Variant(found) => return text(out, found),
        Value::Struct(inner) => return fields(out, inner),
        Value::Items(items) => return list(out, *items),
        Value::Map(entries) => return map(out, *entries),
        Value::Choice { name, fields } => return choice(out, name, fields),
        Value::Char(found) => return text(out, found.encode_utf8(&mut [0; 4])),
        Value::Duration(time) => {
            write!(out, "{}.{:09}", time.as_secs(), time.subsec_nanos())
        }
        Value::Absent => write!(out, "null"),
        Value::Postcard(found) => write!(out, "{}", found.json()),
        Value::Invalid(invalid) => {
            let (problem, bytes) = (&invalid.problem, Hex(invalid.bytes));
            write!(out, "{{\"invalid\":\"{problem}\",\"bytes\":\"{bytes}\"}}")
        }
        other => return text(out, &other.to_string()),
    };
}

/// Writes a text in quotes.
pub fn text(out: &mut Vec<u8>, found: &str) {
    // Cannot fail, because a text has a form in JSON.
    let _ = serde_json::to_writer(out, found);
}
