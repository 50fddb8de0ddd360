//! Links over sockets, and the sockets without links.

pub(crate) mod clients;
pub(crate) mod exchange;
pub(crate) mod load;
pub(crate) mod one_way;
pub(crate) mod socket;
pub(crate) mod spent;
mod tls;
pub(crate) mod trip;

use std::sync::Arc;

use mycelium_core::link::{Batching, Config, Interest, Link, Name};
use mycelium_executor::{Executor, Stream};
use mycelium_tokio::Tokio;
use mycelium_transports::stream::{Driver, Traffic};

use crate::affinity::Cores;
use crate::allocations;
use crate::threads;

pub(crate) use socket::{Socket, SocketKind};
pub(crate) use spent::Meter;

/// Bytes of a frame beside its message.
pub(crate) const HEADER: usize = 24;
/// Bytes of one write or read without a link, and of half a link's buffer.
const PIECE: usize = 64 << 10;
/// Messages in flight, where flow control should not limit the throughput.
const WINDOW: u32 = 8192;

/// A runtime on each of two threads, and a new connection between them for each round.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) sockets: SocketKind,
    pub(crate) cores: Cores,
    /// Counts system calls and allocations of both sides.
    pub(crate) meter: Option<Arc<Meter>>,
}

impl Wire {
    /// Runs both sides, each with a socket and its executor.
    fn connected<S, R: Send>(
        &self,
        send: impl AsyncFnOnce(Socket, Tokio) -> S,
        receive: impl AsyncFnOnce(Socket, Tokio) -> R + Send,
    ) -> (S, R) {
        let (left, right) = self.sockets.pair();
        threads::both(
            &self.cores,
            || self.metered(async |executor| send(left, executor).await),
            || self.metered(async |executor| receive(right, executor).await),
        )
    }

    /// Runs both sides, each with a stream and its executor.
    fn run<S, R: Send>(
        &self,
        send: impl AsyncFnOnce(Stream, Tokio) -> S,
        receive: impl AsyncFnOnce(Stream, Tokio) -> R + Send,
    ) -> (S, R) {
        self.connected(
            async |socket, executor| send(self.stream(socket, &executor).await, executor).await,
            async |socket, executor| receive(self.stream(socket, &executor).await, executor).await,
        )
    }

    async fn stream(&self, socket: Socket, executor: &Tokio) -> Stream {
        let (end, stream) = (socket.tls_end(), socket.stream(executor));
        let stream = match &self.meter {
            Some(meter) => meter.watch(stream),
            None => stream,
        };
        match end {
            Some(end) => end.secure(stream).await,
            None => stream,
        }
    }

    fn metered<R>(&self, work: impl AsyncFnOnce(Tokio) -> R) -> R {
        let before = allocations::count();
        let result = on_a_runtime(work);
        if let Some(meter) = &self.meter {
            meter.allocated(allocations::count() - before);
        }
        result
    }
}

fn on_a_runtime<R>(work: impl AsyncFnOnce(Tokio) -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the process may make a runtime");
    runtime.block_on(async { work(Tokio::current().expect("inside a runtime")).await })
}

/// The settings of one side of a link.
#[derive(Clone, Copy)]
struct Side {
    batching: Batching,
    /// Bytes that may wait to be written.
    buffer: usize,
    wants: Option<Interest>,
}

impl Side {
    /// Drives a link until it ends.
    async fn drive<const TOPICS: usize, const STREAMS: usize>(
        self,
        stream: Stream,
        executor: impl Executor + 'static,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) {
        let Side { batching, buffer, wants } = self;
        let mut buffer = vec![0; buffer];
        let config = Config { batching, ..Config::new(Name::truncated("bench"), 1) };
        let mut link = Link::new(config, &mut buffer).expect("the buffer is large enough");
        if let Some(interest) = wants {
            link.subscribe(interest).expect("the only one");
        }
        Driver::new(&mut link, stream, Arc::new(executor)).run(traffic).await;
    }
}
