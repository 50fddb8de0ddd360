//! Runs each program with a mistake as a process of its own, in a directory of its own, and records
//! what it prints and how it ends.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, thread};

use crate::entry::{Entry, Seen};

/// A program that runs for longer is stuck.
const LIMIT: Duration = Duration::from_secs(60);
/// The number of processes at a time.
const WORKERS: usize = 4;

pub(crate) fn observe<'a>(entries: impl Iterator<Item = &'a mut Entry> + Send) {
    // The path is short: sockets lie there.
    let directory = env::temp_dir().join(format!("mistakes-{}", std::process::id()));
    let entries = Mutex::new(entries);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = entries.lock().expect("no worker panics").next();
                    let Some(entry) = next else { break };
                    entry.seen = run(entry, &directory.join(&entry.section).join(&entry.name));
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&directory);
}

/// In a process with a mistake: ends it if it is stuck.
pub(crate) fn end_if_stuck() {
    let (never, end): (_, Receiver<()>) = channel();
    thread::spawn(move || {
        let _ = end.recv_timeout(LIMIT);
        eprintln!("the program did not end within {LIMIT:?}");
        drop(never);
        std::process::exit(124);
    });
}

fn run(entry: &Entry, directory: &Path) -> Seen {
    fs::create_dir_all(directory).expect("a directory for temporary files");
    if let Some(topology) = &entry.topology {
        fs::write(directory.join("app.toml"), topology).expect("a writable directory");
    }
    let output = directory.join("output");
    let file = File::create(&output).expect("a writable directory");
    let mut command = Command::new(env::current_exe().expect("a program"));
    command.args(["mistake", &entry.section, &entry.name]).current_dir(directory);
    command.env("XDG_RUNTIME_DIR", directory).env("TMPDIR", directory);
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    command.stdout(file.try_clone().expect("a file")).stderr(file);
    let status = command.status().expect("a process");
    let text = fs::read_to_string(&output).expect("the output is UTF-8");
    let own = format!("mistakes::{}::{}::", entry.section, entry.name);
    let text = text.replace(&own, "app::").replace("mistakes::shared::", "app::");
    Seen { text: normalized(&text, directory), errors: 0, status: ended(status) }
}

fn ended(status: ExitStatus) -> String {
    status
        .code()
        .map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit code {code}"))
}

/// Without the parts that differ from one run or machine to another: directories, places in this
/// test, numbers of threads, measured times.
fn normalized(text: &str, directory: &Path) -> String {
    let text = text.replace(&directory.display().to_string(), "/run/user/1000");
    let mut lines: Vec<_> = text.lines().map(|text| without_times(&line(text))).collect();
    // How often these are printed depends on the time.
    lines.dedup_by(|line, before| line == before && line.contains("<time>"));
    lines.iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn line(line: &str) -> String {
    // A core that does not exist: the cores that do differ.
    if let Some((start, (_, end))) =
        line.split_once('[').and_then(|(start, rest)| Some((start, rest.split_once(']')?)))
        && line.contains("4000")
    {
        return format!("{start}[0, 1]{end}");
    }
    // `panic: no luck (at tests/mistakes/running/panics.rs:12:9)`
    if let Some((start, rest)) = line.split_once(" (at tests/mistakes/") {
        let end = rest.split_once(')').map_or("", |(_, end)| end);
        return format!("{start} (at src/main.rs:<place>){end}");
    }
    // `thread 'main' (4711) panicked at tests/mistakes/running/panics.rs:12:9:`
    let Some((thread, place)) = line.split_once(" panicked at ") else { return line.to_owned() };
    let thread = thread.split(" (").next().unwrap_or(thread);
    let file = place.split(':').next().unwrap_or(place);
    let file = if file.starts_with("tests/mistakes/") { "src/main.rs" } else { file };
    format!("{thread} panicked at {file}:")
}

/// Texts before a value that is measured or random, with the value that the page shows.
const VARYING: [(&str, &str); 3] =
    [("(pause=", "<time>"), ("next attempt in ", "<time>"), ("<time> (", "<number>")];

fn without_times(line: &str) -> String {
    let mut line = line.to_owned();
    for (before, shown) in VARYING {
        let Some(start) = line.find(before).map(|start| start + before.len()) else { continue };
        let value = &line[start..];
        if !value.starts_with(|letter: char| letter.is_ascii_digit()) {
            continue;
        }
        let end = value.find([')', ' ', ',']).unwrap_or(value.len());
        line = format!("{}{shown}{}", &line[..start], &value[end..]);
    }
    line
}
