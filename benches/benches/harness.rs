//! `cargo bench -p mycelium-benches`: the full run. Without `--bench`, as under
//! `cargo test --benches`, the quick one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // A second `--quick` would be an error.
    let quick = !arguments.iter().any(|argument| argument == "--bench" || argument == "--quick");
    let quick = quick.then(|| "--quick".to_owned());
    mycelium_benches::main(quick.into_iter().chain(arguments), &mut std::io::stdout())
}
