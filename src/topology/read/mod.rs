//! Reads a topology: `options` begins, `include` reads its files (`files`: their texts, for
//! others), `document` their tables and variables (`substitution`). `descriptions` reads what the
//! programs of nodes say of themselves, `parts` is the file as texts. A topology leaves here by
//! `Topology::load` and `Topology::parse`.

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
