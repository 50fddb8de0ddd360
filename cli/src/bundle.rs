//! The nodes of a topology file as processes of this host: the common part of `up`, `down` and
//! `status`.
//!
//! A launcher is one process for one bundle. `place` is the directory in which the verbs find it,
//! `wire` their protocol, `client` the side of the verbs. `launcher` runs the `members`, `control`
//! serves requests, `plan` has the nodes of a file (`describe` and `flows`: their topics;
//! `concern`: the parts of the file that concern a node), `files` is what the members read of it,
//! `board` is the state that its threads share, `sign` the readiness that a process shows, `watch`
//! reports to `notify` and prints the `table` by the `printer`. `leftovers` are the processes of a
//! launcher that was killed, `logs` are the logs of nodes.

pub mod board;
pub mod client;
pub mod concern;
pub mod control;
pub mod describe;
pub mod files;
pub mod flows;
pub mod launcher;
pub mod leftovers;
pub mod logs;
pub mod members;
pub mod notify;
pub mod place;
pub mod plan;
pub mod printer;
pub mod sign;
pub mod table;
pub mod watch;
pub mod wire;
