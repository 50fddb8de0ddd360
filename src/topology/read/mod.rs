//! Reads a topology. `options` is the entry point, `include` reads the files (`files` has their
//! texts, for nodes of a launcher), and `document` parses their tables and variables
//! (`substitution`). `descriptions` reads the descriptions of nodes' programs, and `parts` converts
//! the keys to texts. `Topology::load` and `Topology::parse` return the result.

mod descriptions;
mod document;
mod files;
mod include;
mod options;
mod parts;
mod substitution;

pub use files::TopologyFiles;
pub use options::TopologyOptions;
pub use parts::TopologyPart;
