//! Makes `docs/mistakes.md`: likely mistakes, and what their author sees.
//!
//! `messages`, `services`, `calls` and `actors` have programs that do not compile, `nodes`,
//! `ports`, `running` and `processes` programs that fail when they run, `topology` has wrong files
//! for the program in `shared`. Each file begins with a title and with what to write instead; the
//! rest is shown. `entry` reads these files, `compile` asks rustc about the first kind, `process`
//! runs the others as processes of their own, `page` writes the document.
//!
//! `cargo test --test mistakes` fails if the document has another text than rustc and the programs
//! print. `UPDATE_MISTAKES=1 cargo test --test mistakes` writes it; read the difference.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line program")]

mod compile;
mod entry;
mod nodes;
mod page;
mod ports;
mod process;
mod processes;
mod running;
mod shared;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use entry::{Entry, Kind};

/// The fewest mistakes that the document has.
const FEWEST: usize = 40;

/// The sections of the document: a directory, its title, how its entries are made.
const SECTIONS: &[(&str, &str, Kind)] = &[
    ("messages", "Messages", Kind::Compile),
    ("services", "Services", Kind::Compile),
    ("calls", "Calls", Kind::Compile),
    ("actors", "Actors", Kind::Compile),
    ("nodes", "Nodes", Kind::Program),
    ("ports", "Ports", Kind::Program),
    ("topology", "The topology file", Kind::Topology),
    ("running", "While it runs", Kind::Program),
    ("processes", "Several processes", Kind::Program),
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [word, section, name] = &*arguments
        && word == "mistake"
    {
        // As in a program of a user: the error that `main` returns is what is seen.
        process::end_if_stuck();
        return run(section, name).map(|()| ExitCode::SUCCESS);
    }
    Ok(check())
}

fn run(section: &str, name: &str) -> Result<(), Box<dyn Error>> {
    match section {
        "nodes" => nodes::run(name),
        "ports" => ports::run(name),
        "running" => running::run(name),
        "processes" => processes::run(name),
        _ => shared::main(),
    }
}

fn check() -> ExitCode {
    if cfg!(not(target_os = "linux")) {
        // The texts of other systems differ.
        println!("test result: ok. 0 passed; 0 failed; 1 ignored");
        return ExitCode::SUCCESS;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut entries = Vec::new();
    for (section, _, kind) in SECTIONS {
        entries.extend(entry::read(&root.join("tests/mistakes"), section, *kind));
    }
    let modules = [
        ("nodes", nodes::ALL),
        ("ports", ports::ALL),
        ("running", running::ALL),
        ("processes", processes::ALL),
    ];
    let mut problems = entry::unlisted(&entries, &modules);
    let omitted: Vec<_> = entries.extract_if(.., |entry| entry.is_none_here).collect();
    let omitted: Vec<_> = omitted.iter().map(|entry| &*entry.title).collect();
    if page::is_updated() && !omitted.is_empty() {
        println!(
            "error: the page is written by `cargo test -p mycelium`, without the feature otlp"
        );
        return ExitCode::FAILURE;
    }
    compile::observe(root, entries.iter_mut().filter(|entry| entry.kind == Kind::Compile));
    process::observe(entries.iter_mut().filter(|entry| entry.kind != Kind::Compile));
    if page::is_updated() {
        entries.iter_mut().for_each(|entry| entry.tighten(&root.join("tests/mistakes")));
    }
    problems.extend(entries.iter().filter_map(Entry::problem));
    let mut titles: Vec<_> = entries.iter().map(|entry| &*entry.title).collect();
    titles.sort_unstable();
    let twice = titles.windows(2).filter(|pair| pair[0] == pair[1]);
    problems.extend(twice.map(|pair| format!("two mistakes have the title `{}`", pair[0])));
    if entries.len() < FEWEST {
        problems.push(format!("{} mistakes: expected at least {FEWEST}", entries.len()));
    }
    let page = page::write(SECTIONS, &entries);
    problems.extend(page::compare(&root.join("docs/mistakes.md"), &page, &omitted));
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    let (passed, failed) = (entries.len().saturating_sub(problems.len()), problems.len());
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {result}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
