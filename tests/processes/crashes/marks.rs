//! Marks: a small file for each service and topic, written before and after each step, which
//! survives the process. `chaos` reads the files to choose the moment of a kill, and to learn which
//! phase the kill hit.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The phase in which a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The process has not started on this topic yet.
    Start,
    /// A publisher pauses between two bursts.
    Rest,
    /// An emit has begun and has not returned.
    Emit,
    /// An emit has returned and is not recorded yet.
    Emitted,
    /// A publisher waits until all of its messages are confirmed.
    Confirming,
    /// All messages of a publisher are confirmed.
    Confirmed,
    /// A receive has begun and has not returned.
    Receive,
    /// A message is in flight: received, and not finished.
    InFlight,
    /// The reader has finished its message and has not begun the next receive, so the confirmation
    /// is on its way.
    Done,
}

impl Phase {
    pub(crate) const ALL: [Phase; 9] = [
        Phase::Start,
        Phase::Rest,
        Phase::Emit,
        Phase::Emitted,
        Phase::Confirming,
        Phase::Confirmed,
        Phase::Receive,
        Phase::InFlight,
        Phase::Done,
    ];

    /// Returns the phases of a publisher or of a reader.
    pub(crate) fn of(role: Role) -> &'static [Phase] {
        match role {
            Role::Publisher => &Phase::ALL[1..6],
            Role::Reader => &Phase::ALL[6..],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Reader,
}

/// A phase, and the number of messages that this start of a publisher knows to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) phase: Phase,
    pub(crate) confirmed: u64,
}

/// Writes the marks of a process to its file.
pub(crate) struct Marker(File);

impl Marker {
    pub(crate) fn open(path: &Path) -> io::Result<Marker> {
        Ok(Marker(OpenOptions::new().write(true).create(true).truncate(true).open(path)?))
    }

    pub(crate) fn is_at(&self, phase: Phase) -> io::Result<()> {
        self.0.write_all_at(&(phase as u64).to_le_bytes(), 0)
    }

    /// Records that all messages below this number are confirmed.
    pub(crate) fn confirmed(&self, before: u64) -> io::Result<()> {
        let mark = [Phase::Confirmed as u64, before].map(u64::to_le_bytes);
        self.0.write_all_at(mark.as_flattened(), 0)
    }
}

/// Returns the mark file of a start of a member, for one topic and role.
pub(crate) fn file(directory: &Path, member: &str, life: u64, topic: &str, role: Role) -> PathBuf {
    directory.join(format!("{member}.{life}.{topic}.{role:?}"))
}

/// Reads a mark file. Without the file, the process has not started.
pub(crate) fn read(path: &Path) -> Mark {
    Mark::of(File::open(path).ok().as_ref())
}

impl Mark {
    pub(crate) fn of(file: Option<&File>) -> Mark {
        let mut bytes = [0; 16];
        if let Some(file) = file {
            // The file has a count only after the first confirmation.
            _ = file.read_at(&mut bytes, 0);
        }
        let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let phase = Phase::ALL.into_iter().find(|phase| *phase as u64 == field(0));
        Mark { phase: phase.unwrap_or(Phase::Start), confirmed: field(8) }
    }
}
