//! Handlers: functions of a service that get one message, singly (`handling`) or in a fixed order
//! (`routes`). They emit through an `Out` (`out`).

mod handling;
pub(crate) mod out;
pub(crate) mod routes;
