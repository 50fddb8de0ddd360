//! A path in place of a topology.
//!
//! Write `Topology::load("app.toml")?`.

fn node() -> Builder {
    Node::builder("main").topology("app.toml")
}
