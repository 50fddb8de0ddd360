//! Reads a topology. `options` begins, `include` reads its files (`files` has their texts, for
//! nodes of a launcher), and `document` reads their tables and variables (`substitution`).
//! `descriptions` reads the descriptions of nodes' programs, and `parts` makes texts of the keys. A
//! topology leaves here by `Topology::load` and `Topology::parse`.

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
