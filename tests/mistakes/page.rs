//! The document: it is written from the entries, and compared with the one in `docs`.

use std::path::Path;
use std::{env, fs};

use crate::entry::{Entry, Kind};

const TITLE: &str = "\
# Mistakes

What you see after a likely mistake, and what to write instead. `cargo test --test mistakes` makes
each of them and compares this page with what rustc and the program print; with `UPDATE_MISTAKES=1`
it writes this page. Find your error by a part of its text.

Compile errors have the lines of the code that is shown. After it come `use mycelium::*;`, a message
`Tick { price: u64 }` and an empty `main`.
";

/// The text before the sections of programs that run.
const PROGRAMS: &str = "\
The programs below use these messages and services. The text after each is its whole output without
a subscriber of `tracing`; times that differ from run to run are `<time>`.
";

const TOPOLOGIES: &str = "\
Each file is the `app.toml` of this program:
";

pub(crate) fn write(sections: &[(&str, &str, Kind)], entries: &[Entry]) -> String {
    let mut page = TITLE.to_owned();
    let (shared, main) = shared_code();
    for (section, title, kind) in sections {
        page.push_str(&format!("\n## {title}\n"));
        if *section == "nodes" {
            page.push_str(&format!("\n{PROGRAMS}\n```rust\n{shared}```\n"));
        }
        if *kind == Kind::Topology {
            page.push_str(&format!("\n{TOPOLOGIES}\n```rust\n{main}```\n"));
        }
        for entry in entries.iter().filter(|entry| entry.section == *section) {
            page.push_str(&text_of(entry));
        }
    }
    page
}

/// The messages and services of `shared.rs`, and its program.
fn shared_code() -> (String, String) {
    let text = include_str!("shared.rs").replace("pub(crate) ", "");
    let (_, shown) = text.split_once("// Shown.\n").expect("a mark");
    let (shared, main) = shown.split_once("// The program.\n").expect("a mark");
    (shared.trim().to_owned() + "\n", main.trim().to_owned() + "\n")
}

fn text_of(entry: &Entry) -> String {
    let mut text = format!("\n### {}\n", entry.title);
    if let Some(topology) = &entry.topology {
        text.push_str(&format!("\n```toml\n{topology}```\n"));
    }
    if !entry.code.is_empty() {
        text.push_str(&format!("\n```rust\n{}```\n", entry.code));
    }
    let seen = if entry.is_silent { "(nothing)" } else { entry.seen.text.trim_end() };
    text.push_str(&format!("\n```text\n{seen}\n```\n"));
    let count = match (entry.kind, entry.seen.errors) {
        (Kind::Compile, 1) => "One error".to_owned(),
        (Kind::Compile, 0) => "A warning, no error".to_owned(),
        (Kind::Compile, errors) => format!("{errors} errors"),
        _ => first_upper(&entry.seen.status),
    };
    text.push_str(&format!("\n{}\n", filled(&format!("{count}. **Instead:** {}", entry.advice))));
    text
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// A paragraph in lines of at most 100 columns.
fn filled(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one line at least");
        if line.chars().count() + 1 + word.chars().count() > 100 {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// Whether the page is to be written.
pub(crate) fn is_updated() -> bool {
    env::var_os("UPDATE_MISTAKES").is_some()
}

/// Writes the page if that is requested. Otherwise names the entries that differ. The page has not
/// those that are omitted.
pub(crate) fn compare(path: &Path, page: &str, omitted: &[&str]) -> Vec<String> {
    if is_updated() {
        fs::write(path, page).expect("a writable document");
        return Vec::new();
    }
    let old = fs::read_to_string(path).unwrap_or_default();
    let title = |part: &str| part.lines().next().unwrap_or_default().to_owned();
    let old = old.split("\n### ").filter(|part| !omitted.contains(&&*title(part)));
    let old = old.collect::<Vec<_>>().join("\n### ");
    if old == page {
        return Vec::new();
    }
    let titles = |text: &str| text.split("\n### ").map(title).collect::<Vec<_>>();
    let (old_parts, parts): (Vec<_>, Vec<_>) =
        (old.split("\n### ").collect(), page.split("\n### ").collect());
    let mut problems = Vec::new();
    let hint = "UPDATE_MISTAKES=1 cargo test --test mistakes writes the page";
    for part in &parts {
        let title = part.lines().next().unwrap_or_default();
        match old_parts.iter().find(|old| old.lines().next() == Some(title)) {
            Some(old) if old == part => {}
            Some(old) => problems
                .push(format!("docs/mistakes.md: {title}\n{}({hint})", difference(old, part))),
            None => problems.push(format!("docs/mistakes.md has no entry `{title}` ({hint})")),
        }
    }
    let gone = titles(&old).into_iter().filter(|title| !titles(page).contains(title));
    problems.extend(
        gone.map(|title| format!("docs/mistakes.md: no file makes the mistake `{title}` ({hint})")),
    );
    if problems.is_empty() {
        problems.push(format!("docs/mistakes.md has its entries in another order ({hint})"));
    }
    problems
}

/// The lines that differ, from the first to the last.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let same_end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(old, new)| old == new)
        .count();
    let removed = old[same..old.len() - same_end].iter().map(|line| format!("- {line}\n"));
    let added = new[same..new.len() - same_end].iter().map(|line| format!("+ {line}\n"));
    removed.chain(added).collect()
}
