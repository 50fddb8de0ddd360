//! Programs of several processes.

mod open_directory;
mod publisher_never_starts;
mod reader_never_starts;
mod same_node_twice;

use std::error::Error;

/// The programs.
pub(crate) const ALL: &[&str] =
    &["open_directory", "publisher_never_starts", "reader_never_starts", "same_node_twice"];

pub(crate) fn run(name: &str) -> Result<(), Box<dyn Error>> {
    match name {
        "open_directory" => open_directory::main(),
        "publisher_never_starts" => publisher_never_starts::main(),
        "reader_never_starts" => reader_never_starts::main(),
        "same_node_twice" => same_node_twice::main(),
        _ => Err(format!("no program `{name}`").into()),
    }
}
