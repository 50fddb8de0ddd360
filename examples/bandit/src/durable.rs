//! State that outlives the process of its service. A process of a bundle saves the states of its
//! services in one small SQLite file; a new process of that member loads them.
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
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mycelium::{Context, Error, Kept, Result, Service};
use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, de::DeserializeOwned};

/// How long to wait for the lock of the file. The earlier process is dead, so only other programs
/// can hold it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

// Only one process uses the file, so it keeps the lock and SQLite needs no shared memory. With the
// write-ahead log each write is a short append.
const SET_UP: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS states (service TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL);
";

/// The states of the services of one process.
#[derive(Clone, Debug, Default)]
pub struct States(Option<Arc<File>>);

#[derive(Debug)]
struct File {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl States {
    /// States in memory, which end with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(None)
    }

    /// States in this file, which is created if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened, or is not a database.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(LOCK_TIMEOUT)?;
            connection.execute_batch(SET_UP)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StateError::new(path, source))?;
        Ok(Self(Some(Arc::new(File { connection: Mutex::new(connection), path: path.into() }))))
    }

    /// Whether the states outlive the process.
    #[must_use]
    pub fn are_durable(&self) -> bool {
        self.0.is_some()
    }

    /// The state of a service as an earlier process saved it, or the default.
    ///
    /// # Errors
    /// If the file cannot be read, or its content is invalid.
    pub fn state<S>(&self, service: &'static str) -> Result<Durable<S>, StateError>
    where
        S: Default + DeserializeOwned,
    {
        let saved = self.0.as_ref().map(|file| file.load(service)).transpose()?.flatten();
        let kept = Kept::new(saved.unwrap_or_default());
        Ok(Durable { kept, service, file: self.0.clone() })
    }
}

impl File {
    fn load<S: DeserializeOwned>(&self, service: &str) -> Result<Option<S>, StateError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let query = "SELECT state FROM states WHERE service = ?";
        let state: Option<String> = connection
            .query_row(query, [service], |row| row.get(0))
            .optional()
            .map_err(|source| StateError::new(&self.path, source))?;
        let parse = |state: String| serde_json::from_str(&state);
        state.map(parse).transpose().map_err(|source| StateError::new(&self.path, source))
    }

    /// One statement, and so one transaction: a process killed during it has saved nothing.
    fn save(&self, service: &str, state: &str) -> Result<(), StateError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let save = |connection: &Connection| {
            connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", [service, state])
        };
        save(&connection).map(drop).map_err(|source| StateError::new(&self.path, source))
    }
}

/// The state of a service. Once kept, it survives a panic of the service; once saved, the process.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct Durable<S> {
    kept: Kept<S>,
    service: &'static str,
    file: Option<Arc<File>>,
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
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.file.is_some()
    }
}

impl<S: Serialize> Durable<S> {
    /// Waits until all messages of the service are confirmed, and writes the state. Does nothing if
    /// the state is in memory.
    ///
    /// # Errors
    /// If the state cannot be written; retrying does not help.
    pub async fn save<T: Service>(&self, ctx: &mut Context<T>) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        ctx.confirmed().await;
        let state = self.kept.read(serde_json::to_string)?;
        // Written on this thread: an append to the page cache is faster than the hand-over to
        // another thread, and the recorded day takes half as long.
        file.save(self.service, &state).map_err(|error| Error::from(error).permanent())
    }
}

/// The file of states cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the file of states {}: {source}", path.display())]
pub struct StateError {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StateError {
    fn new(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { path: path.into(), source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arbitrage::{Detector, PricedSwap},
        chain::Key,
        client::Cursor,
    };

    fn swap(pool: u8, log_index: u64, price: f64) -> PricedSwap {
        let (token0, token1) = ([1; 20], [2; 20]);
        let key = Key { block: 9, log_index };
        PricedSwap { pool: [pool; 20], token0, token1, fee_millionths: 500, key, price }
    }

    fn saved<S: Serialize>(state: &Durable<S>) {
        let file = state.file.as_ref().unwrap();
        file.save(state.service, &state.read(serde_json::to_string).unwrap()).unwrap();
    }

    #[test]
    fn the_next_process_begins_with_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("detector.sqlite");
        let mut random = fastrand::Rng::with_seed(7);
        let mut expected = Detector::new();
        for round in 0..100 {
            let states = States::open(&path).unwrap();
            let state = states.state::<Detector>("ArbitrageDetector").unwrap();
            state.read(|detector| assert_eq!(*detector, expected, "in round {round}"));
            let swap = swap(round % 3, u64::from(round), 1.0 / (random.f64() + 0.001));
            state.keep(|detector| detector.commit(&swap));
            // Every third process dies before it saves.
            if round % 3 > 0 {
                saved(&state);
                expected.commit(&swap);
            }
        }
        let states = States::open(&path).unwrap();
        let cursor = states.state::<Cursor>("PolygonAdapter").unwrap();
        cursor.read(|cursor| assert_eq!(*cursor, Cursor::HEAD, "each service has its own"));
    }

    #[test]
    fn in_memory_nothing_is_left() {
        let states = States::in_memory();
        let state = states.state::<Cursor>("PolygonAdapter").unwrap();
        state.keep(|cursor| *cursor = Cursor::starting_at(7));
        assert!(!states.are_durable() && !state.is_durable());
        let again = states.state::<Cursor>("PolygonAdapter").unwrap();
        assert_eq!(again.read(Cursor::resume_from), None);
    }

    #[test]
    fn a_useless_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = States::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        let path = dir.path().join("states.sqlite");
        std::fs::write(&path, "this is not a database, but a text of some length").unwrap();
        assert!(States::open(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        let states = States::open(&path).unwrap();
        states.0.as_ref().unwrap().save("PolygonAdapter", "7").unwrap();
        assert!(states.state::<Cursor>("PolygonAdapter").is_err());
    }
}
