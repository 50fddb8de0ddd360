//! A bundle as `up`, `down` and `status` see it: the directory in which they find it (`place`),
//! what they say to its launcher (`wire`) and how they reach it (`client`), the processes that a
//! launcher has left (`leftovers`), and the table of nodes (`table`). The process that runs a
//! bundle is in `launcher`, which uses this module; this module uses `shared` alone.

pub mod client;
pub mod leftovers;
pub mod place;
pub mod table;
pub mod wire;
