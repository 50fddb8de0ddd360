//! Handlers: functions of a service that get one message, alone (`handling`) or in a fixed order
//! (`routes`). They emit by an `Out` (`out`).

mod handling;
pub(crate) mod out;
pub(crate) mod routes;
