//! Reading topics over links, for `tap` and `record`: the command line (`args`), the nodes
//! (`find`), the text about an unknown name (`names`), signals (`interrupt`), and writing on a
//! thread of its own (`sink`). It uses only `shared`.

pub(crate) mod args;
pub(crate) mod find;
pub(crate) mod interrupt;
pub(crate) mod names;
pub(crate) mod sink;
