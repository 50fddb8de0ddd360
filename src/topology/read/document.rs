//! The table of one file with the values of its variables, and the sections that are parsed from
//! it.
//!
//! A value with a variable is a text. If its key takes a number or a boolean, the text is parsed as
//! one: this depends on the key, not on the variable.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::topology::error::{INVALID_TYPE, Problem, TopologyError};
use crate::topology::keys::sections::Sections;
use crate::topology::read::substitution::{Environment, substitute};
use crate::topology::source::Source;

/// The values of texts with variables, by the start of each text.
#[derive(Debug, Default)]
pub(crate) struct Substituted(BTreeMap<usize, String>);

impl Substituted {
    /// Adds the values of all texts with variables in a table. `base` is the place in `source` at
    /// which the file with the table begins.
    pub(crate) fn add(
        &mut self,
        source: &Source,
        table: &DeTable<'_>,
        base: usize,
        environment: &dyn Environment,
    ) -> Result<(), TopologyError> {
        table.values().try_for_each(|value| self.add_value(source, value, base, environment))
    }

    fn add_value(
        &mut self,
        source: &Source,
        value: &Spanned<DeValue<'_>>,
        base: usize,
        environment: &dyn Environment,
    ) -> Result<(), TopologyError> {
        match value.get_ref() {
            DeValue::String(text) => {
                let span = shifted(value.span(), base);
                let substituted = substitute(text, environment);
                let substituted = substituted.map_err(|it| source.error(span.clone(), it))?;
                self.0.extend(substituted.map(|value| (span.start, value)));
                Ok(())
            }
            DeValue::Array(values) => {
                values.iter().try_for_each(|value| self.add_value(source, value, base, environment))
            }
            DeValue::Table(table) => self.add(source, table, base, environment),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Ok(()),
        }
    }

    /// Returns the table with these values in it, and with its spans moved by `base`.
    pub(crate) fn put_in<'t>(&'t self, table: DeTable<'t>, base: usize) -> DeTable<'t> {
        let entries = table.into_iter().map(|(key, value)| {
            let key = Spanned::new(shifted(key.span(), base), key.into_inner());
            (key, self.put_in_value(value, base))
        });
        entries.collect()
    }

    fn put_in_value<'t>(
        &'t self,
        value: Spanned<DeValue<'t>>,
        base: usize,
    ) -> Spanned<DeValue<'t>> {
        let span = shifted(value.span(), base);
        let value = match value.into_inner() {
            DeValue::String(text) => {
                let substituted = self.0.get(&span.start);
                DeValue::String(substituted.map_or(text, |value| value.as_str().into()))
            }
            DeValue::Array(values) => {
                let values = values.into_iter().map(|value| self.put_in_value(value, base));
                DeValue::Array(values.collect())
            }
            DeValue::Table(table) => DeValue::Table(self.put_in(table, base)),
            other @ (DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)) => other,
        };
        Spanned::new(span, value)
    }

    /// Replaces the text at this place by the number or the boolean that it contains. False if it
    /// contains neither, or has no variable.
    fn read_scalar<'t>(&'t self, table: &mut DeTable<'t>, span: &Range<usize>) -> bool {
        let text = self.0.get(&span.start);
        let Some(Ok(scalar)) = text.map(|text| DeValue::parse(text.trim())) else { return false };
        match scalar.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                let mut values = table.iter_mut().map(|(_, value)| value);
                values.any(|value| replace(value, span, scalar.get_ref()))
            }
            DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) | DeValue::Datetime(_) => {
                false
            }
        }
    }
}

/// Replaces the text at this place. False if there is no text.
fn replace<'t>(
    value: &mut Spanned<DeValue<'t>>,
    span: &Range<usize>,
    scalar: &DeValue<'t>,
) -> bool {
    let is_there = value.span() == *span;
    match value.get_mut() {
        text @ DeValue::String(_) if is_there => {
            *text = scalar.clone();
            true
        }
        DeValue::Array(values) => values.iter_mut().any(|value| replace(value, span, scalar)),
        DeValue::Table(table) => table.iter_mut().any(|(_, value)| replace(value, span, scalar)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

/// Parses the sections of a topology's table with the values of its variables.
pub(crate) fn sections<'t>(
    source: &Source,
    substituted: &'t Substituted,
    mut table: DeTable<'t>,
) -> Result<Sections, TopologyError> {
    refuse_lists(source, &table)?;
    // The error of a value that was read as a text, before it was tried as a number or a boolean.
    let mut as_text: Option<(Range<usize>, String)> = None;
    loop {
        let document = toml::Deserializer::from(Spanned::new(0..0, table.clone()));
        let error = match Sections::deserialize(document) {
            Ok(sections) => return Ok(sections),
            Err(error) => error,
        };
        let (span, mut message) = (error.span().unwrap_or(0..0), error.message().to_owned());
        let is_substituted = source.substituted(&span).is_some();
        if substituted.read_scalar(&mut table, &span) {
            as_text = Some((span, message));
            continue;
        }
        if let Some((_, text)) = as_text.filter(|(text, _)| *text == span)
            && !text.starts_with(INVALID_TYPE)
        {
            // The key takes texts, but refuses this one, so the error of the text is the correct
            // one.
            message = text;
        }
        let problem = Problem::of_text(&message, source.line(span.start), is_substituted);
        return Err(source.error(span, problem));
    }
}

/// Refuses `[[telemetry]]` and `[[node.main]]`: serde would parse the items of such a list as the
/// values of a section's keys.
fn refuse_lists(source: &Source, table: &DeTable<'_>) -> Result<(), TopologyError> {
    let is_list = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Array(items) => {
            items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_)))
        }
        _ => false,
    };
    let refuse = |span: Range<usize>, section: String| {
        let message = format!(
            "section `{section}` is a list: expected `[{section}]`, with one pair of brackets"
        );
        Err(source.error(span, Problem::syntax(message)))
    };
    for (key, value) in table {
        let section = key.get_ref();
        if matches!(&**section, "bundle" | "telemetry" | "tls") {
            if is_list(value) {
                return refuse(key.span(), section.to_string());
            }
            continue;
        }
        // The other sections are tables of sections by name.
        let DeValue::Table(named) = value.get_ref() else { continue };
        if let Some((name, _)) = named.iter().find(|(_, value)| is_list(value)) {
            return refuse(name.span(), format!("{section}.{}", name.get_ref()));
        }
    }
    Ok(())
}

pub(crate) fn shifted(span: Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}
