//! The printed fields of a message: all fields of its layout, or those of the command line; and the
//! values that a field can have, in the form of the output.

use mycelium::fields::U256;
use mycelium::untyped::{FieldKind, Layout, StructView, Value, ValueProblem};

use crate::peers::names;
use crate::shared::exit::Failure;

/// A condition of the command line.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    path: String,
    value: String,
}

impl Condition {
    /// Reads the condition `field=value`.
    pub(super) fn parse(text: &str) -> Result<Condition, Failure> {
        match text.split_once('=') {
            Some((path, value)) if !path.is_empty() => {
                Ok(Condition { path: path.to_owned(), value: value.to_owned() })
            }
            _ => Err(Failure::Usage(format!(
                "invalid `--where {}`: expected a field and a value, such as `side=Buy`",
                text.escape_debug()
            ))),
        }
    }

    /// Returns whether the field of a message has the value.
    pub(super) fn holds(&self, message: &StructView<'_>) -> bool {
        let expected = &*self.value;
        match message.at(&self.path) {
            Some(Value::Text(text)) => text == expected,
            Some(Value::Char(found)) => expected.parse() == Ok(found),
            Some(Value::Unsigned(found)) => expected.parse() == Ok(found),
            Some(Value::Signed(found)) => expected.parse() == Ok(found),
            Some(Value::U256(found)) => digits(expected) == Some(&*found.to_string()),
            Some(Value::F32(found)) => {
                expected.parse().is_ok_and(|it: f32| it == found || it.is_nan() && found.is_nan())
            }
            Some(Value::F64(found)) => {
                expected.parse().is_ok_and(|it: f64| it == found || it.is_nan() && found.is_nan())
            }
            Some(value) => value.to_string() == expected,
            None => false,
        }
    }
}

/// Checks that a layout has the fields of the command line, and that they can have the values.
pub(super) fn check(
    layout: &Layout,
    fields: &[String],
    conditions: &[Condition],
) -> Result<(), Failure> {
    let paths = paths(layout);
    let mut asked = fields.iter().chain(conditions.iter().map(|condition| &condition.path));
    if let Some(path) = asked.find(|path| paths.iter().all(|(known, _)| known != *path)) {
        let hint = names::expected(path, &all(layout));
        return Err(Failure::Usage(format!("unknown field `{}`: {hint}", path.escape_debug())));
    }
    for Condition { path, value } in conditions {
        let Some((_, kind)) = paths.iter().find(|(known, _)| known == path) else { continue };
        if !accepts(kind, value) {
            let hint = match kind {
                FieldKind::Enum(layout) => {
                    let names: Vec<_> =
                        layout.variants().map(|(_, name)| name.to_owned()).collect();
                    format!(": {}", names::expected(value, &names))
                }
                _ => String::new(),
            };
            let (path, kind) = (path.escape_debug(), described(kind));
            let value = value.escape_debug();
            return Err(Failure::Usage(format!(
                "invalid `--where {path}={value}`: field `{path}` is {kind}, which cannot be \
                 `{value}`{hint}"
            )));
        }
    }
    Ok(())
}

/// Returns the paths of all fields that are not structs.
pub(super) fn all(layout: &Layout) -> Vec<String> {
    let fields = paths(layout).into_iter();
    fields.filter(|(_, kind)| !matches!(kind, FieldKind::Struct(_))).map(|(path, _)| path).collect()
}

/// Returns the paths and types of all fields, to the depth that a layout may have.
fn paths(layout: &Layout) -> Vec<(String, &FieldKind)> {
    let mut paths = Vec::new();
    for field in layout.fields().iter().filter(|field| !field.is_padding()) {
        paths.push((field.name().to_owned(), field.kind()));
        if let FieldKind::Struct(inner) = field.kind() {
            let name = field.name();
            let inner = self::paths(inner).into_iter();
            paths.extend(inner.map(|(path, kind)| (format!("{name}.{path}"), kind)));
        }
    }
    paths
}

/// Returns whether a field of this type can have the value.
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
            // A value in the form of invalid bytes may also be the text itself, if that is short.
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
        FieldKind::Char => {
            value.parse::<char>().is_ok() || is_invalid(ValueProblem::Char, kind, value)
        }
        FieldKind::Option { item, .. } => {
            value == "none" || accepts(item, value) || is_invalid(ValueProblem::Option, kind, value)
        }
        // A type of a later version accepts everything.
        _ => true,
    }
}

/// Returns the digits of a number without a sign, in its printed form: without leading zeros.
fn digits(value: &str) -> Option<&str> {
    let is_number = !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit());
    let digits = value.trim_start_matches('0');
    is_number.then_some(if digits.is_empty() { "0" } else { digits })
}

/// Returns whether `value` is the output for bytes that are invalid for their type: the name of the
/// problem and the bytes in hex, in angle brackets.
fn is_invalid(problem: ValueProblem, kind: &FieldKind, value: &str) -> bool {
    let start = format!("<{problem}: ");
    let hex = value.strip_prefix(&start).and_then(|rest| rest.strip_suffix('>'));
    let is_digit = |c| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    hex.is_some_and(|hex| hex.len() == 2 * kind.size() && hex.bytes().all(is_digit))
}

/// Returns the number of items, if `value` is a list of this type. `Some(None)` if the items may
/// contain commas.
fn items(item: &FieldKind, value: &str) -> Option<Option<usize>> {
    let inner = value.strip_prefix('[')?.strip_suffix(']')?;
    let (FieldKind::Unsigned(_)
    | FieldKind::Signed(_)
    | FieldKind::U256
    | FieldKind::F32
    | FieldKind::F64
    | FieldKind::Bool
    | FieldKind::Enum(_)) = item
    else {
        return Some(None);
    };
    let items: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split(", ").collect() };
    items.iter().all(|text| accepts(item, text)).then_some(Some(items.len()))
}

/// Returns the type with its article, for a message.
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
        FieldKind::Char => "a character".to_owned(),
        FieldKind::Option { item, .. } => format!("`none` or {}", described(item)),
        _ => "of a type of a later version".to_owned(),
    }
}
