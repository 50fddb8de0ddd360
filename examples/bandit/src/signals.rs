//! Signals as JSON lines: one object per line, with exact numbers. After each line the writer
//! returns the committed length of the file. A service that saves it and resumes from it after a
//! failure writes the same file as an undisturbed run. Every call blocks.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    arbitrage::Signal,
    chain::{Key, hex_address},
    writable::check_writable,
};

/// The committed part of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The length of the complete lines, in bytes.
    pub bytes: u64,
    /// The swap of the last signal in them.
    pub last: Option<Key>,
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
    block: u64,
    log_index: u64,
    pools: [String; 2],
    prices: [f64; 2],
    gap: f64,
}

impl SignalFile {
    /// Checks that the file can be created or replaced, without doing it.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(path: &Path) -> Result<(), SignalFileError> {
        let fail = |source| SignalFileError { path: path.into(), action: "write", source };
        check_writable(path).map_err(fail)
    }

    /// Creates the file, empty; an old one is replaced.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, SignalFileError> {
        let file = File::create(path).map_err(|source| SignalFileError {
            path: path.into(),
            action: "create",
            source,
        })?;
        Ok(Self { file, path: path.into(), committed: Committed::default() })
    }

    /// Continues after the committed part, and truncates the rest of the file.
    ///
    /// # Errors
    /// If the file cannot be opened or is shorter than the committed part.
    pub fn resume(path: &Path, committed: Committed) -> Result<Self, SignalFileError> {
        let fail = |source| SignalFileError { path: path.into(), action: "resume", source };
        // Not `append`, which would leave an incomplete line.
        let mut file = OpenOptions::new().write(true).open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if length < committed.bytes {
            let lost =
                format!("{} of {} bytes are missing", committed.bytes - length, committed.bytes);
            return Err(fail(io::Error::new(io::ErrorKind::UnexpectedEof, lost)));
        }
        file.set_len(committed.bytes).map_err(fail)?;
        file.seek(SeekFrom::Start(committed.bytes)).map_err(fail)?;
        Ok(Self { file, path: path.into(), committed })
    }

    /// Writes a signal, unless its swap is not later than the last one. Returns the committed part.
    ///
    /// # Errors
    /// If the line cannot be written completely; then it is not committed.
    pub fn append(&mut self, signal: &Signal) -> Result<Committed, SignalFileError> {
        if self.committed.last.is_some_and(|last| signal.key <= last) {
            return Ok(self.committed);
        }
        let mut line = serde_json::to_vec(&Line {
            block: signal.key.block,
            log_index: signal.key.log_index,
            pools: signal.pools.each_ref().map(hex_address),
            prices: signal.prices,
            gap: signal.gap,
        })
        .map_err(|error| self.error("write", error.into()))?;
        line.push(b'\n');
        if let Err(source) = self.file.write_all(&line) {
            // Remove the incomplete line. If that fails too, the first error is reported.
            let _ = self.file.set_len(self.committed.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.committed.bytes));
            return Err(self.error("write", source));
        }
        self.committed =
            Committed { bytes: self.committed.bytes + line.len() as u64, last: Some(signal.key) };
        Ok(self.committed)
    }

    /// The committed part.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed
    }

    /// Syncs the file to the disk.
    ///
    /// # Errors
    /// If that fails.
    pub fn finish(self) -> Result<Committed, SignalFileError> {
        match self.file.sync_all() {
            Ok(()) => Ok(self.committed),
            // A pipe or a terminal cannot be synced, which is not an error.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(self.committed),
            Err(source) => Err(self.error("finish", source)),
        }
    }

    fn error(&self, action: &'static str, source: io::Error) -> SignalFileError {
        SignalFileError { path: self.path.clone(), action, source }
    }
}

/// The file of signals cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the file of signals {}: {source}", path.display())]
pub struct SignalFileError {
    /// The file.
    pub path: PathBuf,
    action: &'static str,
    /// The system's error.
    pub source: io::Error,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn signal(log_index: u64) -> Signal {
        Signal {
            key: Key { block: 18_937_382, log_index },
            pools: [[0x88; 20], [0x8a; 20]],
            prices: [0.1 + 0.2, 1.0 / 3.0],
            gap: 0.003_500_000_000_000_001,
        }
    }

    #[test]
    fn a_line_is_json_and_loses_no_digit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signals.jsonl");
        let mut file = SignalFile::create(&path).unwrap();
        let committed = file.append(&signal(7)).unwrap();
        assert_eq!(file.finish().unwrap(), committed);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len() as u64, committed.bytes);
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (line["block"].as_u64(), line["log_index"].as_u64()),
            (Some(18_937_382), Some(7))
        );
        assert_eq!(line["prices"][0].as_f64(), Some(0.1 + 0.2));
        assert_eq!(line["gap"].as_f64(), Some(0.003_500_000_000_000_001));
        assert_eq!(line["pools"][1], "0x8a".to_owned() + &"8a".repeat(19));
    }

    #[test]
    fn resuming_gives_the_file_of_an_undisturbed_run() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
        let mut file = SignalFile::create(&whole).unwrap();
        for index in 0..10 {
            file.append(&signal(index)).unwrap();
        }
        let mut committed = SignalFile::create(&broken).unwrap().committed();
        for index in 0..10 {
            // A writer that dies after half a line, or after a line whose commit it did not report.
            fs::write(&broken, [&fs::read(&broken).unwrap(), &b"{\"block\":1"[..]].concat())
                .unwrap();
            let mut file = SignalFile::resume(&broken, committed).unwrap();
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
        let error = SignalFile::create(dir.path()).unwrap_err().to_string();
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        let path = dir.path().join("signals.jsonl");
        let committed = Committed { bytes: 5, last: None };
        assert!(SignalFile::resume(&path, committed).is_err());
        fs::write(&path, "abc").unwrap();
        let error = SignalFile::resume(&path, committed).unwrap_err().to_string();
        assert!(error.contains("2 of 5 bytes are missing"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error() {
        let mut file = SignalFile::create(Path::new("/dev/full")).unwrap();
        let error = file.append(&signal(1)).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("/dev/full"), "{error}");
        assert_eq!(file.committed(), Committed::default());
    }
}
