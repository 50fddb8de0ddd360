//! State that outlives the process of its service. A process of a bundle appends the state of each
//! of its services to a small file; a new process of that member loads it.
//!
//! The order of steps makes this exact. A service emits, changes its state in memory
//! ([`Durable::keep`]), waits until its messages are confirmed and writes its state
//! ([`Durable::save`]), and only then receives its next message. If the process is killed before
//! the write, the message is redelivered to the old state and the service emits the same message
//! again; subscribers recognize it by its key. If the process is killed after the write, the
//! message is redelivered too, and the state shows that it was handled.
//!
//! This protects against the death of a process, not against a power failure: written data is in
//! the page cache of the system, which outlives the process, and nothing here waits for a disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use mycelium::supervision::Kept;
use mycelium::{Context, Error, Result, Service};
use serde::{Serialize, de::DeserializeOwned};

use crate::files::FileError;

/// What could not be done, in the texts of errors.
const USE: &str = "use the file of states";
/// A file of more bytes is replaced by one that has only the last state.
const LONGEST: u64 = 1 << 20;

/// The state of a service. Once kept, it survives a panic of the service; once saved, it survives
/// the process, too. Clones share it.
#[derive(Clone, Debug)]
pub struct Durable<S> {
    kept: Kept<S>,
    /// `None` keeps the state in memory.
    saved: Option<Arc<Saved>>,
}

/// A file with a state in each line. The last whole one counts, so a process that is killed while
/// it writes has saved nothing.
#[derive(Debug)]
struct Saved {
    path: PathBuf,
    file: Mutex<File>,
}

impl Saved {
    /// Creates a file with this content, which replaces the file at `path`.
    fn replace(path: &Path, content: &[u8]) -> io::Result<File> {
        let new = path.with_added_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        fs::rename(&new, path)?;
        Ok(file)
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata()?.len() > LONGEST {
            *file = Self::replace(&self.path, line)?;
            return Ok(());
        }
        file.write_all(line)
    }
}

impl<S: Default + DeserializeOwned> Durable<S> {
    /// Loads the state of a service as an earlier process of this member saved it, or the default.
    /// The path of the file is `member` with the service as an extension.
    ///
    /// # Errors
    /// If the file cannot be used, or its content is invalid.
    pub fn load(member: Option<&Path>, service: &str) -> Result<Self, FileError> {
        let Some(path) = member.map(|member| member.with_added_extension(service)) else {
            return Ok(Self { kept: Kept::new(S::default()), saved: None });
        };
        let load = || {
            let text = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                text => text?,
            };
            // Ignores bytes after the last line break: their line is incomplete.
            let mut lines = text.split_inclusive(|byte| *byte == b'\n');
            let last = lines.rfind(|line| line.ends_with(b"\n")).unwrap_or_default();
            let state = if last.is_empty() { S::default() } else { serde_json::from_slice(last)? };
            Ok((state, Saved::replace(&path, last)?))
        };
        let (state, file) = load().map_err(FileError::of::<io::Error>(USE, &path))?;
        let saved = Saved { path, file: Mutex::new(file) };
        Ok(Self { kept: Kept::new(state), saved: Some(Arc::new(saved)) })
    }
}

impl<S> Durable<S> {
    /// Reads the state.
    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        self.kept.read(read)
    }

    /// Changes the state in memory.
    pub fn keep(&self, change: impl FnOnce(&mut S)) {
        self.kept.commit(change);
    }

    /// Whether the state outlives the process.
    pub fn is_durable(&self) -> bool {
        self.saved.is_some()
    }
}

impl<S: Serialize> Durable<S> {
    /// Waits until all messages of the service are confirmed, and writes the state. Does nothing if
    /// the state is in memory.
    ///
    /// # Errors
    /// If the state cannot be written; retrying does not help.
    pub async fn save<T: Service>(&self, ctx: &mut Context<T>) -> Result<()> {
        if self.is_durable() {
            ctx.confirmed().await;
            // Written on this thread: that is faster than the hand-over to another one.
            self.write().map_err(|error| Error::from(error).permanent())?;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), FileError> {
        let Some(saved) = &self.saved else { return Ok(()) };
        let state = self.kept.read(serde_json::to_string).map_err(io::Error::from);
        let written = state.and_then(|state| saved.write((state + "\n").as_bytes()));
        written.map_err(FileError::of(USE, &saved.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arbitrage::{Detector, tests::swap},
        ethereum::session::Cursor,
    };

    #[test]
    fn the_next_process_begins_with_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let member = dir.path().join("detector");
        let mut random = fastrand::Rng::with_seed(7);
        let mut expected = Detector::default();
        for round in 0..100 {
            let state = Durable::<Detector>::load(Some(&member), "ArbitrageDetector").unwrap();
            state.read(|detector| assert_eq!(*detector, expected, "in round {round}"));
            let swap = swap((round % 3) as u8, round, 1.0 / (random.f64() + 0.001));
            state.keep(|detector| detector.commit(&swap));
            // Every third process dies before it saves, or while it does.
            if round % 3 > 0 {
                state.write().unwrap();
                expected.commit(&swap);
            } else {
                state.saved.unwrap().write(b"{\"quotes\":").unwrap();
            }
        }
        let other = Durable::<Cursor>::load(Some(&member), "PolygonAdapter").unwrap();
        other.read(|cursor| assert_eq!(*cursor, Cursor::default(), "each service has its own"));
        fs::write(dir.path().join("detector.SignalWriter"), "no JSON\n").unwrap();
        let error = Durable::<Cursor>::load(Some(&member), "SignalWriter").unwrap_err();
        assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    }
}
