//! Notices for the owner of a pusher.

use std::fmt;

use crate::otlp::notice::Collected;

/// The pushes since the last notice that the collector did not accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushNotice {
    /// The number of pushes that ended early because the collector could not be reached, did not
    /// answer in time, or failed.
    pub failed: u64,
    /// The number of pushes of which the collector refused a part.
    pub refused: u64,
    /// The last error. A collector may also send a warning about points that it accepted.
    pub error: Option<String>,
}

/// Formats the counts, without the error, in one line.
impl fmt::Display for PushNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.failed, self.refused) {
            (0, 0) => f.write_str("the collector has a warning"),
            (failed, 0) => write!(f, "pushes failed: {failed}; the next one has newer values"),
            (0, refused) => write!(f, "pushes refused, or parts of them: {refused}"),
            (failed, refused) => write!(
                f,
                "pushes failed: {failed}, refused: {refused}; the next one has newer values"
            ),
        }
    }
}

impl Collected for PushNotice {
    fn is_any(&self) -> bool {
        self.failed > 0 || self.refused > 0 || self.error.is_some()
    }
}
