//! Receives logs from a node of any EVM chain and emits swaps.

use std::{future::pending, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use mycelium::{Context, Error, Result, service};
use mycelium_executor::Backoff;

use crate::messages::Swap;
use crate::{
    durable::Durable,
    ethereum::chain::{self, RawLog},
    ethereum::endpoint::Endpoint,
    ethereum::session::{Cursor, Ended, Event, Session},
    ethereum::socket::Step,
    faults::Faults,
    stores::Pools,
};

/// The timeout of a connection: of resolving its name, and of the handshakes of TCP, TLS and the
/// WebSocket together.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The pauses before connecting again.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(10) };
/// After this number of consecutive failed connections the service fails.
const ATTEMPTS: u32 = 6;
/// The same number after a successful connection, greater because a restart of the node takes time.
const ATTEMPTS_AGAIN: u32 = 30;
/// The most logs that a new process receives again. After this number no log is handled until the
/// cursor is saved.
const UNSAVED: u32 = 256;

/// How often to look whether the node is still there. A request has to be answered in five minutes.
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// What is due between two steps of a connection.
enum Due {
    /// All messages are confirmed, so the cursor can be saved.
    Save,
    /// It is time to watch the connection.
    Watch,
}

/// Follows the logs of the pools at a node over a WebSocket and emits their swaps. Reconnects when
/// the connection breaks, and continues at its cursor.
#[derive(Clone)]
pub struct PolygonAdapter {
    node: Endpoint,
    pools: Pools,
    /// The position: kept after each log, saved when the swaps up to it are confirmed.
    cursor: Durable<Cursor>,
    /// Logs handled since the cursor was saved.
    unsaved: u32,
    /// Connections since the last one that brought a log or stayed, and the most that may fail.
    attempts: [u32; 2],
    faults: Faults,
}

impl PolygonAdapter {
    /// An adapter that follows these pools at this node.
    pub fn new(node: Endpoint, pools: Pools, cursor: Durable<Cursor>, faults: Faults) -> Self {
        Self { node, pools, cursor, unsaved: 0, attempts: [0, ATTEMPTS], faults }
    }

    /// One connection, from its handshake to its end.
    async fn follow(&mut self, ctx: &mut Context<Self>, session: &mut Session) -> Result<Ended> {
        let (stream, deadline) = (ctx.connect(self.node.address()), ctx.sleep(HANDSHAKE_WITHIN));
        let connect = async { Ok::<_, Error>(self.node.open(stream.await?).await?) };
        let mut connection = match select(pin!(connect), pin!(deadline)).await {
            Either::Left((connection, _)) => connection?,
            Either::Right((Ok(()), _)) => {
                return Err(Error::msg(format!("no answer within {HANDSHAKE_WITHIN:?}")));
            }
            Either::Right((Err(_shutting_down), _)) => return Ok(Ended::Finished),
        };
        ctx.metrics().counter("connections")?.increment();
        session.connected();
        let mut watch = ctx.interval(WATCH_EVERY)?;
        loop {
            let step = {
                let unsaved = self.unsaved;
                let next = async {
                    if unsaved >= UNSAVED {
                        pending().await
                    } else {
                        connection.next(session).await
                    }
                };
                // Ready when the cursor can be saved. Never ready if there is nothing to save.
                let confirmed =
                    async { if unsaved == 0 { pending().await } else { ctx.confirmed().await } };
                let (next, tick) = (pin!(next), pin!(watch.tick()));
                match select(select(next, tick), pin!(confirmed)).await {
                    Either::Left((Either::Left((step, _)), _)) => Either::Left(step?),
                    Either::Left((Either::Right((Ok(()), _)), _)) => Either::Right(Due::Watch),
                    Either::Left((Either::Right((Err(_shutting_down), _)), _)) => {
                        return Ok(Ended::Finished);
                    }
                    Either::Right(_) => Either::Right(Due::Save),
                }
            };
            match step {
                // The node is not read, because readers have not confirmed its last logs.
                Either::Right(Due::Watch) if self.unsaved >= UNSAVED => {}
                Either::Right(Due::Watch) => {
                    connection.watch(session)?;
                    if session.unanswered().is_none() {
                        self.attempts[0] = 0;
                    }
                }
                Either::Right(Due::Save) => {
                    self.cursor.save(ctx).await?;
                    self.unsaved = 0;
                }
                Either::Left(Step::Break(ended)) => return Ok(ended),
                Either::Left(Step::Continue(event)) => self.handle(ctx, event).await?,
            }
        }
    }

    async fn handle(&mut self, ctx: &mut Context<Self>, event: Event) -> Result<()> {
        let counter = match event {
            Event::Started(cursor) => {
                self.passed(cursor, UNSAVED);
                return Ok(());
            }
            Event::Live => {
                self.attempts[1] = ATTEMPTS_AGAIN;
                return Ok(());
            }
            Event::Log(log, cursor) => {
                let counter = self.take(ctx, &log).await?;
                self.attempts[0] = 0;
                self.passed(cursor, 1);
                ctx.metrics().counter("logs")?.increment();
                counter
            }
            Event::Retracted(key, cursor) => {
                ctx.emit(Swap::retraction(key)).await?;
                self.passed(cursor, 1);
                "reorganisations"
            }
            Event::Removed => "removed",
            Event::Skipped => "skipped",
            Event::Duplicate => "duplicates",
        };
        ctx.metrics().counter(counter)?.increment();
        Ok(())
    }

    /// Handles a new log: its swap is emitted before the cursor passes it. Returns the counter of
    /// its kind.
    async fn take(&self, ctx: &mut Context<Self>, log: &RawLog) -> Result<&'static str> {
        match chain::swap(log) {
            Ok(Some(swap)) => {
                self.faults.point("before the adapter's emit", false);
                ctx.emit::<Swap>(swap).await?;
                self.faults.point("after the adapter's emit", false);
                // Prefer the latency of one swap over the throughput of many.
                ctx.yield_now().await;
                Ok("swaps")
            }
            Ok(None) => Ok("others"),
            Err(skip) => {
                ctx.info("a log was skipped", skip);
                Ok("skipped")
            }
        }
    }

    fn passed(&mut self, cursor: Cursor, logs: u32) {
        self.cursor.keep(|kept| *kept = cursor);
        if self.cursor.is_durable() {
            self.unsaved += logs;
        }
    }
}

#[service(emits(Swap))]
impl PolygonAdapter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let pools = self.pools.open(ctx).await?.addresses();
        // Of an earlier run, which may have panicked.
        self.unsaved = if self.cursor.is_durable() { UNSAVED } else { 0 };
        let mut session = Session::new(pools, self.cursor.read(|cursor| *cursor));
        loop {
            match self.follow(ctx, &mut session).await {
                Ok(Ended::Finished) => return Ok(()),
                Ok(Ended::Reconnect) => ctx.info("the connection has ended", self.node.to_string()),
                Err(error) if error.is_permanent() => return Err(error),
                Err(error) if self.attempts[0] + 1 >= self.attempts[1] => {
                    let error = format!("no connection to {}: {error}", self.node);
                    return Err(Error::msg(error).permanent());
                }
                Err(error) => ctx.warn("the service connects again", error.to_string()),
            }
            let pause = BACKOFF.pause(self.attempts[0], ctx.random());
            self.attempts[0] += 1;
            ctx.sleep(pause).await?;
        }
    }
}
