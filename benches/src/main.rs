//! `cargo run --release -p mycelium-benches -- --help`

use std::process::ExitCode;

fn main() -> ExitCode {
    mycelium_benches::main(std::env::args().skip(1), &mut std::io::stdout())
}
