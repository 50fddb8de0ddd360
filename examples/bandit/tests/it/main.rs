//! The tests of the application: its parts, and its program as users run it.

mod bundled;
mod common;
mod describe;
mod end_to_end;
mod feed;
mod kills;
mod observed;
mod oracle;
mod program;
mod socket;
