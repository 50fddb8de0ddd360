//! The last lines of a log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::place::Place;
use crate::output::{printable, shown};

const LINES: usize = 10;
const BYTES: u64 = 4096;

/// The last lines of the log of a node, to be added to a message. Empty if there is no log.
#[must_use]
pub fn tail(place: &Place, node: &str) -> String {
    let path = place.log(node);
    let Ok(bytes) = File::open(&path).and_then(end) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let Some(last) = lines.len().checked_sub(LINES.min(lines.len())).map(|at| &lines[at..]) else {
        return String::new();
    };
    if last.is_empty() {
        return String::new();
    }
    let last: String = last.iter().map(|line| format!("\n    {}", printable(line))).collect();
    format!("; the end of `{}`:{last}", shown(&path))
}

fn end(mut file: File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
