//! Timers for every adapter: [`PausedTime`] for tests, a timer that is set again
//! ([`DeadlineTimer`]), and growing pauses ([`Backoff`]).

mod backoff;
mod deadline;
mod paused;

pub use backoff::Backoff;
pub use deadline::DeadlineTimer;
pub use paused::PausedTime;
