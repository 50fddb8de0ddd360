//! `up`, `down` and `status` with real processes: this test program is run again as the nodes.
//!
//! Each test has its own runtime directory. At the end of a test, nothing may be left: no process,
//! no socket and no directory. `World` ends what still runs, and checks this.

mod changes;
mod faults;
mod files;
mod foreground;
mod mistakes;
mod other_users;
mod systemd;
