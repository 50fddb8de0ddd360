//! Many clients of one process, each with its own connection and subscription, all in one runtime.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::Envelope;
use mycelium_core::link::{Batching, Event, Interest, Link, ReaderMode, RunBytes};
use mycelium_executor::{Executor, Stream};
use mycelium_transports::stream::{STREAMS, TOPICS, Traffic};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::one_way::{Reader, Writer};
use super::{HEADER, Side, SocketKind};
use crate::allocations;
use crate::harness::{Column, Count, Mismatch, Round};
use crate::loops::executor::host::{Runtime, task};
use crate::report::Limit;
use crate::sample::{Sample, Tally};

/// Messages in flight to each client.
const WINDOW: u32 = 128;
/// Bytes of a side that may wait to be written: a window of frames and the link's control frames.
const BUFFER: usize = 16 << 10;

/// Opens when all clients have subscribed, so that no connection is set up during the timed part.
#[derive(Debug)]
struct Gate {
    missing: usize,
    waiting: Vec<Waker>,
    opened: Option<Instant>,
}

impl Gate {
    fn arrive(&mut self, waker: &Waker) {
        self.missing -= 1;
        self.waiting.push(waker.clone());
        if self.missing == 0 {
            self.opened = Some(Instant::now());
            mem::take(&mut self.waiting).into_iter().for_each(Waker::wake);
        }
    }
}

/// Starts to send when the gate opens.
struct Server {
    writer: Writer,
    gate: Arc<Mutex<Gate>>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Connecting,
    AtTheGate,
    Sending,
}

impl Traffic<TOPICS, STREAMS> for Server {
    fn run_bytes(&self, lent: &RunBytes) -> Option<[&[u8]; 2]> {
        Traffic::<TOPICS, STREAMS>::run_bytes(&self.writer, lent)
    }

    fn on_event(&mut self, now: Duration, link: &mut Link<'_, TOPICS, STREAMS>, event: Event<'_>) {
        self.writer.on_event(now, link, event);
    }

    fn send(
        &mut self,
        now: Duration,
        link: &mut Link<'_, TOPICS, STREAMS>,
        context: &mut Context<'_>,
    ) {
        if self.phase != Phase::Sending {
            if self.writer.stream.is_none() {
                return;
            }
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            if self.phase == Phase::Connecting {
                gate.arrive(context.waker());
                self.phase = Phase::AtTheGate;
            }
            if gate.opened.is_none() {
                return;
            }
            self.phase = Phase::Sending;
        }
        self.writer.send(now, link, context);
    }
}

/// This number of connections. The limit of open files is raised, if that is allowed.
fn connections(
    sockets: SocketKind,
    count: usize,
    executor: &dyn Executor,
) -> impl Iterator<Item = (Stream, Stream)> {
    // Two for each connection, and those of any process.
    let files = 2 * count as u64 + 100;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let files = limit.maximum.map_or(files, |most| most.min(files));
        // If this fails, opening the sockets fails.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(files), ..limit });
    }
    (0..count).map(move |_| {
        let (left, right) = sockets.pair();
        (left.stream(executor), right.stream(executor))
    })
}

/// Runs this number of clients and returns the time from the opened gate to the last message.
async fn serve(
    name: &'static str,
    (sockets, count): (SocketKind, usize),
    batching: Batching,
    share: usize,
    executor: Arc<dyn Executor>,
) -> Result<Duration, Mismatch> {
    let gate = Gate { missing: count, waiting: Vec::new(), opened: None };
    let gate = Arc::new(Mutex::new(gate));
    let wants = Interest::of::<Sample>(ReaderMode::Gating, WINDOW).ok();
    let here = Side { batching, buffer: BUFFER, wants: None };
    let there = Side { wants, ..here };
    let clients = connections(sockets, count, &*executor).map(|(left, right)| {
        let writer = Writer::new(share, Envelope::default(), WINDOW);
        let (gate, phase) = (gate.clone(), Phase::Connecting);
        let mut server = Server { writer, gate, phase };
        let inside = executor.clone();
        let serves = async move { here.drive(left, inside, &mut server).await };
        drop(task(&executor, serves));
        let inside = executor.clone();
        let mut client = Reader::<false>::new(Instant::now(), share);
        task(&executor, async move {
            there.drive::<TOPICS, STREAMS>(right, inside, &mut client).await;
            client
        })
    });
    let clients = join_all(clients).await;
    let opened = gate.lock().unwrap_or_else(PoisonError::into_inner).opened;
    let expected = Tally::expected(share, Tally::add);
    let mut last = opened;
    for client in clients {
        let client = client.ok_or_else(|| Mismatch::new(name, "a client panicked"))?;
        Mismatch::check(name, expected, client.tally)?;
        last = last.max(client.done);
    }
    Ok(opened.zip(last).map_or(Duration::ZERO, |(opened, last)| last - opened))
}

/// This number of clients.
pub(crate) fn clients(
    name: &'static str,
    runtime: Runtime,
    sockets: SocketKind,
    count: usize,
    batching: Batching,
) -> Column {
    Column::new(name, move |operations| {
        let (crowd, share) = ((sockets, count), (operations / count).max(1));
        let took =
            runtime.run(async move |executor| serve(name, crowd, batching, share, executor).await);
        took.map(Round::Total)
    })
}

/// The memory of an end of a connection, of this number of clients.
pub(crate) fn memory(name: &'static str, count: usize, batching: Batching) -> Column {
    /// The goal: the most bytes that an end may hold at any moment.
    const MOST: f64 = (64 << 10) as f64;
    let mut clients = clients(name, Runtime::Tokio, SocketKind::Unix, count, batching);
    Column::new(name, move |operations| {
        let (outcome, bytes) = allocations::peak(|| clients.round(operations));
        outcome?;
        let (what, value) = ("bytes per end", bytes as f64 / (2 * count) as f64);
        Ok(Round::Counts(vec![Count { what, value, limit: Some(Limit::AtMost(MOST)) }]))
    })
}

/// Bytes of a frame that grants credit.
const ANSWER: usize = HEADER + 16;

/// Sends a window to each client and waits for its answer, in turn.
async fn serve_raw(
    name: &'static str,
    (sockets, count): (SocketKind, usize),
    share: usize,
    executor: Arc<dyn Executor>,
) -> Result<Duration, Mismatch> {
    // As in a run: a stamp and a message.
    let frame = 8 + size_of::<Sample>();
    let (window, bytes) = (WINDOW as usize * frame, share * frame);
    let pairs: Vec<_> = connections(sockets, count, &*executor).collect();
    let start = Instant::now();
    let connect = |(mut left, mut right): (Stream, Stream)| {
        drop(task(&executor, async move {
            let (piece, mut answer) = (vec![7; window], [0; ANSWER]);
            for sent in (0..bytes).step_by(window) {
                left.write_all(&piece[..window.min(bytes - sent)]).await?;
                left.read_exact(&mut answer).await?;
            }
            io::Result::Ok(())
        }));
        task(&executor, async move {
            let mut piece = vec![0; window];
            for taken in (0..bytes).step_by(window) {
                right.read_exact(&mut piece[..window.min(bytes - taken)]).await?;
                right.write_all(&[7; ANSWER]).await?;
            }
            io::Result::Ok(Instant::now())
        })
    };
    let mut last = start;
    for client in join_all(pairs.into_iter().map(connect)).await {
        match client {
            Some(Ok(done)) => last = last.max(done),
            _ => return Err(Mismatch::new(name, "a client did not get its bytes")),
        }
    }
    Ok(last - start)
}

/// The same number of bytes to this number of clients, without links.
pub(crate) fn raw_clients(
    name: &'static str,
    runtime: Runtime,
    sockets: SocketKind,
    count: usize,
) -> Column {
    Column::new(name, move |operations| {
        let (crowd, share) = ((sockets, count), (operations / count).max(1));
        let took = runtime.run(async move |executor| serve_raw(name, crowd, share, executor).await);
        took.map(Round::Total)
    })
}
