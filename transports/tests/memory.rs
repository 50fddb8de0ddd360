//! Memory that processes share, and the control sockets on which they pass it. Peers are hostile
//! here: they pass other descriptors, send other packets, and die.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]

#[path = "memory/connections.rs"]
mod connections;
#[path = "memory/defects.rs"]
mod defects;
#[path = "memory/hostile.rs"]
mod hostile;
#[path = "memory/moved.rs"]
mod moved;
#[path = "memory/processes.rs"]
mod processes;
#[path = "memory/regions.rs"]
mod regions;
#[path = "memory/support.rs"]
mod support;
#[path = "memory/wake_socket.rs"]
mod wake_socket;
