//! Why a service cannot have a metric.

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

/// A metric cannot be registered. A service that returns this error is not restarted: the same call
/// would fail again.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The name is not valid for a metric.
    #[error(
        "invalid name of a metric `{}`: expected a letter or `_`, and then letters, digits, `_`, \
         `.` and `:` [{code}]",
        name.escape_debug(),
        code = self.code()
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The key is not valid for a label, is the key of another label of the metric, or is one that
    /// the node sets.
    #[error(
        "metric `{name}`: invalid key of a label `{}`: expected a letter or `_`, and then letters, \
         digits and `_`, once, and not `service`, `metric` or `first` [{code}]",
        key.escape_debug(),
        code = self.code()
    )]
    Key {
        /// The metric.
        name: String,
        /// The key.
        key: String,
    },
    /// The value is not valid for a label.
    #[error(
        "metric `{name}`: invalid value of the label `{key}`, `{}`: expected a text without white \
         space, `=` and control characters [{code}]",
        value.escape_debug(),
        code = self.code()
    )]
    Value {
        /// The metric.
        name: String,
        /// The key of the label.
        key: String,
        /// The value.
        value: String,
    },
    /// The names of the service and the metric, and the labels, are too long together.
    #[error(
        "`{label}` has {} bytes: expected at most {most}; use shorter names [{code}]", label.len(),
        code = self.code()
    )]
    TooLong {
        /// The names and labels, as one text.
        label: String,
        /// The most bytes that are allowed.
        most: usize,
    },
    /// A metric of this name has another kind.
    #[error(
        "metric `{name}` is a {kind}, and cannot also be a {asked}: use another name [{code}]",
        code = self.code()
    )]
    Kind {
        /// The name.
        name: String,
        /// The kind of the metric: `counter`, `gauge` or `histogram`.
        kind: &'static str,
        /// The requested kind.
        asked: &'static str,
    },
    /// The service has as many handles as it may have.
    #[error(
        "service `{service}` has {most} handles of metrics: keep a handle instead of making it \
         again, and use fewer labels [{code}]",
        code = self.code()
    )]
    TooMany {
        /// The service.
        service: String,
        /// The most handles that a service may have.
        most: usize,
    },
}

debug_as_display!(MetricError);

impl MetricError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            MetricError::Name { .. } => Code::METRIC_NAME,
            MetricError::Key { .. } => Code::METRIC_LABEL,
            MetricError::Value { .. } => Code::METRIC_VALUE,
            MetricError::TooLong { .. } => Code::METRIC_TOO_LONG,
            MetricError::Kind { .. } => Code::METRIC_KIND,
            MetricError::TooMany { .. } => Code::METRIC_HANDLES,
        }
    }
}
