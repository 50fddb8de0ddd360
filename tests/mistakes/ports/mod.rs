//! Programs whose ports have no topic, or a wrong one.

mod another_type;
mod bind_to_whom;
mod no_publisher;
mod no_such_port;
mod policy_by_topic;
mod topic_with_space;
mod unbound;

use std::error::Error;

/// The programs.
pub(crate) const ALL: &[&str] = &[
    "another_type",
    "bind_to_whom",
    "no_publisher",
    "no_such_port",
    "policy_by_topic",
    "topic_with_space",
    "unbound",
];

pub(crate) fn run(name: &str) -> Result<(), Box<dyn Error>> {
    match name {
        "another_type" => another_type::main(),
        "bind_to_whom" => bind_to_whom::main(),
        "no_publisher" => no_publisher::main(),
        "no_such_port" => no_such_port::main(),
        "policy_by_topic" => policy_by_topic::main(),
        "topic_with_space" => topic_with_space::main(),
        "unbound" => unbound::main(),
        _ => Err(format!("no program `{name}`").into()),
    }
}
