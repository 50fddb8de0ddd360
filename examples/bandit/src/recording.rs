//! A recorded day: one log per line, as JSON, gzipped or plain, in chain order. The text of each
//! log is kept unchanged, because a feed forwards it. Only the fields that the feed needs are
//! parsed: block, log index, time and address.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use crate::{
    chain::{Key, parse_address},
    rpc::parse_quantity,
};

/// The built-in day, compressed.
static EMBEDDED: &[u8] = include_bytes!("../data/usdc-weth-2024-01-05.jsonl.gz");
const EMBEDDED_NAME: &str = "usdc-weth-2024-01-05.jsonl.gz (embedded)";
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The limit of a line, far above any real log.
const LONGEST_LINE: u64 = 4 << 20;

/// One log of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedLog {
    /// The log as JSON, exactly as recorded.
    pub json: Box<str>,
    /// Its position in the chain.
    pub key: Key,
    /// Unix time of its block in seconds.
    pub timestamp: u64,
    /// The contract that wrote it.
    pub address: [u8; 20],
    /// Whether the log removes an earlier one.
    pub removed: bool,
}

/// A recorded day in memory, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    logs: Vec<RecordedLog>,
}

impl Recording {
    /// The built-in day.
    ///
    /// # Errors
    /// If the embedded file is damaged.
    pub fn embedded() -> Result<Self, RecordingError> {
        Self::read(Path::new(EMBEDDED_NAME), EMBEDDED)
    }

    /// Loads another recording, gzipped or plain.
    ///
    /// # Errors
    /// If the file cannot be read or a line is not a log; the error names file and line.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file = File::open(path)
            .map_err(|source| RecordingError::Unreadable { path: path.into(), source })?;
        Self::read(path, BufReader::new(file))
    }

    /// Reads a recording; `path` is only its name in errors.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn read(path: &Path, mut input: impl BufRead) -> Result<Self, RecordingError> {
        let unreadable = |source| RecordingError::Unreadable { path: path.into(), source };
        let start = input.fill_buf().map_err(unreadable)?;
        if start.starts_with(&GZIP_MAGIC) {
            Self::lines(path, BufReader::new(MultiGzDecoder::new(input)))
        } else {
            Self::lines(path, input)
        }
    }

    fn lines(path: &Path, mut input: impl BufRead) -> Result<Self, RecordingError> {
        let mut logs = Vec::new();
        let mut last = None;
        let mut text = String::new();
        for line in 1.. {
            let malformed =
                |reason: String| RecordingError::Malformed { path: path.into(), line, reason };
            text.clear();
            let read =
                (&mut input).take(LONGEST_LINE).read_line(&mut text).map_err(
                    |source| match source.kind() {
                        io::ErrorKind::InvalidData => malformed(source.to_string()),
                        _ => RecordingError::Unreadable { path: path.into(), source },
                    },
                )?;
            if read == 0 {
                break;
            }
            if read as u64 == LONGEST_LINE {
                return Err(malformed("the line is too long".into()));
            }
            if text.trim().is_empty() {
                continue;
            }
            let log = parse(text.trim()).map_err(malformed)?;
            if !log.removed {
                if last.is_some_and(|last| log.key <= last) {
                    return Err(malformed(format!("log {} is out of chain order", log.key)));
                }
                last = Some(log.key);
            } else if last.is_none_or(|last| log.key > last) {
                return Err(malformed(format!("removed log {} was never added", log.key)));
            }
            logs.push(log);
        }
        match last {
            Some(_) => Ok(Self { logs }),
            None => Err(RecordingError::Empty { path: path.into() }),
        }
    }

    /// The logs in the order in which a node sent them.
    #[must_use]
    pub fn logs(&self) -> &[RecordedLog] {
        &self.logs
    }

    /// The number of logs; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a recording is never empty")]
    pub fn len(&self) -> usize {
        self.logs.len()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    address: String,
    block_number: String,
    block_timestamp: String,
    log_index: String,
    #[serde(default)]
    removed: bool,
}

fn parse(json: &str) -> Result<RecordedLog, String> {
    let placed: Placed = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let quantity = |name: &str, text: &str| {
        parse_quantity(text).ok_or_else(|| format!("{name} {text:?} is not a hexadecimal quantity"))
    };
    Ok(RecordedLog {
        json: json.into(),
        key: Key {
            block: quantity("blockNumber", &placed.block_number)?,
            log_index: quantity("logIndex", &placed.log_index)?,
        },
        timestamp: quantity("blockTimestamp", &placed.block_timestamp)?,
        address: parse_address(&placed.address)
            .ok_or_else(|| format!("address {:?} is invalid", placed.address))?,
        removed: placed.removed,
    })
}

/// A recording cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened, read or decompressed.
    #[error("cannot read the recording {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line is not a log in chain order.
    #[error("{}:{line}: not a recorded log: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file contains no log.
    #[error("the recording {} contains no log", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(block: u64, index: u64) -> String {
        format!(
            r#"{{"address":"0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640","blockNumber":"{block:#x}","blockTimestamp":"0x1","logIndex":"{index:#x}"}}"#
        )
    }

    fn read(text: &str) -> Result<Recording, RecordingError> {
        Recording::read(Path::new("day"), text.as_bytes())
    }

    #[test]
    fn the_embedded_day_is_whole() {
        let day = Recording::embedded().unwrap();
        assert_eq!(day.len(), 6538);
        assert_eq!(day.logs()[0].key, Key { block: 18_937_382, log_index: 169 });
        assert_eq!(day.logs()[6537].key, Key { block: 18_944_480, log_index: 246 });
        assert!(day.logs().is_sorted_by_key(|log| log.timestamp));
    }

    #[test]
    fn a_plain_file_is_read_too() {
        let text = format!("{}\n\n{}", line(1, 1), line(1, 2));
        assert_eq!(read(&text).unwrap().len(), 2);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (bad, what) in [
            ("{".to_owned(), "EOF"),
            ("[]".to_owned(), "invalid length"),
            (line(1, 1).replace("0x1\"", "one\""), "not a hexadecimal quantity"),
            (line(1, 1).replace("0x88", "0xzz"), "is invalid"),
            (line(1, 1), "out of chain order"),
            (line(0, 9), "out of chain order"),
        ] {
            let error = read(&format!("{}\n{bad}\n", line(1, 1))).unwrap_err().to_string();
            assert!(error.starts_with("day:2: ") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn emptiness_and_absence_are_errors() {
        assert!(matches!(read("\n"), Err(RecordingError::Empty { .. })));
        let error = Recording::open(Path::new("/nowhere/day.gz")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/day.gz"));
        let cut = &EMBEDDED[..EMBEDDED.len() / 2];
        let error = Recording::read(Path::new("cut"), cut).unwrap_err();
        assert!(matches!(error, RecordingError::Unreadable { .. }), "{error}");
    }
}
