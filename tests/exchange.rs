//! Topics between two sides over real sockets: the guarantees for readers and publishers of all
//! policies when connections are lost, processes die, and hostile peers connect.
#![cfg(target_os = "linux")]
#![cfg(feature = "metrics")]

#[path = "exchange/accounts.rs"]
mod accounts;
#[path = "exchange/admission.rs"]
mod admission;
#[path = "exchange/arrival.rs"]
mod arrival;
#[path = "exchange/away.rs"]
mod away;
#[path = "exchange/bad_clients.rs"]
mod bad_clients;
#[cfg(feature = "tls")]
mod certificates;
#[path = "exchange/completed.rs"]
mod completed;
#[path = "exchange/damage.rs"]
mod damage;
#[path = "exchange/deaths.rs"]
mod deaths;
#[path = "exchange/defects/mod.rs"]
mod defects;
#[path = "exchange/ending.rs"]
mod ending;
#[path = "exchange/harness/mod.rs"]
mod harness;
#[path = "exchange/hostile.rs"]
mod hostile;
#[path = "exchange/layouts.rs"]
mod layouts;
#[path = "exchange/limits.rs"]
mod limits;
mod loopback;
#[path = "exchange/lost.rs"]
mod lost;
#[path = "exchange/names.rs"]
mod names;
#[path = "exchange/other_users.rs"]
mod other_users;
#[path = "exchange/resumes.rs"]
mod resumes;
#[path = "exchange/slowest.rs"]
mod slowest;
