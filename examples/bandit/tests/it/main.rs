//! The tests of the application: its parts, and its program as users run it.

mod bundled;
mod describe;
mod end_to_end;
mod kills;
mod load;
mod observed;
mod program;
mod stores;
mod wss;
