//! A line of counters as the tool sees it: names and numbers, whose meaning is in the line itself.

use std::sync::Arc;

/// One line of the counters of a node. Lines of nodes of another version may have kinds and values
/// that this tool does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The name of its kind, such as `publisher`.
    pub kind: Arc<str>,
    /// Its parts are `key=value`, with spaces between them.
    pub label: String,
    /// The names of its values.
    pub names: Arc<[String]>,
    /// Its values, in the order of the names.
    pub values: Vec<u64>,
}

impl Line {
    /// The value with this name, if lines of its kind have it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        let index = self.names.iter().position(|known| known == name)?;
        self.values.get(index).copied()
    }

    /// The value with this name, or 0.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.value(name).unwrap_or(0)
    }

    /// The part of the label with this key, or an empty text.
    #[must_use]
    pub fn part(&self, key: &str) -> &str {
        let parts = self.label.split(' ').filter_map(|part| part.split_once('='));
        parts.into_iter().find(|(found, _)| *found == key).map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::Line;

    /// A line with these values.
    pub(in crate::live) fn line(kind: &str, label: &str, values: &[(&str, u64)]) -> Line {
        Line {
            kind: kind.into(),
            label: label.to_owned(),
            names: values.iter().map(|(name, _)| (*name).to_owned()).collect(),
            values: values.iter().map(|(_, value)| *value).collect(),
        }
    }

    #[test]
    fn what_a_line_does_not_have_is_nothing() {
        let line = line("publisher", "topic=ticks publisher=Feed", &[("sent", 7)]);
        assert_eq!(
            (line.value("sent"), line.value("waited"), line.count("waited")),
            (Some(7), None, 0)
        );
        assert_eq!((line.part("publisher"), line.part("reader")), ("Feed", ""));
    }
}
