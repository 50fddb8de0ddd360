//! Instructions per operation, counted by callgrind. Unlike times they are the same on every run.
//!
//! For each column the harness runs itself under valgrind, which counts only inside the loop in
//! question, with two numbers of operations. The result is the difference, so the fixed cost of a
//! loop cancels out.

use std::io::{self, ErrorKind};
use std::process::Command;

use crate::harness::Contest;
use crate::options::Options;
use crate::report::{CountTable, Counted, Header};

/// The tables of one thread, with the names and the functions of their loops.
const LOOPS: [(&str, &[(&str, &str)]); 6] = [
    ("emit", &[SEND, RECEIVE]),
    ("emit-traces", &[SEND, RECEIVE]),
    ("encode", &[("instructions to encode", "encode_all")]),
    ("view", &[("instructions to view", "view_all")]),
    ("publish", &[SEND, RECEIVE]),
    ("publish-read", &[SEND, RECEIVE]),
];
const SEND: (&str, &str) = ("instructions to send", "send_batch");
const RECEIVE: (&str, &str) = ("instructions to receive", "receive_all");

/// Both are whole batches.
const OPERATIONS: [u64; 2] = [1_024, 5_120];
/// `--quick --rounds 1` also runs one round to warm up.
const ROUNDS: u64 = 2;

/// Counts for the columns of a table, or `None` if the table uses more than one thread.
pub(crate) fn count(contest: &Contest, options: &Options) -> Result<Option<CountTable>, Error> {
    let key = contest.header.key;
    let Some((_, loops)) = LOOPS.iter().find(|(known, _)| *known == key) else { return Ok(None) };
    let mut counts = Vec::new();
    for name in contest.columns.iter().map(|column| column.name) {
        for (what, function) in loops.iter().filter(|_| options.wants_column(name)) {
            let [few, many] =
                OPERATIONS.map(|operations| collected(key, name, function, operations));
            let operations = ROUNDS * (OPERATIONS[1] - OPERATIONS[0]);
            let value = many?.saturating_sub(few?) as f64 / operations as f64;
            counts.push(Counted { name, what, value, goal: None });
        }
    }
    let header = Header { point: Some("instructions".into()), ..contest.header.clone() };
    Ok(Some(CountTable { header, counts }))
}

/// The instructions that a run of one column executes inside the functions of this name.
fn collected(key: &str, column: &str, function: &str, operations: u64) -> Result<u64, Error> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{function}*"))
        .arg(std::env::current_exe()?)
        .args(["--quick", "--rounds", "1", "--only", key, "--column", column])
        .args(["--operations", &operations.to_string()])
        .output();
    let output = ran.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NoValgrind,
        _ => Error::Io(error),
    })?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let count = printed.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
    count.filter(|_| output.status.success()).ok_or_else(|| {
        let output = [printed, String::from_utf8_lossy(&output.stdout)].concat();
        Error::Valgrind { column: column.to_owned(), output }
    })
}

/// Instructions could not be counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// valgrind is missing.
    #[error("`--instructions` needs valgrind, which is not installed (package `valgrind`)")]
    NoValgrind,
    /// valgrind, or the harness under it, failed.
    #[error("valgrind gave no count for column `{column}`:\n{output}")]
    Valgrind {
        /// The column.
        column: String,
        /// The output of both.
        output: String,
    },
    /// The harness could not be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}
