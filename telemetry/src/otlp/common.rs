//! What the messages of all signals have: attributes, the scope, and times. The fields are numbered
//! by `opentelemetry/proto/common/v1/common.proto`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::protobuf::Message;

/// The value of an attribute.
#[derive(Clone, Copy)]
pub(crate) enum Attribute<'a> {
    Text(&'a str),
    /// An `int64` there: no number of a message reaches its end.
    Number(u64),
}

/// Writes a `KeyValue`.
pub(crate) fn attribute(message: &mut Message, field: u32, key: &str, value: Attribute<'_>) {
    message.message(field, |pair| {
        pair.bytes(1, key.as_bytes());
        pair.message(2, |any| match value {
            Attribute::Text(text) => any.bytes(1, text.as_bytes()),
            Attribute::Number(number) => any.number(3, number),
        });
    });
}

/// Writes the fields of an `InstrumentationScope`: this project.
pub(crate) fn scope(message: &mut Message) {
    message.bytes(1, b"mycelium");
    message.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
}

/// The nanoseconds of Unix time, as far as OTLP can say it: from 1970 to 2554.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().try_into().unwrap_or(u64::MAX)
}
