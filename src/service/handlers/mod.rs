//! Handlers: functions of a service that get one message, alone (`handling`) or in a fixed order
//! (`routes`), and what they emit (`out`).

mod handling;
pub(crate) mod out;
pub(crate) mod routes;
