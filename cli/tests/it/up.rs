//! `up`, `down` and `status` with real processes: this test program is run again as the nodes.
//!
//! Each test has a runtime directory of its own. At its end nothing may be left of it: no process,
//! no socket and no directory. `World` ends what runs, and checks that.

mod changes;
mod faults;
mod files;
mod foreground;
mod mistakes;
mod other_users;
mod roles;
mod systemd;
mod world;
