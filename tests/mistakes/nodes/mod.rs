//! Programs whose node cannot be built or started, or has a loose end.

mod deadlock;
mod execution_of_whom;
mod file_not_found;
mod handler_of_whom;
mod no_publisher;
mod no_reader;
mod no_runtime;
mod no_services;
mod no_such_core;
mod not_send;
mod runtime_without_drivers;
mod thread_without_thread;
mod two_handlers;
mod two_ids;
mod two_names;
mod two_types;

use std::error::Error;

/// The programs.
pub(crate) const ALL: &[&str] = &[
    "deadlock",
    "execution_of_whom",
    "file_not_found",
    "handler_of_whom",
    "no_publisher",
    "no_reader",
    "no_runtime",
    "no_services",
    "no_such_core",
    "not_send",
    "runtime_without_drivers",
    "thread_without_thread",
    "two_handlers",
    "two_ids",
    "two_names",
    "two_types",
];

pub(crate) fn run(name: &str) -> Result<(), Box<dyn Error>> {
    match name {
        "deadlock" => deadlock::main(),
        "execution_of_whom" => execution_of_whom::main(),
        "file_not_found" => file_not_found::main(),
        "handler_of_whom" => handler_of_whom::main(),
        "no_publisher" => no_publisher::main(),
        "no_reader" => no_reader::main(),
        "no_runtime" => no_runtime::main(),
        "no_services" => no_services::main(),
        "no_such_core" => no_such_core::main(),
        "not_send" => not_send::main(),
        "runtime_without_drivers" => runtime_without_drivers::main(),
        "thread_without_thread" => thread_without_thread::main(),
        "two_handlers" => two_handlers::main(),
        "two_ids" => two_ids::main(),
        "two_names" => two_names::main(),
        "two_types" => two_types::main(),
        _ => Err(format!("no program `{name}`").into()),
    }
}
