//! Every law of transports, on every executor and every pair of them, over every transport: prints the table, and fails
//! if a cell of it is broken or empty.
//!
//! `cargo test --test conformance -- <words>` tries the columns whose names contain one of the words.

#[cfg(unix)]
#[path = "conformance/columns.rs"]
mod columns;
#[cfg(unix)]
#[path = "conformance/subjects.rs"]
mod subjects;
#[cfg(unix)]
#[path = "conformance/table.rs"]
mod table;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use columns::columns;
    use table::Table;

    assert!(!Table::empty(columns()).is_whole(), "a table without cells is not whole");
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut chosen = columns();
    if !words.is_empty() {
        chosen.retain(|column| words.iter().any(|word| column.name().contains(word.as_str())));
    }
    let table = Table::fill(chosen);
    table.print();
    if table.is_whole() { 0.into() } else { 1.into() }
}

/// The laws are known on Unix alone.
#[cfg(not(unix))]
fn main() {}
