//! Parts shared by the commands: the end of a run (`exit`), tables and other output (`output`), the
//! abilities of the terminal (`terminal`), and time, waits and signals (`clock`). It uses no other
//! module of this crate.

pub mod clock;
pub mod exit;
pub mod output;
pub mod terminal;
