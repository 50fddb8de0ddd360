//! Parts of the messages that are common to spans and metrics: attributes, the scope, and times.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};

/// Creates an attribute with a text.
pub(crate) fn text(key: &str, text: &str) -> KeyValue {
    attribute(key, Value::StringValue(text.to_owned()))
}

/// Creates an attribute with a number.
pub(crate) fn number(key: &str, number: u64) -> KeyValue {
    attribute(key, Value::IntValue(number.cast_signed()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Returns the scope that names this project.
pub(crate) fn scope() -> InstrumentationScope {
    let (name, version) = ("mycelium".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

/// Returns the Unix time in nanoseconds, within the range of OTLP, from 1970 to 2554.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().try_into().unwrap_or(u64::MAX)
}
