//! The logs of nodes: their last lines, and their limit of size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::place::Place;
use crate::shared::output::{printable, shown};

/// The size from which a log begins again. What it had is kept until the next time, up to this
/// size.
pub const LIMIT: u64 = 16 << 20;

const LINES: usize = 10;
const BYTES: u64 = 4096;

/// The last lines of the log of a node, to be added to a message. Empty if there is no log.
pub fn tail(place: &Place, node: &str) -> String {
    let path = place.log(node);
    let Ok(bytes) = File::open(&path).and_then(end) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return String::new();
    }
    let last = lines[lines.len().saturating_sub(LINES)..].iter();
    let last: String = last.map(|line| format!("\n    {}", printable(line))).collect();
    format!("; the end of `{}`:{last}", shown(&path))
}

fn end(mut file: File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Begins the log of a node again if it has reached the limit. Its end is kept in `NODE.log.old`.
///
/// The process continues to write to the file: lines that it writes at this moment may be in
/// neither.
pub fn limit(place: &Place, node: &str) {
    let path = place.log(node);
    if fs::metadata(&path).is_ok_and(|file| file.len() >= LIMIT) {
        // Without room for a copy the lines are lost, and the log has room again.
        let kept = keep(&path, &place.old_log(node)).unwrap_or(0);
        let _ = OpenOptions::new().append(true).open(&path).and_then(|mut log| {
            let length = log.metadata()?.len();
            log.set_len(0)?;
            let old = shown(&place.old_log(node));
            let line =
                format!("mycelium: {length} bytes were here; the last {kept} are in `{old}`\n");
            log.write_all(line.as_bytes())
        });
    }
}

/// Copies the end of a log, up to the limit, and returns its size.
fn keep(path: &Path, old: &Path) -> io::Result<u64> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LIMIT)))?;
    let mut kept =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(old)?;
    io::copy(&mut log.take(LIMIT), &mut kept)
}
