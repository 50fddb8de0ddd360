//! Topics between two sides over real sockets: the guarantees for readers and publishers with each
//! policy when connections are lost, processes die, and hostile peers connect.
#![cfg(target_os = "linux")]
#![cfg(feature = "metrics")]

mod accounts;
mod admission;
mod arrival;
mod completed;
mod damage;
mod deaths;
mod defects;
mod ending;
pub(crate) mod harness;
mod hostile;
mod layouts;
mod limits;
mod lost;
#[cfg(target_pointer_width = "64")]
mod moves;
mod names;
mod other_users;
mod resumes;
