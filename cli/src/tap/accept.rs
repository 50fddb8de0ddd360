//! The values that a field can have, written as in the output.

use mycelium::fields::U256;
use mycelium::untyped::{FieldKind, ValueProblem};

use super::names;

/// A value that a field cannot have.
pub(super) struct Refused {
    /// The type of the field.
    pub(super) kind: String,
    /// A suggestion that follows the message of the error, or nothing.
    pub(super) hint: String,
}

/// Checks that a field of this type can have the value.
pub(super) fn check(kind: &FieldKind, value: &str) -> Result<(), Refused> {
    if accepts(kind, value) {
        return Ok(());
    }
    let hint = match kind {
        FieldKind::Enum(layout) => {
            let names: Vec<String> = layout.variants().map(|(_, name)| name.to_owned()).collect();
            format!(": {}", names::expected(value, &names))
        }
        _ => String::new(),
    };
    Err(Refused { kind: described(kind), hint })
}

fn accepts(kind: &FieldKind, value: &str) -> bool {
    let bits = 8 * kind.size() as u32;
    match kind {
        FieldKind::Unsigned(_) => {
            value.parse().is_ok_and(|it: u128| it.checked_shr(bits).unwrap_or(0) == 0)
        }
        // The bits above the range of a number are all 0, or all 1 if it is negative.
        FieldKind::Signed(_) => value.parse().is_ok_and(|it: i128| {
            let rest = it >> (bits - 1).min(127);
            rest == 0 || rest == -1
        }),
        FieldKind::U256 => digits(value).is_some_and(|it| {
            let most = U256::MAX.to_string();
            (it.len(), it) <= (most.len(), &most)
        }),
        FieldKind::F32 => value.parse::<f32>().is_ok(),
        FieldKind::F64 => value.parse::<f64>().is_ok(),
        FieldKind::Bool => {
            matches!(value, "true" | "false") || is_invalid(ValueProblem::Bool, kind, value)
        }
        FieldKind::Text { capacity } => {
            // A short text may also be how invalid bytes are shown.
            value.len() <= *capacity
                || is_invalid(ValueProblem::Utf8, kind, value)
                || is_invalid(ValueProblem::Count, kind, value)
        }
        FieldKind::Array { item, len } => {
            items(item, value).is_some_and(|count| count.is_none_or(|count| count == *len))
        }
        FieldKind::List { item, capacity } => {
            items(item, value).is_some_and(|count| count.is_none_or(|count| count <= *capacity))
                || is_invalid(ValueProblem::Count, kind, value)
        }
        FieldKind::Struct(_) => value.starts_with('{') && value.ends_with('}'),
        FieldKind::Enum(layout) => {
            layout.variants().any(|(_, name)| name.escape_debug().to_string() == value)
                || is_invalid(ValueProblem::Variant, kind, value)
        }
        // A type of a later version.
        _ => true,
    }
}

/// The digits of a number without a sign, in its printed form: without zeros in front.
pub(super) fn digits(value: &str) -> Option<&str> {
    let is_number = !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit());
    let digits = value.trim_start_matches('0');
    is_number.then_some(if digits.is_empty() { "0" } else { digits })
}

/// Whether it is how bytes are shown that are not valid for their type.
fn is_invalid(problem: ValueProblem, kind: &FieldKind, value: &str) -> bool {
    let start = format!("<{problem}: ");
    let hex = value.strip_prefix(&start).and_then(|rest| rest.strip_suffix('>'));
    let is_digit = |c| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    hex.is_some_and(|hex| hex.len() == 2 * kind.size() && hex.bytes().all(is_digit))
}

/// The number of items, if they are some of this type. `Some(None)` if they may have commas within.
fn items(item: &FieldKind, value: &str) -> Option<Option<usize>> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    let are_plain = match item {
        FieldKind::Unsigned(_)
        | FieldKind::Signed(_)
        | FieldKind::U256
        | FieldKind::F32
        | FieldKind::F64
        | FieldKind::Bool
        | FieldKind::Enum(_) => true,
        FieldKind::Text { .. }
        | FieldKind::Array { .. }
        | FieldKind::List { .. }
        | FieldKind::Struct(_) => false,
        // A type of a later version.
        _ => false,
    };
    if !are_plain {
        return Some(None);
    }
    let items: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split(", ").collect() };
    items.iter().all(|text| accepts(item, text)).then_some(Some(items.len()))
}

/// The type with its article.
fn described(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Unsigned(bytes) => format!("a u{}", 8 * bytes),
        FieldKind::Signed(bytes) => format!("an i{}", 8 * bytes),
        FieldKind::U256 => "a u256".to_owned(),
        FieldKind::F32 => "an f32".to_owned(),
        FieldKind::F64 => "an f64".to_owned(),
        FieldKind::Bool => "a bool".to_owned(),
        FieldKind::Text { capacity } => format!("a text of at most {capacity} bytes"),
        FieldKind::Array { len, .. } => format!("an array of {len} items, such as `[1, 2]`"),
        FieldKind::List { capacity, .. } => {
            format!("a list of at most {capacity} items, such as `[1, 2]`")
        }
        FieldKind::Struct(_) => "a struct, such as `{a=1 b=2}`".to_owned(),
        FieldKind::Enum(_) => "an enum".to_owned(),
        _ => "of a type of a later version".to_owned(),
    }
}
