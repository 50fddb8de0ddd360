//! Notices for the owner of a span exporter.

use std::fmt;

use crate::otlp::notice::Collected;

/// Dropped spans and errors since the last notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// The number of spans that were dropped because the queue was full.
    pub dropped_full: u64,
    /// The number of spans in batches that could not be sent in time, or for which the collector
    /// failed.
    pub dropped_failed: u64,
    /// The number of spans that the collector refused.
    pub dropped_refused: u64,
    /// The number of failed requests.
    pub errors: u64,
    /// The last error.
    pub error: Option<String>,
}

impl Notice {
    /// Returns the number of dropped spans.
    pub fn dropped(&self) -> u64 {
        self.dropped_full + self.dropped_failed + self.dropped_refused
    }
}

/// Formats the counts, without the error, in one line.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dropped() {
            0 => f.write_str("spans could not be sent, and are sent again")?,
            dropped => write!(f, "{dropped} spans were dropped")?,
        }
        if self.dropped_full > 0 {
            f.write_str(
                "; the queue was full: record a smaller share of the traces, or see why the \
                 collector is slow",
            )?;
        }
        Ok(())
    }
}

impl Collected for Notice {
    fn is_any(&self) -> bool {
        self.errors > 0 || self.dropped() > 0
    }
}
