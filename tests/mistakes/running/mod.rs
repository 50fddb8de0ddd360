//! Programs that fail while their services run.

mod blocks;
mod cannot_connect;
mod ends_early;
mod fails;
mod fails_for_good;
mod handler_of_its_own_topic;
mod ignores_the_shutdown;
mod never_takes;
mod panics;
mod rejected;
mod subscribes_in_the_loop;
mod subscribes_twice;
mod task_panics;
mod text_too_long;

use std::error::Error;

/// The programs.
pub(crate) const ALL: &[&str] = &[
    "blocks",
    "cannot_connect",
    "ends_early",
    "fails",
    "fails_for_good",
    "handler_of_its_own_topic",
    "ignores_the_shutdown",
    "never_takes",
    "panics",
    "rejected",
    "subscribes_in_the_loop",
    "subscribes_twice",
    "task_panics",
    "text_too_long",
];

pub(crate) fn run(name: &str) -> Result<(), Box<dyn Error>> {
    match name {
        "blocks" => blocks::main(),
        "cannot_connect" => cannot_connect::main(),
        "ends_early" => ends_early::main(),
        "fails" => fails::main(),
        "fails_for_good" => fails_for_good::main(),
        "handler_of_its_own_topic" => handler_of_its_own_topic::main(),
        "ignores_the_shutdown" => ignores_the_shutdown::main(),
        "never_takes" => never_takes::main(),
        "panics" => panics::main(),
        "rejected" => rejected::main(),
        "subscribes_in_the_loop" => subscribes_in_the_loop::main(),
        "subscribes_twice" => subscribes_twice::main(),
        "task_panics" => task_panics::main(),
        "text_too_long" => text_too_long::main(),
        _ => Err(format!("no program `{name}`").into()),
    }
}
