//! Signals as JSON lines: one object per line, with exact numbers. After each line the writer
//! returns the committed length of the file. A service that saves it and resumes from it after a
//! failure writes the same file as an undisturbed run. Every call blocks.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    files::FileError,
    messages::{Key, Signal},
};

/// What could not be done, in the texts of errors.
const WRITE: &str = "write the file of signals";

/// The committed part of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The length of the complete lines, in bytes.
    bytes: u64,
    /// The swap of the last signal in these lines, or the position before that of a retraction.
    last: Option<Key>,
}

/// A file of signals.
#[derive(Debug)]
pub struct SignalFile {
    file: File,
    path: PathBuf,
    committed: Committed,
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    key: Key,
    pools: Vec<Address>,
    prices: Vec<f64>,
    gap: f64,
}

/// Takes back the signals from a position on.
#[derive(Serialize)]
struct Retraction {
    #[serde(flatten)]
    key: Key,
    retracts: bool,
}

impl SignalFile {
    /// Checks that the file can be written, and creates it if it is not there. No other run can
    /// write it while the returned file is open.
    ///
    /// # Errors
    /// If it cannot be written, or another run writes it.
    pub fn reserve(path: &Path) -> Result<File, FileError> {
        let reserve = || {
            // To open a pipe waits for its reader, and a service that is restarted cannot truncate
            // it.
            if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
                let text = "it is a pipe: expected a file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => Err(io::Error::other("another run writes it")),
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(file),
            }
        };
        reserve().map_err(FileError::of(WRITE, path))
    }

    /// Opens the file to continue after the committed part, and truncates the rest of it. Without a
    /// committed part, creates an empty file, which replaces an old one.
    ///
    /// # Errors
    /// If the file cannot be opened or is shorter than the committed part.
    pub fn open(path: &Path, committed: Option<Committed>) -> Result<Self, FileError> {
        let open = || {
            let Some(Committed { bytes, .. }) = committed else { return File::create(path) };
            // Not `append`, which would leave an incomplete line.
            let mut file = OpenOptions::new().write(true).open(path)?;
            let length = file.metadata()?.len();
            if length < bytes {
                let lost = format!("{} of {bytes} bytes are missing", bytes - length);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, lost));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(file)
        };
        let file = open().map_err(FileError::of(WRITE, path))?;
        Ok(Self { file, path: path.into(), committed: committed.unwrap_or_default() })
    }

    /// Writes a signal, if its swap is later than the last one, or a retraction, unless it is later
    /// than all lines. Returns the committed part.
    ///
    /// # Errors
    /// If the line cannot be written completely; then it is not committed.
    pub fn append(&mut self, signal: &Signal) -> Result<Committed, FileError> {
        let &Signal { key, gap, legs, retracts, .. } = signal;
        if self.committed.last.is_some_and(|last| key <= last) != retracts {
            return Ok(self.committed);
        }
        let write = |file: &mut File| -> io::Result<u64> {
            let line = match retracts {
                true => serde_json::to_string(&Retraction { key, retracts })?,
                false => {
                    let pools = legs.iter().map(|leg| leg.pool.into()).collect();
                    let prices = legs.iter().map(|leg| leg.price).collect();
                    serde_json::to_string(&Line { key, pools, prices, gap })?
                }
            } + "\n";
            file.write_all(line.as_bytes())?;
            Ok(line.len() as u64)
        };
        let bytes = write(&mut self.file).map_err(|error| {
            // Remove the incomplete line. If that fails too, the first error is reported.
            let _ = self.file.set_len(self.committed.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.committed.bytes));
            FileError::of(WRITE, &self.path)(error)
        })?;
        let last = Some(if retracts { key.before() } else { key });
        self.committed = Committed { bytes: self.committed.bytes + bytes, last };
        Ok(self.committed)
    }

    /// The committed part.
    pub fn committed(&self) -> Committed {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use mycelium::fields::FixedVec;

    use super::*;
    use crate::messages::Leg;

    fn signal(log_index: u64) -> Signal {
        let key = Key { block: 18_937_382, log_index };
        let leg = |(pool, price)| Leg {
            price,
            liquidity: 1.0,
            fee_millionths: 500,
            pool: [pool; 20],
            token0: [1; 20],
            token1: [2; 20],
        };
        let legs = [(0x88, 0.1 + 0.2), (0x8a, 1.0 / 3.0)].map(leg);
        let legs = FixedVec::from_slice(&legs).unwrap();
        Signal::new(key, 0.003_500_000_000_000_001, legs, false)
    }

    #[test]
    fn a_line_is_json_with_exact_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signals.jsonl");
        let _reserved = SignalFile::reserve(&path).unwrap();
        SignalFile::open(&path, None).unwrap().append(&signal(7)).unwrap();
        let (low, high) = ("88".repeat(20), "8a".repeat(20));
        let expected = format!(
            "{{\"block\":18937382,\"log_index\":7,\"pools\":[\"0x{low}\",\"0x{high}\"],\
             \"prices\":[0.30000000000000004,0.3333333333333333],\"gap\":0.003500000000000001}}\n"
        );
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }

    #[test]
    fn a_retraction_is_a_line_if_there_are_signals_to_take_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signals.jsonl");
        let mut file = SignalFile::open(&path, None).unwrap();
        let retraction = |index| Signal::retraction(signal(index).key);
        for (line, lines) in [
            (retraction(0), 0),
            (signal(3), 1),
            (retraction(4), 1),
            (retraction(2), 2),
            (retraction(2), 2),
            (signal(2), 3),
            (signal(2), 3),
            (signal(3), 4),
        ] {
            let committed = file.append(&line).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!((text.len() as u64, text.lines().count()), (committed.bytes, lines));
        }
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line, r#"{"block":18937382,"log_index":2,"retracts":true}"#);
    }

    #[test]
    fn resuming_gives_the_file_of_an_undisturbed_run() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
        let mut file = SignalFile::open(&whole, None).unwrap();
        for index in 0..10 {
            file.append(&signal(index)).unwrap();
        }
        let mut committed = SignalFile::open(&broken, None).unwrap().committed();
        for index in 0..10 {
            // A writer that dies after half a line, or after a line whose commit it did not report.
            fs::write(&broken, [&fs::read(&broken).unwrap(), &b"{\"block\":1"[..]].concat())
                .unwrap();
            let mut file = SignalFile::open(&broken, Some(committed)).unwrap();
            committed = file.append(&signal(index)).unwrap();
            assert_eq!(file.append(&signal(index)).unwrap(), committed, "twice is once");
            if index % 2 == 0 {
                file.append(&signal(index + 1)).unwrap();
            }
        }
        assert_eq!(fs::read(&whole).unwrap(), fs::read(&broken).unwrap());
    }

    #[test]
    fn failures_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = SignalFile::open(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        let path = dir.path().join("signals.jsonl");
        let committed = Committed { bytes: 5, last: None };
        assert!(SignalFile::open(&path, Some(committed)).is_err());
        fs::write(&path, "abc").unwrap();
        let error = SignalFile::open(&path, Some(committed)).unwrap_err().to_string();
        assert!(error.contains("2 of 5 bytes are missing"), "{error}");
    }
}
