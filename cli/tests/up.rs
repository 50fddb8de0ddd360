//! `up`, `down` and `status` with real processes: this test program is run again as the nodes.
//!
//! Each test has a runtime directory of its own. At its end nothing may be left of it: no process,
//! no socket and no directory.
#![cfg(target_os = "linux")]

#[path = "up/changes.rs"]
mod changes;
#[path = "up/faults.rs"]
mod faults;
#[path = "up/files.rs"]
mod files;
#[path = "up/foreground.rs"]
mod foreground;
#[path = "up/mistakes.rs"]
mod mistakes;
#[path = "up/other_users.rs"]
mod other_users;
#[path = "up/roles.rs"]
mod roles;
#[path = "up/systemd.rs"]
mod systemd;
#[path = "up/world.rs"]
mod world;
