//! An object in each line. [`json`] writes the values.

use std::io::Write;

use mycelium::untyped::{Hex, Source, UntypedDelivery, UntypedMessage};
use mycelium_record::json;

use super::form::{Line, Output, rfc3339};

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
            json::fields(out, &view);
        } else {
            out.push(b'{');
            for (index, path) in line.fields.iter().enumerate() {
                json::key(out, index, path);
                match view.at(path) {
                    Some(found) => json::value(out, &found),
                    None => out.extend_from_slice(b"null"),
                }
            }
            out.push(b'}');
        }
        if !view.tail().is_empty() && line.fields.is_empty() {
            let _ = write!(out, ",\"tail\":\"{}\"", Hex(view.tail()));
        }
        out.extend_from_slice(b"}\n");
    }

    fn other(&mut self, out: &mut Vec<u8>, line: &Line<'_>, delivery: &UntypedDelivery<'_>) {
        let (source, rest) = match delivery {
            UntypedDelivery::Gap { source, next, missed, reason } => {
                let (first, reason) = (next.saturating_sub(*missed), reason.word());
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
    json::text(out, line.node);
    if let Some(Source { publisher, epoch }) = source {
        out.extend_from_slice(b",\"publisher\":");
        json::text(out, publisher);
        let _ = write!(out, ",\"epoch\":\"{epoch:016x}\"");
    }
}
