//! Recordings as the commands open and describe them.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mycelium_record::{ReadError, Totals};

use crate::shared::exit::Failure;
use crate::shared::output::{count, shown};

/// Opens a recording.
pub(super) fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path);
    let file = file.map_err(|error| Failure::Usage(format!("{}: {error}", shown(path))))?;
    Ok(BufReader::new(file))
}

/// Returns the failure of a file that cannot be read, or is damaged.
pub(super) fn unread(name: &str, error: &ReadError) -> Failure {
    let text = format!("{name}: {error}");
    match error {
        ReadError::Damaged { .. } => Failure::Found(text),
        ReadError::Input { .. } => Failure::Unavailable(text),
        _ => Failure::Usage(text),
    }
}

/// The sums of a recording.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) messages: u64,
    pub(super) topics: usize,
    pub(super) gaps: u64,
    pub(super) missed: u64,
    /// The number of publishers that were lost.
    pub(super) lost: usize,
}

impl Sums {
    pub(super) fn of(totals: &Totals) -> Sums {
        Sums {
            messages: totals.messages(),
            topics: totals.topics(),
            gaps: totals.gaps(),
            missed: totals.missed(),
            lost: totals.lost(),
        }
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sums { messages, topics, gaps, missed, lost } = *self;
        let (messages, gaps) = (count(messages, "message"), count(gaps, "gap"));
        write!(f, "{messages} of {}, {gaps}, {missed} missed", count(topics, "topic"))?;
        match lost {
            0 => Ok(()),
            _ => {
                write!(f, ", {} lost with an unknown number of messages", count(lost, "publisher"))
            }
        }
    }
}
