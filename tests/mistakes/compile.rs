//! Asks rustc about all mistakes at compile time: one project with a program for each, checked by
//! one `cargo check` without a network.
//!
//! The shown code is the beginning of its program, so that rustc's line numbers are those of the
//! document; imports and the messages that it uses follow. Lines of the library have no numbers
//! here: they change with each edit.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use serde_json::Value;

use crate::entry::{Entry, Seen};

/// The code after the shown one.
const REST: &str = "
use mycelium::*;
use mycelium_tokio::Tokio;
";

/// Follows too, unless the code has its own.
const TICK: &str = r#"
#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}
"#;

pub(crate) fn observe<'a>(root: &Path, entries: impl Iterator<Item = &'a mut Entry>) {
    let mut entries: Vec<_> = entries.collect();
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistakes");
    write_project(root, &project, &entries);
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--offline", "--keep-going", "--bins", "--message-format=json"])
        .args(["--target-dir", "target"])
        .current_dir(&project)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_INCREMENTAL", "0")
        .stderr(Stdio::piped())
        .output()
        .expect("cargo can be started");
    let text = String::from_utf8(output.stdout).expect("cargo's output is UTF-8");
    let mut observed = 0;
    for line in text.lines() {
        let message: Value = serde_json::from_str(line).expect("cargo prints JSON");
        let of = message["target"]["name"].as_str().unwrap_or_default();
        let found = entries.iter_mut().find(|entry| program(entry) == of);
        if let (Some(entry), "compiler-message") =
            (found, message["reason"].as_str().unwrap_or_default())
        {
            add(&mut entry.seen, root, &format!("src/bin/{of}.rs"), &message["message"]);
            observed += 1;
        }
    }
    assert!(observed > 0, "cargo checked no program:\n{}", String::from_utf8_lossy(&output.stderr));
}

fn program(entry: &Entry) -> String {
    format!("{}_{}", entry.section, entry.name)
}

/// Writes what has changed: cargo checks the same files once only.
fn write_project(root: &Path, project: &Path, entries: &[&mut Entry]) {
    let root_text = root.display();
    let manifest = format!(
        "[package]\nname = \"mistakes\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\nmycelium = {{ path = \"{root_text}\" }}\n\
         mycelium-tokio = {{ path = \"{root_text}/executors/tokio\" }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         [lints.rust]\ndead_code = \"allow\"\nunused_imports = \"allow\"\nunused_variables = \"allow\"\n\n\
         [workspace]\n"
    );
    let programs = project.join("src/bin");
    fs::create_dir_all(&programs).expect("the target directory is writable");
    write(&project.join("Cargo.toml"), &manifest);
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("a lock file");
    if !project.join("Cargo.lock").exists() {
        write(&project.join("Cargo.lock"), &lock);
    }
    let mut names = Vec::new();
    for entry in entries {
        let main = if entry.code.contains("fn main(") { "" } else { "fn main() {}\n" };
        let tick = if entry.code.contains("struct Tick ") { "" } else { TICK };
        let name = program(entry) + ".rs";
        write(&programs.join(&name), &format!("{}{REST}{tick}{main}", entry.code));
        names.push(name);
    }
    for file in fs::read_dir(&programs).expect("the directory of programs").flatten() {
        if !names.iter().any(|name| file.file_name() == name.as_str()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("the target directory is writable");
}

/// Adds a message of rustc.
fn add(seen: &mut Seen, root: &Path, program: &str, message: &Value) {
    let (level, rendered) =
        (message["level"].as_str(), message["rendered"].as_str().unwrap_or_default());
    let summary = rendered.starts_with("error: aborting due to")
        || rendered.starts_with("For more information");
    let counts = rendered.contains(" emitted\n") && rendered.starts_with("warning: ");
    if summary || counts || level == Some("failure-note") {
        return;
    }
    seen.errors += usize::from(level == Some("error"));
    if !seen.text.is_empty() {
        seen.text.push('\n');
    }
    seen.text.push_str(&normalized(rendered, &root.display().to_string(), program));
}

/// Without paths of this machine, and without line numbers of other files.
fn normalized(rendered: &str, root: &str, program: &str) -> String {
    let text = rendered.replace(program, "src/main.rs").replace(&format!("{root}/"), "mycelium/");
    let text: Vec<_> = text.lines().map(without_registry).collect();
    let text = text.join("\n");
    let mut foreign = false;
    let mut width = 1;
    let mut lines = Vec::new();
    for line in text.trim_end().lines() {
        let Line { number, mark } = Line::new(line);
        if let Some(place) = mark.strip_prefix("--> ").or_else(|| mark.strip_prefix("::: ")) {
            foreign = !place.starts_with("src/main.rs:");
        }
        if line.starts_with(|first: char| first.is_ascii_lowercase()) {
            // Another note of the same message.
            foreign = false;
        }
        if !foreign {
            width = width.max(number.len());
        }
        lines.push((line, foreign));
    }
    let lines = lines.into_iter().map(|(line, foreign)| with_width(line, foreign, width));
    let lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
    sorted(&lines).join("\n") + "\n"
}

/// One note about several files of the library names them in the order in which they were loaded,
/// which differs from one directory to another. Here they are in the order of their names.
fn sorted(lines: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        if !line.trim_start().starts_with("--> mycelium/") {
            out.push(line.clone());
            rest = after;
            continue;
        }
        let has_margin = |line: &&String| line.trim_start().starts_with(['|', ':']);
        let length = 1 + after.iter().take_while(has_margin).count();
        let (note, others) = rest.split_at(length);
        let text = note.join("\n").replacen("--> ", "::: ", 1);
        let margin = &line[..line.len() - line.trim_start().len()];
        let mut parts: Vec<&str> = text.split(&format!("{margin}::: ")).skip(1).collect();
        parts.sort_unstable();
        let (bar, between) = (format!("\n{margin} |"), format!("\n{margin} |\n{margin}::: "));
        let parts: Vec<_> =
            parts.iter().map(|part| part.trim_end().trim_end_matches(&bar)).collect();
        out.push(format!("{margin}--> {}", parts.join(&between)));
        rest = others;
    }
    out
}

/// Files of other crates: without the directory in which cargo keeps them.
fn without_registry(line: &str) -> String {
    let Some((margin, path)) = line.split_once("--> /") else { return line.to_owned() };
    let place = path.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    let place = place.or_else(|| path.strip_prefix("rustc/")?.split_once('/'));
    place.map_or_else(|| line.to_owned(), |(_, file)| format!("{margin}--> {file}"))
}

/// A line of rustc that has a margin: `12 | code`, `   = note`, `  --> file`.
struct Line<'a> {
    number: &'a str,
    /// The rest of the line; empty if it has no margin.
    mark: &'a str,
}

impl<'a> Line<'a> {
    fn new(line: &'a str) -> Line<'a> {
        let start = line.trim_start();
        let digits = start.find(|c: char| !c.is_ascii_digit()).unwrap_or(start.len());
        let (number, rest) = start.split_at(digits);
        let mark = rest.trim_start();
        let has_margin = ["|", "= ", "--> ", "::: "].iter().any(|sign| mark.starts_with(sign))
            || (!number.is_empty() && ["+ ", "- ", "~ "].iter().any(|sign| mark.starts_with(sign)));
        if has_margin { Line { number, mark } } else { Line { number: "", mark: "" } }
    }
}

fn with_width(line: &str, foreign: bool, width: usize) -> String {
    let Line { number, mark } = Line::new(line);
    if mark.is_empty() {
        return line.to_owned();
    }
    if let Some(arrow) = mark.get(..4).filter(|arrow| ["--> ", "::: "].contains(arrow)) {
        let place = &mark[4..];
        let place = if foreign { place.split(':').next().unwrap_or(place) } else { place };
        return format!("{:width$}{arrow}{place}", "");
    }
    let number = if foreign { "" } else { number };
    format!("{number:<width$} {mark}")
}
