//! An object in each line. Integers are exact, whatever their size; numbers that JSON has no form
//! for are texts. A duration is a number of seconds, a tuple an array, an absent value `null`. An
//! enum with data is an object whose only key is the variant, and a variant without data is a text.

use std::io::Write;

use mycelium::subscribe::GapReason;
use mycelium::untyped::{Items, Source, StructView, UntypedDelivery, UntypedMessage, Value};

use super::form::{Line, Output, hex, rfc3339};

pub(super) struct Json;

impl Output for Json {
    fn message(&mut self, out: &mut Vec<u8>, line: &Line<'_>, message: &UntypedMessage<'_>) {
        begin(out, line, Some(message.source));
        let _ = write!(out, ",\"sequence\":{}", message.sequence);
        if message.retained {
            out.extend_from_slice(b",\"retained\":true");
        }
        if let Some(sent_at) = message.sent_at {
            let _ = write!(out, ",\"sent_at\":{sent_at}");
        }
        let Ok(view) = message.view() else { return out.extend_from_slice(b"}\n") };
        out.extend_from_slice(b",\"message\":");
        if line.fields.is_empty() {
            structure(out, &view);
        } else {
            out.push(b'{');
            for (index, path) in line.fields.iter().enumerate() {
                name(out, index, path);
                match view.at(path) {
                    Some(found) => value(out, &found),
                    None => out.extend_from_slice(b"null"),
                }
            }
            out.push(b'}');
        }
        if !view.tail().is_empty() && line.fields.is_empty() {
            let _ = write!(out, ",\"tail\":\"{}\"", hex(view.tail()));
        }
        out.extend_from_slice(b"}\n");
    }

    fn other(&mut self, out: &mut Vec<u8>, line: &Line<'_>, delivery: &UntypedDelivery<'_>) {
        let (source, rest) = match delivery {
            UntypedDelivery::Gap { source, next, missed, reason } => {
                let (first, reason) = (next.saturating_sub(*missed), word(*reason));
                (Some(source), format!(r#""gap":{missed},"first":{first},"reason":"{reason}""#))
            }
            UntypedDelivery::Began { source, first } => {
                (Some(source), format!(r#""event":"began","first":{first}"#))
            }
            UntypedDelivery::Ended { source, next } => {
                (Some(source), format!(r#""event":"ended","next":{next}"#))
            }
            UntypedDelivery::Lost { source, next } => {
                (Some(source), format!(r#""event":"lost","next":{next}"#))
            }
            UntypedDelivery::Disconnected { reason } => {
                let reason = serde_json::Value::from(reason.to_string());
                (None, format!(r#""event":"disconnected","reason":{reason}"#))
            }
            UntypedDelivery::TopicEnded => (None, r#""event":"topic ended""#.to_owned()),
            _ => return,
        };
        begin(out, line, source.copied());
        let _ = writeln!(out, ",{rest}}}");
    }
}

fn begin(out: &mut Vec<u8>, line: &Line<'_>, source: Option<&Source>) {
    let _ = write!(out, "{{\"time\":\"{}\",\"node\":", rfc3339(line.time));
    text(out, line.node);
    if let Some(Source { publisher, epoch }) = source {
        out.extend_from_slice(b",\"publisher\":");
        text(out, publisher);
        let _ = write!(out, ",\"epoch\":\"{epoch:016x}\"");
    }
}

/// Returns why messages are missing, in one word.
fn word(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Overwritten => "overwritten",
        GapReason::Skipped => "skipped",
        GapReason::Dropped => "dropped",
        GapReason::Undecodable => "too long",
        GapReason::Disconnected => "disconnected",
        GapReason::Evicted => "evicted",
        GapReason::DeadLettered => "dead letters",
        _ => "other",
    }
}

fn structure(out: &mut Vec<u8>, view: &StructView<'_>) {
    if is_tuple(view) {
        return list(out, view.fields().map(|(_, found)| found));
    }
    out.push(b'{');
    for (index, (field, found)) in view.fields().enumerate() {
        name(out, index, field.name());
        value(out, &found);
    }
    out.push(b'}');
}

/// Whether the fields are called `0`, `1` and so on.
fn is_tuple(view: &StructView<'_>) -> bool {
    let mut fields = view.layout().fields().iter().enumerate();
    fields.len() > 0 && fields.all(|(index, field)| field.name() == index.to_string())
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

/// Prints a variant and its data, of which a single value without a name stands alone.
fn choice(out: &mut Vec<u8>, variant: &str, fields: &StructView<'_>) {
    if fields.layout().fields().is_empty() {
        return text(out, variant);
    }
    out.push(b'{');
    name(out, 0, variant);
    match (is_tuple(fields), fields.fields().next()) {
        (true, Some((_, only))) if fields.layout().fields().len() == 1 => value(out, &only),
        _ => structure(out, fields),
    }
    out.push(b'}');
}

/// Prints a map, whose keys are texts in JSON.
fn map(out: &mut Vec<u8>, entries: Items<'_>) {
    out.push(b'{');
    for (index, (key, found)) in entries.filter_map(|entry| entry.pair()).enumerate() {
        match key {
            Value::Text(key) | Value::Variant(key) => name(out, index, key),
            Value::Char(key) => name(out, index, key.encode_utf8(&mut [0; 4])),
            key => name(out, index, &key.to_string()),
        }
        value(out, &found);
    }
    out.push(b'}');
}

fn name(out: &mut Vec<u8>, index: usize, name: &str) {
    if index > 0 {
        out.push(b',');
    }
    text(out, name);
    out.push(b':');
}

fn value(out: &mut Vec<u8>, found: &Value<'_>) {
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
        Value::Struct(inner) => return structure(out, inner),
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
            let (problem, bytes) = (invalid.problem, hex(invalid.bytes));
            write!(out, "{{\"invalid\":\"{problem}\",\"bytes\":\"{bytes}\"}}")
        }
        other => return text(out, &other.to_string()),
    };
}

fn text(out: &mut Vec<u8>, found: &str) {
    // Cannot fail, because a text has a form in JSON.
    let _ = serde_json::to_writer(out, found);
}
