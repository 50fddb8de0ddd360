//! Defects of an earlier system that this one must not have, under their names there: of peers,
//! links and the order of start. `core/tests/it/defects.rs` has those of messages.

mod links;
mod peers;
