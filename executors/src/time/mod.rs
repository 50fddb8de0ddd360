//! Timers for every adapter: [`PausedTime`] for tests, a timer for deadlines that follow each other
//! ([`DeadlineTimer`]), and growing pauses ([`Backoff`]).

mod backoff;
mod deadline;
mod paused;

pub use backoff::Backoff;
pub use deadline::DeadlineTimer;
pub use paused::PausedTime;
