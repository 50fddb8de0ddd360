//! The nodes of a topology file as processes of this host: what `up`, `down` and `status` do.
//!
//! A launcher is one process for one bundle. `place` is the directory in which the verbs find it,
//! `wire` their protocol, `client` the side of the verbs. `launcher` runs the `members`,
//! `control` serves requests, `plan` is what a file asks for (`describe` and `flows`: who sends to
//! whom; `concern`: what a node depends on), `board` is what its threads share, `sign` what a
//! process shows of itself, `watch` reports to `notify` and prints the `table`. `leftovers` are the
//! processes of a launcher that was killed, `tail` is the end of a log.

pub mod board;
pub mod client;
pub mod concern;
pub mod control;
pub mod describe;
pub mod flows;
pub mod launcher;
pub mod leftovers;
pub mod members;
pub mod notify;
pub mod place;
pub mod plan;
pub mod sign;
pub mod table;
pub mod tail;
pub mod watch;
pub mod wire;
