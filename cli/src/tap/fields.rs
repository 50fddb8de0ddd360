//! The printed fields of a message: those of its layout, or those of the command line.

use mycelium::untyped::{FieldKind, Layout, StructView, Value};

use super::accept::{self, Refused};
use super::names;
use crate::shared::exit::Failure;

/// A condition of the command line.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    path: String,
    value: String,
}

impl Condition {
    /// The condition `field=value`.
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

    /// Whether a message has the value.
    pub(super) fn holds(&self, message: &StructView<'_>) -> bool {
        let expected = &*self.value;
        match message.at(&self.path) {
            Some(Value::Text(text)) => text == expected,
            Some(Value::Unsigned(found)) => expected.parse() == Ok(found),
            Some(Value::Signed(found)) => expected.parse() == Ok(found),
            Some(Value::U256(found)) => accept::digits(expected) == Some(&*found.to_string()),
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

/// Checks that a layout has the fields of the command line, and they can have the values.
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
        accept::check(kind, value).map_err(|Refused { kind, hint }| {
            let (path, value) = (path.escape_debug(), value.escape_debug());
            Failure::Usage(format!(
                "invalid `--where {path}={value}`: field `{path}` is {kind}, which cannot be \
                 `{value}`{hint}"
            ))
        })?;
    }
    Ok(())
}

/// The paths of all fields without those that are structs.
pub(super) fn all(layout: &Layout) -> Vec<String> {
    let fields = paths(layout).into_iter();
    fields.filter(|(_, kind)| !matches!(kind, FieldKind::Struct(_))).map(|(path, _)| path).collect()
}

/// The paths and types of all fields, to the depth that a layout may have.
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
