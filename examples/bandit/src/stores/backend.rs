//! What each store implements, and how it fails.

use std::time::Duration;

use crate::metadata::{Row, VERSION};

/// The timeout of a connection to a server, with its log-in.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait for a connection of the pool.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) const WAIT_WITHIN: Duration = Duration::from_secs(1);
/// The timeout of a query, and of a lock of another process.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The connections to a server, and the lookups at the same time.
pub(super) const CONNECTIONS: usize = 2;
/// The most rows that are read at once; the cache has as many pools.
pub(super) const MOST_POOLS: usize = 1024;
/// The most characters of the reason of an error.
const LONGEST_REASON: usize = 200;

/// A store on its own thread.
pub(super) trait Backend {
    /// Returns the row of an address, if there is one, or the first rows by address, at most
    /// [`MOST_POOLS`] and one more. A new store is filled before.
    async fn rows(&self, address: Option<&str>) -> Result<Vec<Row>, StoreError>;
}

/// A store has not answered.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or its answer took too long: another attempt may succeed.
    #[error("it is away: {0}")]
    Away(String),
    /// It refuses, or has another form: another attempt does not help.
    #[error("it cannot be used: {0}")]
    Unusable(String),
    /// A newer program has changed it.
    #[error("it has version {0}, and this program knows versions up to {VERSION}")]
    Newer(String),
}

impl StoreError {
    pub(super) fn away(reason: impl ToString) -> Self {
        Self::Away(shortened(reason))
    }

    pub(super) fn unusable(reason: impl ToString) -> Self {
        Self::Unusable(shortened(reason))
    }

    pub(super) fn newer(version: impl ToString) -> Self {
        Self::Newer(shortened(version))
    }
}

/// The text of an error with its causes, which some drivers leave out.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// A server chooses some of these texts.
fn shortened(text: impl ToString) -> String {
    text.to_string().chars().take(LONGEST_REASON).collect()
}
