//! Instructions an operation, counted by callgrind: the same on every run, where times are not.
//!
//! For each column the harness runs itself under valgrind, which counts nothing but what happens inside the loop in
//! question, and does so with two numbers of operations. The difference is what operations take; whatever a loop takes
//! once falls out.

use std::io::{self, ErrorKind};
use std::process::Command;

use crate::options::Options;
use crate::report::{InstructionTable, Instructions};
use crate::tables::Job;

/// What each table of one thread does, and the loop in which it does it.
const LOOPS: [(&str, &[(&str, &str)]); 8] = [
    ("emit", &[SEND, RECEIVE]),
    ("emit-receive", &[("send and receive", "exchange_batch")]),
    ("fan-out", &[SEND, RECEIVE]),
    ("encode", &[("encode", "encode_all")]),
    ("view", &[("view", "view_all")]),
    ("push", &[SEND, RECEIVE]),
    ("publish", &[SEND, RECEIVE]),
    ("publish-read", &[SEND, RECEIVE]),
];
const SEND: (&str, &str) = ("send", "send_batch");
const RECEIVE: (&str, &str) = ("receive", "receive_all");

/// Both are whole batches.
const OPERATIONS: [u64; 2] = [1_024, 5_120];
/// A quick run with one round has one more to warm up.
const ROUNDS: u64 = 2;

/// Counts for the columns of a table, or `None` if more than one thread is at work there.
pub(crate) fn count(job: &Job, options: &Options) -> Result<Option<InstructionTable>, Error> {
    let Job::Contest(contest) = job else { return Ok(None) };
    let Some((_, loops)) = LOOPS.iter().find(|(key, _)| *key == contest.key) else {
        return Ok(None);
    };
    let names = contest.columns.iter().map(|column| column.name());
    let rows = names.filter(|name| options.wants_column(name)).map(|name| {
        let counts = loops.iter().map(|(_, function)| {
            let [few, many] =
                OPERATIONS.map(|operations| collected(contest.key, name, function, operations));
            let (few, many) = (few?, many?);
            let operations = ROUNDS * (OPERATIONS[1] - OPERATIONS[0]);
            Ok(many.saturating_sub(few) as f64 / operations as f64)
        });
        Ok(Instructions { name, counts: counts.collect::<Result<_, Error>>()? })
    });
    Ok(Some(InstructionTable {
        key: contest.key,
        rows: rows.collect::<Result<_, Error>>()?,
        title: contest.title.clone(),
        loops: loops.iter().map(|(what, _)| *what).collect(),
    }))
}

/// How many instructions a run of one column takes inside the functions of that name.
fn collected(key: &str, column: &str, function: &str, operations: u64) -> Result<u64, Error> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{function}*"))
        .arg(std::env::current_exe().map_err(Error::Io)?)
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
        let said = [printed, String::from_utf8_lossy(&output.stdout)].concat();
        Error::Valgrind { column: column.to_owned(), said }
    })
}

/// Why there is no count.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no valgrind on this machine.
    NoValgrind,
    /// It, or the harness under it, failed.
    Valgrind {
        /// The column that was run.
        column: String,
        /// All that was printed.
        said: String,
    },
    /// The harness could not be run at all.
    Io(io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::NoValgrind => f.write_str(
                "instructions are counted by valgrind, which is not installed here (its package is called valgrind)",
            ),
            Error::Valgrind { column, said } => {
                write!(f, "valgrind gave no count for column `{column}`:\n{said}")
            }
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
