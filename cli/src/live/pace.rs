//! How often a command prints, and for how long.

use std::time::Duration;

use clap::Args;

use crate::shared::clock::{Waits, Wake, duration};
use crate::shared::exit::Failure;

/// How often, and for how long.
#[derive(Clone, Debug, Args)]
pub struct Pace {
    /// The time between two lines or tables, such as `500ms` or `2s`.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// Print once, and end.
    #[arg(long, conflicts_with = "time")]
    pub once: bool,
    /// End after this time. The counts are exact.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
}

impl Pace {
    /// Calls `print` at each interval with the time, until the end or a signal. The last call comes
    /// at the end, also if a signal is the cause.
    ///
    /// # Errors
    /// The errors of `print`.
    pub fn run(
        &self,
        waits: &Waits<()>,
        mut print: impl FnMut(Duration) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let end = self.time.map(|time| waits.clock.now() + time);
        let mut due = waits.clock.now() + self.interval;
        loop {
            let wake = waits.until(end.map_or(due, |end| end.min(due)));
            let now = waits.clock.now();
            print(now)?;
            let has_ended = end.is_some_and(|end| now >= end);
            if self.once || has_ended || wake == Wake::Interrupted {
                return Ok(());
            }
            while due <= now {
                due += self.interval;
            }
        }
    }
}
