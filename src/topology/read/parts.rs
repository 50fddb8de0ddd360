//! The parts of a topology as texts, to compare two versions of a file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The kinds of sections with names: `[node.main]` is a section of kind `node`.
const NAMED: [&str; 8] =
    ["host", "node", "service", "supervisor", "topic", "subscription", "link", "legacy"];

/// A key of a topology and its value, after includes and variables:
/// [`Topology::parts`](crate::Topology::parts).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct TopologyPart {
    /// The kind of the section with the key, such as `topic`.
    pub section: String,
    /// The name of the section, such as `swaps`. Empty for a section without a name, such as
    /// `[tls]`.
    pub name: String,
    /// The key, such as `capacity`.
    pub key: String,
    /// The value in a normal form: without comments, and with the keys of tables sorted.
    pub value: String,
}

/// Returns the parts of a table with the sections of a topology.
pub(crate) fn parts(table: &DeTable<'_>) -> Vec<TopologyPart> {
    let mut parts = Vec::new();
    for (section, value) in table {
        let (section, DeValue::Table(table)) = (section.get_ref(), value.get_ref()) else {
            continue;
        };
        if !NAMED.contains(&&**section) {
            parts.extend(of_section(section, "", table));
            continue;
        }
        for (name, value) in table {
            if let DeValue::Table(table) = value.get_ref() {
                parts.extend(of_section(section, name.get_ref(), table));
                if table.is_empty() {
                    let (section, name) = (section.to_string(), name.get_ref().to_string());
                    parts.push(TopologyPart { section, name, ..TopologyPart::default() });
                }
            }
        }
    }
    parts.sort();
    parts
}

fn of_section(section: &str, name: &str, table: &DeTable<'_>) -> Vec<TopologyPart> {
    let parts = table.iter().map(|(key, value)| TopologyPart {
        section: section.to_owned(),
        name: name.to_owned(),
        key: key.get_ref().to_string(),
        value: text(value.get_ref()),
    });
    parts.collect()
}

/// Returns a value in the normal form. Tables are nested as deeply as the TOML parser allows.
fn text(value: &DeValue<'_>) -> String {
    let all = |values: Vec<String>| values.join(", ");
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(is_set) => is_set.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            format!("[{}]", all(values.iter().map(|value| text(value.get_ref())).collect()))
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                format!("{key:?} = {}", text(value.get_ref()))
            };
            let mut entries: Vec<String> = table.iter().map(entry).collect();
            entries.sort();
            format!("{{{}}}", all(entries))
        }
    }
}
