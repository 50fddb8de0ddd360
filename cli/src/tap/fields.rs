//! The printed fields of a message: those of its layout, or those of the command line.

use mycelium::untyped::{FieldKind, Layout, StructView, Value};

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
        match message.at(&self.path) {
            Some(Value::Text(text)) => text == self.value,
            Some(value) => value.to_string() == self.value,
            None => false,
        }
    }
}

/// Checks that a layout has the fields of the command line.
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
    Ok(())
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
