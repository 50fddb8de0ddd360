//! The program as users run it: its lines while it runs, and the signals of an undisturbed run.

use std::{
    fs,
    io::{BufRead, BufReader, PipeReader},
    path::Path,
    process::Command,
    sync::mpsc::{Receiver, channel},
    thread,
};

/// Its lines, through a channel, so that waiting for them has a timeout.
pub(crate) fn lines(reader: PipeReader) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    lines
}

/// The file of signals of one process without faults.
pub(crate) fn undisturbed(directory: &Path) -> Vec<u8> {
    let signals = directory.join("undisturbed.jsonl");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bandit"));
    assert!(command.arg("--signals").arg(&signals).output().unwrap().status.success());
    let signals = fs::read(signals).unwrap();
    assert_eq!(signals.iter().filter(|byte| **byte == b'\n').count(), 51);
    signals
}
