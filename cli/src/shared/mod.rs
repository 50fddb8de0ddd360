//! Parts shared by the commands: the end of a run (`exit`), tables and other output (`output`), the
//! abilities of the terminal (`terminal`), time, waits and signals (`clock`), sizes (`size`),
//! programs that run to their ends (`program`), and those of a topology with their descriptions
//! (`describe`). It uses no other module of this crate.

pub mod clock;
pub mod describe;
pub mod exit;
pub mod output;
pub mod program;
pub mod size;
pub mod terminal;
