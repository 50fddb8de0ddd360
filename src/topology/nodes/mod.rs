//! The settings of nodes and of their services: where nodes run and listen (`hosts`, `socket`,
//! `tls`), how they are started (`command`) and reached (`reach`), which metrics and traces they
//! export (`telemetry`, `collectors`), how services run (`execution`, `supervisors`), and which
//! nodes may ask the `actors` of others. `features` compares the file with the features of the
//! program.

mod actors;
mod collectors;
#[cfg(feature = "topology")]
mod command;
mod execution;
mod features;
mod hosts;
#[cfg(feature = "topology")]
mod reach;
mod socket;
mod supervisors;
mod telemetry;
mod tls;

#[cfg(feature = "topology")]
pub use command::NodeCommand;
#[cfg(feature = "describe")]
pub(crate) use execution::KINDS;
#[cfg(feature = "describe")]
pub(crate) use features::own_features;
#[cfg(feature = "topology")]
pub use reach::ReachError;
#[cfg(feature = "topology")]
pub(super) use socket::{access, contradiction_of_mode};
