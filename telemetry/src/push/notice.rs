//! Notices for the owner of a pusher.

use std::fmt;

use crate::otlp::notice::Collected;

/// Pushes that the collector did not take, since the last notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushNotice {
    /// Pushes that ended early: the collector could not be reached, did not answer in time, or
    /// failed itself.
    pub failed: u64,
    /// Pushes of which the collector refused a part.
    pub refused: u64,
    /// The last error. A collector may also warn of points that it took.
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
