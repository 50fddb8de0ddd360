//! Runs every law on every executor, every pair of executors and every transport. Prints a table,
//! and fails if a law is broken or a cell is empty. `cargo test --test conformance -- <words>` runs
//! the columns whose names contain one of the words.

#[cfg(all(unix, feature = "tls"))]
mod certificates;
#[cfg(unix)]
#[path = "conformance/columns.rs"]
mod columns;
#[cfg(unix)]
#[path = "conformance/subjects.rs"]
mod subjects;
#[cfg(unix)]
#[path = "conformance/table.rs"]
mod table;
#[cfg(all(unix, feature = "tls"))]
#[path = "conformance/tls.rs"]
mod tls;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use columns::columns;
    use table::Table;

    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut chosen = columns();
    if !words.is_empty() {
        chosen.retain(|column| words.iter().any(|word| column.name().contains(word.as_str())));
    }
    let table = Table::fill(chosen);
    #[cfg(feature = "tls")]
    tls::clean();
    table.print();
    if table.is_complete() { 0.into() } else { 1.into() }
}

/// The laws exist on Unix only.
#[cfg(not(unix))]
fn main() {}
