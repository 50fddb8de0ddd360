//! Time for every adapter: a [`Clock`] of the system, [`PausedTime`] for tests, timers that are set
//! again ([`DeadlineTimer`]), and growing pauses ([`Backoff`]).

mod backoff;
mod clock;
mod deadline;
mod paused;

pub use backoff::Backoff;
pub use clock::Clock;
pub use deadline::DeadlineTimer;
pub use paused::PausedTime;
