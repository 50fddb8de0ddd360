//! State that outlives the process of its service. A process of a bundle keeps the state of its
//! services in one small SQLite file; a new process of that member begins with what the file says.
//!
//! The order of the steps is what makes this exact. A service emits, changes its state in memory
//! ([`Durable::keep`]), waits until what it emitted is confirmed and writes its state
//! ([`Durable::save`]), and only then receives its next message. A process that is killed before
//! the write gets the message again, with the state of before, and emits the same again: its readers
//! know it by its key. A process that is killed after the write gets the message again too, and its
//! state says that it is dealt with.
//!
//! This is about processes that die and not about power cuts: what a process has written is in the
//! page cache of the system, which outlives it, and nothing here waits for a disk.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mycelium::{Context, Error, Kept, Result, Service};
use rusqlite::{Connection, OptionalExtension};
use serde::{Serialize, de::DeserializeOwned};

/// How long a process waits for the file; the process before it is dead, so this is for others who
/// look into the file.
const PATIENCE: Duration = Duration::from_secs(5);

// One process uses the file: it keeps the lock, and SQLite needs no shared memory. The log in front
// of the database makes each write a short append.
const SET_UP: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS states (service TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL);
";

/// Where the services of one process keep their states.
#[derive(Clone, Debug, Default)]
pub struct States(Option<Arc<File>>);

#[derive(Debug)]
struct File {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl States {
    /// In memory: for services whose process is all there is, and whose states end with it.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(None)
    }

    /// In this file, which is made if there is none.
    ///
    /// # Errors
    /// When it cannot be opened, or is no database.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(PATIENCE)?;
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

    /// The state of a service as the process before this one saved it last, or the default.
    ///
    /// # Errors
    /// If the file cannot be read, or its content is not such a state.
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

    /// One statement, and so one transaction: a process that is killed in it has saved nothing.
    fn save(&self, service: &str, state: &str) -> Result<(), StateError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let save = |connection: &Connection| {
            connection.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", [service, state])
        };
        save(&connection).map(drop).map_err(|source| StateError::new(&self.path, source))
    }
}

/// The state of a service. It outlives a panic of the service once it is kept, and the process once
/// it is saved. Clones share it.
#[derive(Clone, Debug)]
pub struct Durable<S> {
    kept: Kept<S>,
    service: &'static str,
    file: Option<Arc<File>>,
}

impl<S> Durable<S> {
    /// Looks at the state.
    pub fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        self.kept.read(look)
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
    /// Waits until all that the service has emitted is confirmed, and writes the state. Does
    /// nothing if the state is not to outlive the process.
    ///
    /// # Errors
    /// When the state cannot be written; trying again does not help.
    pub async fn save<T: Service>(&self, ctx: &mut Context<T>) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        ctx.confirmed().await;
        let state = self.kept.read(serde_json::to_string)?;
        // An append to the page cache takes less time than to hand it to another thread: the
        // recorded day takes half as long.
        file.save(self.service, &state).map_err(|error| Error::from(error).permanent())
    }
}

/// The file of states is of no use.
#[derive(Debug)]
pub struct StateError {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StateError {
    fn new(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { path: path.into(), source: Box::new(source) }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the file of states {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
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
        std::fs::write(&path, "no database, however long one may look at it").unwrap();
        assert!(States::open(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        let states = States::open(&path).unwrap();
        states.0.as_ref().unwrap().save("PolygonAdapter", "7").unwrap();
        assert!(states.state::<Cursor>("PolygonAdapter").is_err());
    }
}
