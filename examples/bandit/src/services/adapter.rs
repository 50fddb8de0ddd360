//! Receives logs from a node of any EVM chain and emits swaps.

use std::{future::pending, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use mycelium::{Context, Error, Result, service};
use mycelium_executor::Backoff;

use super::Board;
use crate::{
    chain::{self, Event, RawLog},
    client::Cursor,
    durable::Durable,
    faults::Faults,
    messages::Swap,
    session::{self, Ended, Session},
    socket::{Connection, Endpoint, SocketError, Step},
};

/// The timeout of the handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The pauses before connecting again.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(10) };
/// After this number of consecutive failed connections the service fails.
const ATTEMPTS: u32 = 6;
/// The same after a successful connection: a restart of the node takes time.
const ATTEMPTS_AGAIN: u32 = 30;

/// The most logs that a new process receives again. After this number no log is handled until the
/// cursor is saved.
const UNSAVED: u32 = 256;

/// Follows the logs of the pools at a node over a WebSocket and emits their swaps. Reconnects when
/// the connection breaks, and continues at its cursor.
pub struct PolygonAdapter {
    url: String,
    endpoint: Endpoint,
    pools: Vec<[u8; 20]>,
    /// The position: kept after each log, saved when the swaps up to it are confirmed.
    cursor: Durable<Cursor>,
    /// Logs handled since the cursor was saved.
    unsaved: u32,
    board: Board,
    faults: Faults,
}

impl PolygonAdapter {
    /// An adapter to the node at `url`, whose address is `endpoint`.
    #[must_use]
    pub fn new(
        url: String,
        endpoint: Endpoint,
        pools: Vec<[u8; 20]>,
        cursor: Durable<Cursor>,
        board: Board,
        faults: Faults,
    ) -> Self {
        Self { url, endpoint, pools, cursor, unsaved: 0, board, faults }
    }

    /// One connection, from its handshake to its end.
    async fn follow(
        &mut self,
        ctx: &mut Context<Self>,
        session: &mut Session,
        attempts: &mut Attempts,
    ) -> Result<Ended, Broken> {
        let address = self.endpoint.authority();
        let (stream, deadline) = (ctx.connect(&address), ctx.sleep(HANDSHAKE_WITHIN));
        let connect = async {
            let stream = stream.await.map_err(Broken::Unreachable)?;
            Connection::open(stream, &self.url).await.map_err(Broken::Socket)
        };
        let mut connection = match select(pin!(connect), pin!(deadline)).await {
            Either::Left((connection, _)) => connection?,
            Either::Right((Ok(()), _)) => return Err(Broken::Silent),
            Either::Right((Err(_shutting_down), _)) => return Ok(Ended::Finished),
        };
        self.board.figures().count_connection();
        session.connected();
        loop {
            let step = {
                let shutdown = pin!(ctx.shutdown_requested());
                let next = async {
                    match self.unsaved {
                        UNSAVED.. => pending().await,
                        _ => connection.next(session).await,
                    }
                };
                let (next, confirmed) = (pin!(next), pin!(self.confirmed(ctx)));
                match select(select(next, shutdown), confirmed).await {
                    Either::Left((Either::Left((step, _)), _)) => Some(step?),
                    Either::Left((Either::Right(_), _)) => return Ok(Ended::Finished),
                    Either::Right(_) => None,
                }
            };
            match step {
                None => self.save(ctx).await?,
                Some(Step::Ended(ended)) => return Ok(ended),
                Some(Step::Event(event)) => self.handle(ctx, event, attempts).await?,
            }
        }
    }

    /// Waits until the cursor can be saved at once, if it has to be saved.
    async fn confirmed(&self, ctx: &mut Context<Self>) {
        match self.unsaved {
            0 => pending().await,
            _ => ctx.confirmed().await,
        }
    }

    fn passed(&mut self, logs: u32) {
        if self.cursor.is_durable() {
            self.unsaved += logs;
        }
    }

    async fn save(&mut self, ctx: &mut Context<Self>) -> Result<(), Broken> {
        self.cursor.save(ctx).await.map_err(Broken::Unsaved)?;
        self.unsaved = 0;
        Ok(())
    }

    async fn handle(
        &mut self,
        ctx: &mut Context<Self>,
        event: session::Event,
        attempts: &mut Attempts,
    ) -> Result<(), Broken> {
        match event {
            session::Event::Started(cursor) => {
                self.cursor.keep(|kept| *kept = cursor);
                self.passed(UNSAVED);
            }
            session::Event::Log(log, cursor) => {
                self.take(ctx, &log).await?;
                self.cursor.keep(|kept| *kept = cursor);
                self.passed(1);
            }
            session::Event::Removed(log) => {
                self.board.figures().count_log(log.key(), &Ok(Event::Removed));
            }
            session::Event::Skipped(skip) => self.board.figures().count_skip(skip),
            session::Event::Duplicate(_) => self.board.figures().count_duplicate(),
            session::Event::Live => attempts.succeeded(),
        }
        Ok(())
    }

    /// Handles a new log: its swap is emitted before the cursor passes it.
    async fn take(&self, ctx: &mut Context<Self>, log: &RawLog) -> Result<(), Broken> {
        let event = chain::classify(log);
        self.board.figures().count_log(log.key(), &event);
        if let Ok(Event::Swap(swap)) = event {
            self.faults.point("before the adapter's emit", false);
            let emitted_at = u64::try_from(ctx.now().as_nanos()).unwrap_or(u64::MAX);
            ctx.emit(Swap::new(&swap, emitted_at)).await.map_err(|_| Broken::Refused)?;
            self.faults.point("after the adapter's emit", false);
            // Prefer the latency of one swap over the throughput of many.
            ctx.yield_now().await;
        }
        Ok(())
    }
}

#[service(emits(Swap))]
impl PolygonAdapter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut session = Session::new(self.pools.clone(), self.cursor.read(|cursor| *cursor));
        let mut attempts = Attempts::default();
        loop {
            let broken = match self.follow(ctx, &mut session, &mut attempts).await {
                Ok(Ended::Finished) => return Ok(()),
                Ok(Ended::Reconnect) => None,
                Err(Broken::Unsaved(error)) => return Err(error),
                Err(broken) => Some(broken),
            };
            let Some(pause) = attempts.failed(ctx.random()) else {
                let error = broken.unwrap_or(Broken::Silent);
                return Err(
                    Error::msg(format!("no connection to {}: {error}", self.url)).permanent()
                );
            };
            if let Some(broken) = broken {
                ctx.warn("the service lost its connection and connects again", broken.to_string());
            }
            ctx.sleep(pause).await?;
        }
    }
}

/// Failed connections since the last successful one.
#[derive(Default)]
struct Attempts {
    failed: u32,
    was_good: bool,
}

impl Attempts {
    fn succeeded(&mut self) {
        *self = Self { failed: 0, was_good: true };
    }

    /// The pause before the next attempt, or `None` after the last.
    fn failed(&mut self, random: u64) -> Option<Duration> {
        self.failed += 1;
        if self.failed >= if self.was_good { ATTEMPTS_AGAIN } else { ATTEMPTS } {
            return None;
        }
        Some(BACKOFF.pause(self.failed - 1, random))
    }
}

/// A connection failed.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Unreachable(std::io::Error),
    #[error("no answer within {HANDSHAKE_WITHIN:?}")]
    Silent,
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("a subscriber of the swaps is too slow")]
    Refused,
    /// The cursor cannot be saved.
    #[error("{0}")]
    Unsaved(Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let mut attempts = Attempts::default();
        let pauses: Vec<_> = std::iter::from_fn(|| attempts.failed(0)).collect();
        assert_eq!(pauses.len(), 5);
        assert!(pauses.windows(2).all(|pair| pair[1] == pair[0] * 2));
        attempts.succeeded();
        assert_eq!(attempts.failed(0), Some(BACKOFF.first));
        let again: Vec<_> = std::iter::from_fn(|| attempts.failed(0)).collect();
        assert_eq!((again.len(), again[20]), (28, BACKOFF.longest));
    }
}
