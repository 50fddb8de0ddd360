//! The records of the processes of a run, in files of their own. All records have one size, and
//! each is written by a single write: a killed process leaves whole records, and at most one
//! partial record at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mycelium::Delivery;

/// The size of a record in bytes.
const SIZE: usize = 40;

/// One record of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The epoch of this start of the publisher.
    Epoch(u64),
    /// A message with this number was emitted.
    Sent(u64),
    /// A message was received: the start of its publisher and its number, both from its content;
    /// its sequence; whether its content is intact; whether it is marked as redelivered.
    Got { life: u64, number: u64, sequence: u64, whole: bool, again: bool },
    /// A gap was received.
    Gap { epoch: u64, count: u64, exact: bool },
    /// The process ends in order.
    End,
}

impl Record {
    fn fields(self) -> [u64; SIZE / 8] {
        match self {
            Record::Epoch(epoch) => [1, epoch, 0, 0, 0],
            Record::Sent(number) => [2, number, 0, 0, 0],
            Record::Got { life, number, sequence, whole, again } => {
                [3, life, number, sequence, u64::from(whole) | u64::from(again) << 1]
            }
            Record::Gap { epoch, count, exact } => [4, epoch, count, u64::from(exact), 0],
            Record::End => [5, 0, 0, 0, 0],
        }
    }

    fn parse(bytes: &[u8]) -> Record {
        let field = |index: usize| {
            let bytes = &bytes[index * 8..index * 8 + 8];
            u64::from_le_bytes(bytes.try_into().unwrap())
        };
        match field(0) {
            1 => Record::Epoch(field(1)),
            2 => Record::Sent(field(1)),
            3 => Record::Got {
                life: field(1),
                number: field(2),
                sequence: field(3),
                whole: field(4) & 1 == 1,
                again: field(4) & 2 == 2,
            },
            4 => Record::Gap { epoch: field(1), count: field(2), exact: field(3) == 1 },
            5 => Record::End,
            other => panic!("unknown kind of record {other}"),
        }
    }
}

/// Writes the records of a process to a file.
pub(crate) struct Log(File);

impl Log {
    pub(crate) fn open(path: &Path) -> io::Result<Log> {
        Ok(Log(OpenOptions::new().append(true).create(true).open(path)?))
    }

    pub(crate) fn put(&self, record: Record) -> io::Result<()> {
        (&self.0).write_all(record.fields().map(u64::to_le_bytes).as_flattened())
    }

    /// Records a delivery. `content` returns the content of a message.
    pub(crate) fn delivery<M>(
        &self,
        delivery: &Delivery<M>,
        content: impl Fn(&M) -> (u64, u64, bool),
    ) -> io::Result<()> {
        self.put(match delivery {
            Delivery::Msg(message) => {
                let (life, number, whole) = content(message);
                let (sequence, again) = (message.sequence(), message.redelivered());
                Record::Got { life, number, sequence, whole, again }
            }
            Delivery::Gap(gap) => {
                Record::Gap { epoch: gap.epoch, count: gap.count, exact: gap.exact() }
            }
        })
    }
}

/// Returns the record file of a start of a member, for one topic.
pub(crate) fn file(directory: &Path, member: &str, life: u64, topic: &str) -> PathBuf {
    directory.join(format!("{member}.{life}.{topic}"))
}

/// Returns the records of a file from an index on, and none if the file does not exist yet.
pub(crate) fn read(path: &Path, from: usize) -> Vec<Record> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("cannot read {}: {error}", path.display()),
    };
    bytes.chunks_exact(SIZE).skip(from).map(Record::parse).collect()
}
