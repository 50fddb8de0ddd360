//! A store that a service on any executor asks.

use std::{io, sync::Arc, thread, time::Duration};

use alloy_primitives::Address;
use futures_channel::{mpsc, oneshot};
use futures_util::{SinkExt, StreamExt};
use mycelium_executor::Backoff;
use tokio::time::{Instant, sleep};

use super::backend::{Backend, CONNECTIONS, StoreError};
#[cfg(feature = "postgres")]
use super::postgres::Postgres;
#[cfg(feature = "redis")]
use super::redis::Redis;
use super::sqlite::Sqlite;
use crate::metadata::{FirstRows, Row};

/// The store of a run that names none.
const IN_MEMORY: &str = "sqlite::memory:";
/// A lookup at a store that is away makes another attempt until this time has passed.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);
/// The pauses between these attempts.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(500) };
/// The most lookups that wait for the thread of the store; more wait for their turn.
const QUEUE: usize = 16;

/// A client of a store. Clones share its thread, which ends with the last of them.
#[derive(Clone)]
pub struct Client {
    name: Arc<str>,
    asks: mpsc::Sender<Ask>,
}

/// A question of a service, and where it waits for the answer.
struct Ask {
    /// `None` asks for all rows.
    address: Option<Address>,
    answer: oneshot::Sender<Result<Vec<Row>, StoreError>>,
}

impl Client {
    /// Creates a client of the store at this URL, or of one in memory. It connects with the first
    /// question, and a new store gets the rows `first`.
    ///
    /// # Errors
    /// If the URL is invalid, or its store is not in this program.
    pub fn new(url: Option<&str>, first: FirstRows) -> Result<Self, StoreUrlError> {
        let url = url.unwrap_or(IN_MEMORY);
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        match scheme {
            "sqlite" if !rest.is_empty() => {
                Self::start(url.to_owned(), Sqlite::new(rest.into(), first))
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                let (name, postgres) = Postgres::new(url, first).map_err(StoreUrlError::Invalid)?;
                Self::start(name, postgres)
            }
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(StoreUrlError::NotBuilt("postgres")),
            #[cfg(feature = "redis")]
            "redis" => {
                let (name, redis) = Redis::new(url, first).map_err(StoreUrlError::Invalid)?;
                Self::start(name, redis)
            }
            #[cfg(not(feature = "redis"))]
            "redis" => Err(StoreUrlError::NotBuilt("redis")),
            _ => Err(StoreUrlError::Unknown),
        }
    }

    /// The URL without its user and password.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for the row of an address, or for the first rows by address. While the store is away, a
    /// lookup of an address makes more attempts, for a second. The answer takes five seconds at
    /// most, and needs no timer of the executor.
    ///
    /// # Errors
    /// If the store has not answered, or refuses.
    pub async fn rows(&self, address: Option<Address>) -> Result<Vec<Row>, StoreError> {
        let (sender, answer) = oneshot::channel();
        let ended = || StoreError::unusable("its thread has ended");
        self.asks.clone().send(Ask { address, answer: sender }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Runs a store on a tokio of its own.
    fn start(name: String, backend: impl Backend + Send + 'static) -> Result<Self, StoreUrlError> {
        let (asks, questions) = mpsc::channel::<Ask>(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("store".to_owned()).spawn(move || {
            let backend = &backend;
            let answers = questions.for_each_concurrent(CONNECTIONS, |ask| async move {
                // Ignores an error: the service may have ended.
                let _ = ask.answer.send(look_up(backend, ask.address).await);
            });
            runtime.block_on(answers);
        })?;
        Ok(Self { name: name.into(), asks })
    }
}

async fn look_up(backend: &impl Backend, address: Option<Address>) -> Result<Vec<Row>, StoreError> {
    let key = address.map(|address| format!("{address:#x}"));
    let (begin, mut attempt) = (Instant::now(), 0);
    loop {
        match backend.rows(key.as_deref()).await {
            Err(StoreError::Away(_)) if key.is_some() && begin.elapsed() < LOOK_UP_WITHIN => {}
            answer => return answer,
        }
        sleep(BACKOFF.pause(attempt, fastrand::u64(..))).await;
        attempt += 1;
    }
}

/// A URL does not name a store of this program. The text has no password.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// It names no kind of store.
    #[error("invalid `--store`: expected `sqlite:FILE`, `postgres://..` or `redis://..`")]
    Unknown,
    /// The driver is not in this program.
    #[error("this program was built without {0}: build it with `--features {0}`")]
    NotBuilt(&'static str),
    /// The driver cannot read it.
    #[error("invalid `--store`: {0}")]
    Invalid(String),
    /// The system has no thread for it.
    #[error("cannot start the thread of the store: {0}")]
    Thread(#[from] io::Error),
}
