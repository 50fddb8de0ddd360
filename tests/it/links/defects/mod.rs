//! Defects of an earlier system that this system must not have, under their old names: of peers,
//! links and the order of start. `core/tests/it/defects.rs` tests the defects of messages.

mod links;
mod peers;
