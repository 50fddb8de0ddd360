//! Memory that processes share, and the control sockets on which they pass it. Peers are hostile:
//! they pass other descriptors, send other packets, and die.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]

mod connections;
mod defects;
mod hostile;
mod moved;
mod processes;
mod regions;
mod support;
mod wake_socket;
