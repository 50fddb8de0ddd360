//! Many clients of one process, each with a connection and a subscription of its own, all in one runtime.

use std::io;
use std::mem;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::Envelope;
use mycelium_core::link::{Batching, Event, Interest, Link, ReaderMode, RunBytes};
use mycelium_executor::{Executor, Stream};
use mycelium_tokio::Tokio;
use mycelium_transports::stream::{STREAMS, TOPICS, Traffic};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::one_way::{Reader, Writer};
use super::{HEADER, Side};
use crate::allocations;
use crate::harness::{Column, Mismatch};
use crate::loops::counts::{Count, Counted};
use crate::sample::{Sample, Tally};

/// How many messages each client has room for.
const WINDOW: u32 = 128;
/// Bytes of a side that may wait to be written: a window of frames and what the link has to say.
const BUFFER: usize = 16 << 10;

/// So many clients.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) name: &'static str,
    pub(crate) count: usize,
    pub(crate) batching: Batching,
}

/// Opens when all have come: nobody's messages are counted while others still connect.
#[derive(Debug)]
struct Gate {
    missing: usize,
    waiting: Vec<Waker>,
    opened: Option<Instant>,
}

impl Gate {
    fn come(&mut self, waker: &Waker) {
        self.missing -= 1;
        self.waiting.push(waker.clone());
        if self.missing == 0 {
            self.opened = Some(Instant::now());
            mem::take(&mut self.waiting).into_iter().for_each(Waker::wake);
        }
    }
}

/// Sends when all clients have subscribed.
struct Server {
    writer: Writer,
    gate: Arc<Mutex<Gate>>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    AtTheGate,
    Inside,
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
        if self.place != Place::Inside {
            if self.writer.stream.is_none() {
                return;
            }
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            if self.place == Place::Outside {
                gate.come(context.waker());
                self.place = Place::AtTheGate;
            }
            if gate.opened.is_none() {
                return;
            }
            self.place = Place::Inside;
        }
        self.writer.send(now, link, context);
    }
}

impl Clients {
    async fn serve(&self, share: usize) -> Result<Duration, Mismatch> {
        // Two of each connection, and those that any process has.
        allow_files(2 * self.count as u64 + 100);
        let executor = Tokio::current().expect("inside a runtime");
        let gate = Gate { missing: self.count, waiting: Vec::new(), opened: None };
        let gate = Arc::new(Mutex::new(gate));
        let wants = Interest::of::<Sample>(ReaderMode::Gating, WINDOW).ok();
        let here = Side { batching: self.batching, buffer: BUFFER, wants: None };
        let there = Side { wants, ..here };
        let connect = |_| {
            let (left, right) = UnixStream::pair().expect("the process may open two sockets");
            let stream = |socket| executor.unix_stream(socket).expect("a fresh socket");
            let (left, right) = (stream(left), stream(right));
            let writer = Writer::new(share, Envelope::default(), WINDOW);
            let (gate, place) = (gate.clone(), Place::Outside);
            let mut server = Server { writer, gate, place };
            let inside = executor.clone();
            tokio::spawn(async move { here.drive(left, inside, &mut server).await });
            let inside = executor.clone();
            let mut client = Reader::new(share);
            tokio::spawn(async move {
                there.drive::<TOPICS, STREAMS>(right, inside, &mut client).await;
                client
            })
        };
        let clients = join_all((0..self.count).map(connect)).await;
        let opened = gate.lock().unwrap_or_else(PoisonError::into_inner).opened;
        let expected = Tally::expected(share, Tally::add);
        let mut last = opened;
        for client in clients {
            let client = client.map_err(|_| Mismatch::new(self.name, "a client panicked"))?;
            Mismatch::check(self.name, expected, client.tally)?;
            last = last.max(client.done);
        }
        Ok(opened.zip(last).map_or(Duration::ZERO, |(opened, last)| last - opened))
    }
}

/// As many bytes to so many clients, without links.
pub(crate) struct RawClients {
    pub(crate) name: &'static str,
    pub(crate) count: usize,
}

/// As many bytes as a frame that makes room takes.
const ANSWER: usize = HEADER + 16;

impl RawClients {
    /// As much at once as a client has room for, and then its answer.
    async fn serve(&self, share: usize) -> Result<Duration, Mismatch> {
        allow_files(2 * self.count as u64 + 100);
        let executor = Tokio::current().expect("inside a runtime");
        // As in a run, behind a stamp.
        let frame = 8 + size_of::<Sample>();
        let (window, bytes) = (WINDOW as usize * frame, share * frame);
        let stream = |socket| executor.unix_stream(socket).expect("a fresh socket");
        let pairs = (0..self.count).map(|_| {
            let (left, right) = UnixStream::pair().expect("the process may open two sockets");
            (stream(left), stream(right))
        });
        let pairs: Vec<_> = pairs.collect();
        let start = Instant::now();
        let connect = |(mut left, mut right): (Stream, Stream)| {
            tokio::spawn(async move {
                let (piece, mut answer) = (vec![7; window], [0; ANSWER]);
                for sent in (0..bytes).step_by(window) {
                    left.write_all(&piece[..window.min(bytes - sent)]).await?;
                    left.read_exact(&mut answer).await?;
                }
                io::Result::Ok(())
            });
            tokio::spawn(async move {
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
                Ok(Ok(done)) => last = last.max(done),
                _ => return Err(Mismatch::new(self.name, "a client did not get its bytes")),
            }
        }
        Ok(last - start)
    }
}

/// Lets the process have so many files open, if it may.
fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let more = limit.maximum.map_or(count, |most| most.min(count));
        // Where it may not, opening them says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(more), ..limit });
    }
}

fn on_a_runtime<R>(work: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the process may make a runtime").block_on(work)
}

impl Column for Clients {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        on_a_runtime(self.serve((operations / self.count).max(1)))
    }
}

impl Column for RawClients {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        on_a_runtime(self.serve((operations / self.count).max(1)))
    }
}

/// The most that an end of a connection may hold at any moment.
const MEMORY: f64 = (64 << 10) as f64;

impl Counted for Clients {
    fn name(&self) -> &'static str {
        self.name
    }

    fn count(&mut self, operations: usize) -> Result<Vec<Count>, Mismatch> {
        let (outcome, bytes) = allocations::peak(|| self.round(operations));
        outcome?;
        let of_an_end = bytes as f64 / (2 * self.count) as f64;
        Ok(vec![Count::new("bytes of an end", of_an_end).within(MEMORY)])
    }
}
