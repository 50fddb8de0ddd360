//! A bundle from the side of `up`, `down` and `status`: the directory in which they find it
//! (`place`), the messages between them and its launcher (`wire`), the connection (`client`), the
//! processes that a launcher has left (`leftovers`), and the table of nodes (`table`). The process
//! that runs a bundle is in `launcher`, which uses this module; this module uses `shared` alone.

pub mod client;
pub mod leftovers;
pub mod place;
pub mod table;
pub mod wire;
