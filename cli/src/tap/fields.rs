//! The printed fields of a message: those of its layout, or those of the command line.

use mycelium::untyped::{Field, FieldKind, Layout, StructView, Value};

use super::accept::{self, Refused};
use super::names;
use crate::exit::Failure;

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
    let known = all(layout);
    let inner = inner(layout);
    let asked = fields.iter().chain(conditions.iter().map(|condition| &condition.path));
    for path in asked {
        if known.contains(path) || inner.contains(path) {
            continue;
        }
        let hint = names::expected(path, &known);
        return Err(Failure::Usage(format!("unknown field `{}`: {hint}", path.escape_debug())));
    }
    for Condition { path, value } in conditions {
        let Some(kind) = kind(layout, path) else { continue };
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

/// The type of the field at a path.
fn kind<'a>(layout: &'a Layout, path: &str) -> Option<&'a FieldKind> {
    match path.split_once('.') {
        None => layout.field(path).map(Field::kind),
        Some((name, rest)) => match layout.field(name)?.kind() {
            FieldKind::Struct(inner) => kind(inner, rest),
            _ => None,
        },
    }
}

/// The paths of all fields without those that are structs.
pub(super) fn all(layout: &Layout) -> Vec<String> {
    let mut paths = Vec::new();
    visit(layout, "", &mut |path, is_struct| {
        if !is_struct {
            paths.push(path.to_owned());
        }
    });
    paths
}

/// The paths of all fields that are structs.
fn inner(layout: &Layout) -> Vec<String> {
    let mut paths = Vec::new();
    visit(layout, "", &mut |path, is_struct| {
        if is_struct {
            paths.push(path.to_owned());
        }
    });
    paths
}

/// Visits fields, to the depth that a layout may have.
fn visit(layout: &Layout, outer: &str, each: &mut impl FnMut(&str, bool)) {
    for field in layout.fields().iter().filter(|field| !field.is_padding()) {
        let name = field.name();
        let path = if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") };
        match field.kind() {
            FieldKind::Struct(layout) => {
                each(&path, true);
                visit(layout, &path, each);
            }
            _ => each(&path, false),
        }
    }
}
